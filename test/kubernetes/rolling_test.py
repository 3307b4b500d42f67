#!/usr/bin/env python3
"""`weft install` and `weft upgrade` on lab nodes. The upgrade replaces every ztunnel (`maxSurge: 1`) while connections
of two seconds come and go: each that ends within the drain time ends as it should, and none is refused in between.

usage: rolling_test.py WEFT
"""
import json
import pathlib
import subprocess
import sys

from cluster import Failed, exit_code
from lab import Lab

SERVER = """
import socketserver, time
class Slowly(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(1)
        for _ in range(20):
            time.sleep(0.1)
            self.request.sendall(b"x" * 1000)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128
Server(("0.0.0.0", 8080), Slowly).serve_forever()
"""
CLIENT = """
import socket, sys, threading, time
ends, counts, why = time.monotonic() + float(sys.argv[1]), [0, 0], set()
def one():
    with socket.create_connection(("web", 80), timeout=10) as wire:
        wire.sendall(b"?")
        got = 0
        while True:
            piece = wire.recv(65536)
            if not piece:
                return got
            got += len(piece)
def loop():
    while time.monotonic() < ends:
        try:
            got = one()
            good = got == 20000
            if not good: why.add(f"ended after {got} bytes")
        except OSError as error:
            good = False
            why.add(f"{time.monotonic() - ends:.1f} {error}")
        counts[0 if good else 1] += 1
threads = [threading.Thread(target=loop) for _ in range(8)]
for one_ in threads: one_.start()
for one_ in threads: one_.join()
print(*counts, sorted(why)[:5])
"""
SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: tcp, port: 80, targetPort: 8080}]}
"""
SECONDS = 30
WEFT = ""


def pod(name, *command):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": name, "image": "python", "command": list(command)}]}}


def set_up(lab):
    done = lab.run(WEFT, "install", "--set", "ztunnel.drainSeconds=10", "--timeout", "2m")
    if "DaemonSet weft-system/ztunnel: 2 ready" not in done.stderr:
        raise Failed(f"weft install says nothing of its progress: {done.stderr}")
    lab.kubectl("apply", "-f", "-", input=SHOP)
    pods = [pod("web", "python3", "-u", "-c", SERVER), pod("client", "sleep", "1000")]
    lab.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    lab.kubectl("-n", "shop", "wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    lab.until(lambda: ask(lab, 0.1)[1] == 0, "the shop")


def ask(lab, seconds):
    done = lab.kubectl("-n", "shop", "exec", "client", "--", "python3", "-c", CLIENT, str(seconds), check=False)
    words = done.stdout.split(maxsplit=2)
    return (int(words[0]), int(words[1]), words[2]) if len(words) == 3 else (0, 1, done.stderr)


def names(lab):
    return set(lab.kubectl("-n", "weft-system", "get", "pods", "-l", "app=ztunnel", "-o", "name").stdout.split())


def roll(lab):
    before = names(lab)
    client = subprocess.Popen(  # pylint: disable=consider-using-with
        lab.inside([lab.programs / "bin/kubectl", "-n", "shop", "exec", "client", "--", "python3", "-c", CLIENT,
                    str(SECONDS)]), env=lab.environment(), stdout=subprocess.PIPE, text=True)
    lab.run(WEFT, "upgrade", "--set", "ztunnel.logLevel=debug", "--timeout", f"{SECONDS}s")
    lab.until(lambda: not before & names(lab), "the end of the old ztunnels")
    if client.poll() is not None:
        raise Failed("the roll took longer than the connections that were to meet it")
    out, _ = client.communicate(timeout=60)
    good, bad, why = out.split(maxsplit=2)
    if int(bad) or int(good) < 50:
        logs = lab.kubectl("-n", "weft-system", "logs", "-l", "app=ztunnel", "--tail=30", "--prefix", check=False).stdout
        raise Failed(f"{good} connections ended well, {bad} did not: {why}\n{logs[-6000:]}")
    print(f"ok    {good} connections while every ztunnel was replaced, none lost", flush=True)


def least_privileges_are_enough(lab):
    """The programs run with what the chart gives them; none is refused anything that it asks for."""
    for name in names(lab):
        own = lab.kubectl("-n", "weft-system", "exec", name, "--", "grep", "Seccomp:", "/proc/self/status").stdout
        if own.split() != ["Seccomp:", "2"]:
            raise Failed(f"{name} runs under no seccomp profile: {own}")
    for app in ("weft-control", "weft-agent", "ztunnel"):
        log = lab.kubectl("-n", "weft-system", "logs", "-l", f"app={app}", "--tail=-1").stdout
        refused = [line for line in log.splitlines() if "orbidden" in line or "not permitted" in line or "EPERM" in line]
        if refused:
            raise Failed(f"{app} is refused something: {refused[:3]}")
    print("ok    every program runs with the chart's privileges, under its seccomp profile", flush=True)


@exit_code
def main():
    with Lab() as lab:
        set_up(lab)
        roll(lab)
        least_privileges_are_enough(lab)
        # What is enrolled stays closed without ztunnel, so first out of the mesh, then away with it.
        lab.kubectl("label", "namespace", "shop", "istio.io/dataplane-mode-")
        lab.until(lambda: "ambient.istio.io/redirection" not in lab.kubectl("-n", "shop", "get", "pods", "-o",
                                                                            "json").stdout, "pods out of the mesh")
        lab.run(WEFT, "uninstall")
        if ask(lab, 0.1)[1]:
            raise Failed("the shop is not as it was before")
        print("ok    uninstalled, and the shop is as it was", flush=True)


if __name__ == "__main__":
    WEFT = pathlib.Path(sys.argv[1]).resolve()
    sys.exit(main())
