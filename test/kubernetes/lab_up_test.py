#!/usr/bin/env python3
"""`weft lab up --kubernetes`: the lab of a folder on a real API server; weft's commands find it; nothing stays of it,
whether it is taken down or its supervisor is killed.

usage: lab_up_test.py WEFT
"""
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys

from cluster import ROOT, Missing, exit_code, expect, programs

NAME = f"k8s-{os.getpid()}"
FOLDER = ROOT / "examples/shop"


def left():
    names = [str(one) for one in pathlib.Path("/run/netns").glob(f"weft-k8s-{NAME}-*")]
    names += [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if NAME in line]
    return names + [str(one) for one in [pathlib.Path("/run/weft/lab") / NAME] if one.exists()]


@exit_code
def main():
    if os.geteuid() != 0:
        raise Missing("needs root: it makes network namespaces")
    programs()
    weft = pathlib.Path(sys.argv[1]).resolve()
    environment = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "WEFT_LAB")}

    def run(*words, code=0, **options):
        done = subprocess.run([weft, *words], capture_output=True, text=True, check=False, env=environment, timeout=240,
                              **options)
        expect(done.returncode == code, f"weft {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def kubectl(*words, **options):
        return run("lab", "exec", "--lab", NAME, "link", "--", "kubectl", *words, **options)
    try:
        said = run("lab", "up", "--kubernetes", "--name", NAME, str(FOLDER))
        expect(f"lab {NAME} is up after " in said, said)
        run("wait", "--lab", NAME)
        page = kubectl("-n", "shop", "exec", "web", "--", "curl", "-sS", "-m", "5", "http://cart/")
        expect(page == (FOLDER / "www/index.html").read_text(), f"web does not reach cart: {page}")
        ours, theirs = pty.openpty()  # kubectl asks for a terminal only when it has one
        terminal = kubectl("-n", "shop", "exec", "-it", "web", "--", "sh", "-c", "tty; exit 7", stdin=theirs, code=7)
        expect("/dev/pts/" in terminal, f"exec -t gives no terminal: {terminal!r}")
        os.close(ours)
        os.close(theirs)
        nodes = json.loads(run("proxy-status", "--lab", NAME, "-o", "json"))["nodes"]
        expect([(one["node"], one["status"]) for one in nodes] == [("node-1", "SYNCED"), ("node-2", "SYNCED")], nodes)
        expect("In the mesh       yes" in run("describe", "pod", "-n", "shop", "web", "--lab", NAME), "describe")
        expect("on Kubernetes" in run("lab", "status", "--lab", NAME) and NAME in run("lab", "list"), "status")
        run("lab", "apply", "--lab", NAME, str(FOLDER / "shop.yaml"), code=1)
        run("lab", "down", NAME)
        expect(not left(), f"left behind: {left()}")
        print("ok    up, used, down, nothing left", flush=True)

        # A folder with code and a mesh configuration beside its manifests.
        run("lab", "up", "--kubernetes", "--name", NAME, str(ROOT / "examples/bookstore"))
        run("wait", "--lab", NAME)
        kubectl("-n", "books", "wait", "gateway", "waypoint", "--for=condition=Programmed", "--timeout=60s")
        said = kubectl("-n", "books", "exec", "front", "--", "curl", "-sS", "-m", "20", "--retry", "10", "--retry-all-errors",
                       "http://catalogue/")
        expect(said.startswith("catalogue v"), f"front does not reach catalogue: {said}")
        kubectl("-n", "books", "wait", "telemetries.telemetry.istio.io", "--all",
                "--for=jsonpath={.status.conditions[0].reason}=Accepted", "--timeout=60s")
        run("lab", "down", NAME)
        expect(not left(), f"left behind of the bookstore: {left()}")
        print("ok    the bookstore", flush=True)

        run("lab", "up", "--kubernetes", "--without-mesh", "--name", NAME, str(FOLDER))
        record = json.loads((pathlib.Path("/run/weft/lab") / NAME / "lab.json").read_text())
        os.kill(record["supervisor"], signal.SIGKILL)
        run("lab", "down", NAME)
        expect(not left(), f"left behind of a lab that was killed: {left()}")
        expect(not pathlib.Path(record["kubeconfig"]).parent.exists(), "the cluster's folder is left")
        print("ok    killed, taken down, nothing left", flush=True)
    finally:
        if left():
            subprocess.run([weft, "lab", "down", NAME], check=False, env=environment)


if __name__ == "__main__":
    sys.exit(main())
