#!/usr/bin/env python3
"""Prints the files of one variable of BoringSSL's generated gen/sources.cmake, one a line."""
import re
import sys

path, variable = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    match = re.search(r"^set\(\s*" + re.escape(variable) + r"\s+([^)]*)\)", file.read(), re.M)
if match is None:
    sys.exit(f"{path} has no variable {variable}: has BoringSSL's layout changed?")
for name in match.group(1).split():
    # Assembly for other systems is guarded inside the file; leave out what cannot matter here.
    if not re.search(r"-(apple|win)\.(S|asm)$|\.asm$", name):
        print("deps/boringssl/" + name)
