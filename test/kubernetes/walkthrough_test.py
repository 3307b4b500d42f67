#!/usr/bin/env python3
"""docs/kubernetes.md, line by line, on a cluster with lab nodes: each command must succeed and print what the
page says ("..." stands for anything).

usage: walkthrough_test.py WEFT [--from HEADING]
"""
import pathlib
import re
import subprocess
import sys
import time

from cluster import ROOT, exit_code
from lab import Lab

PAGE = ROOT / "docs/kubernetes.md"
WITHIN = 200  # seconds a command


def steps(text):
    """(line, heading, command, expected lines) of the page's console blocks."""
    heading, inside = "", False
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append((number, heading, line[2:], []))
        elif inside:
            found[-1][3].append(line)
    return found


def matches(expected, got):
    """Lines against lines; "..." alone is any number of lines, within a line any text."""
    pattern = ""
    for line in expected:
        if line == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*?".join(re.escape(part) for part in line.split("...")) + r"\s*\n"
    lines = "".join(re.sub(r"\s+$", "", line) + "\n" for line in got.splitlines())
    return re.fullmatch(pattern, lines) is not None


def run_step(lab, weft, command):
    environment = lab.environment()
    environment["PATH"] = f"{weft.parent}:{environment['PATH']}"
    return subprocess.run(lab.inside(["bash", "-c", f"set -o pipefail; {command}"]), env=environment, cwd=ROOT, text=True,
                          capture_output=True, check=False, timeout=WITHIN)


def say_state(lab):
    print(lab.kubectl("get", "pods", "-A", "-o", "wide", check=False).stdout)
    for app in ("weft-control", "weft-agent", "ztunnel"):
        log = lab.kubectl("-n", "weft-system", "logs", "-l", f"app={app}", "--tail=15", "--prefix", check=False)
        print(log.stdout[-3000:] + log.stderr[-300:])


@exit_code
def main():
    weft = pathlib.Path(sys.argv[1]).resolve()
    with Lab() as lab:
        for number, heading, command, expected in steps(PAGE.read_text("utf-8")):
            began = time.monotonic()
            done = run_step(lab, weft, command)
            took = time.monotonic() - began
            if done.returncode == 0 and matches(expected, done.stdout):
                print(f"ok    {heading}, line {number} ({took:.1f} s)", flush=True)
                continue
            print(f"FAIL  {PAGE.name}:{number}: $ {command}\n      exit {done.returncode}\n{done.stdout[-2000:]}"
                  f"{done.stderr[-2000:]}", flush=True)
            say_state(lab)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
