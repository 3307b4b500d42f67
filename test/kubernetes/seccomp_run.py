#!/usr/bin/env python3
"""Becomes a program under a seccomp profile, as a runtime starts a container: by libseccomp, from the JSON that
runtimes read. For profiles that allow whole calls, as ours do; conditions on arguments are refused.

usage: seccomp_run.py PROFILE_TEXT PROGRAM ARGV0 [ARGUMENT …]
"""
import ctypes
import json
import os
import sys

ALLOW = 0x7FFF0000
ERRNO = 0x00050000


def load(profile):
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    if profile["defaultAction"] != "SCMP_ACT_ERRNO":
        raise SystemExit("seccomp_run: a default that is not SCMP_ACT_ERRNO")
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ERRNO | profile.get("defaultErrnoRet", 1))))
    for rule in profile["syscalls"]:
        if rule["action"] != "SCMP_ACT_ALLOW" or rule.get("args"):
            raise SystemExit("seccomp_run: a rule that is not a plain SCMP_ACT_ALLOW")
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            # A call of another architecture has no number here: runtimes pass over it, too.
            if number >= 0 and library.seccomp_rule_add(context, ctypes.c_uint32(ALLOW), number, 0) != 0:
                raise SystemExit(f"seccomp_run: {name} cannot be allowed")
    if library.seccomp_load(context) != 0:
        raise SystemExit("seccomp_run: the filter cannot be loaded")


if __name__ == "__main__":
    load(json.loads(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[3:])
