#!/usr/bin/env python3
"""Pods come and go through the agent's socket, and leave nothing: no descriptor, program, map or memory of
theirs stays with the agent or with ztunnel.

    ebpf/churn.py WEFT_AGENT WEFT_ZTUNNEL [--rate 50] [--seconds 60]

Each pod has a network namespace of its own with an Ethernet interface, is enrolled, known to ztunnel, removed a
second later, and its namespace with it. Judged by counts; the times are only said.
"""
import argparse
import array
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
PREFIX = f"weft-churn-{os.getpid()}"


def ip(lines, *words):
    subprocess.run(["ip", *words, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True,
                   capture_output=True)


def cgroup_root():
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return pathlib.Path(line.split()[1])
    raise SystemExit("no cgroup2 mount")


class Pods:
    """Those of one second: namespaces with an interface."""

    def __init__(self, wave, rate):
        self.pods = [(f"{PREFIX}-{wave}-{i}", f"10.{200 + wave % 50}.{i // 250}.{i % 250 + 1}", f"w{wave % 100}p{i}")
                     for i in range(rate)]
        ip([f"netns add {name}" for name, _, _ in self.pods])
        ip([f"link add eth0 netns {name} type veth peer name {link} netns {PREFIX}-node" for name, _, link in self.pods])
        for name, address, _ in self.pods:
            ip([f"addr add {address}/16 dev eth0", "link set lo up", "link set eth0 up"], "-n", name)

    def remove(self):
        ip([f"netns del {name}" for name, _, _ in self.pods])


class Agent:
    def __init__(self, folder, program, flags):
        self.path = str(folder / "agent.sock")
        log = open(folder / "agent.log", "wb")  # pylint: disable=consider-using-with
        self.child = subprocess.Popen(  # pylint: disable=consider-using-with
            [program, "--node", "churn", "--zds-socket", folder / "zds.sock", "--socket", self.path, "--state",
             folder / "state", *flags], stdout=log, stderr=log)
        self.caller = None

    def listens(self):
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        caller.settimeout(30)
        try:
            caller.connect(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            caller.close()
            return False
        self.caller = caller
        return True

    def ask(self, request, netns=None):
        ancillary = []
        if netns:
            fd = os.open(netns, os.O_RDONLY)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.caller.sendmsg([json.dumps(request).encode()], ancillary)
        if netns:
            os.close(fd)
        answer = json.loads(self.caller.recv(4 << 20))
        if not answer["ok"]:
            raise SystemExit(f"{request['op']}: {answer['error']}")
        return answer

    def add(self, name, address):
        path = f"/run/netns/{name}"
        answer = self.ask({"op": "add", "uid": name, "name": name, "namespace": "churn", "serviceAccount": "churn",
                           "ips": [address], "netnsPath": path}, path)
        if not answer["ztunnel"]:
            raise SystemExit("ztunnel does not know the pod")


def until(condition, what, within=30):
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {within} s")
        time.sleep(0.02)


def holdings(pid):
    """What a process holds, by kind."""
    kinds = {"maps": 0, "programs": 0, "descriptors": 0}
    for fd in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = fd.read_text()
        except OSError:
            continue
        kinds["descriptors"] += 1
        kinds["maps"] += "map_id:" in text
        kinds["programs"] += "prog_id:" in text
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    kinds["ticks"] = int(fields[11]) + int(fields[12])
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    kinds["kilobytes"] = int(re.search(r"VmRSS:\s+(\d+)", status)[1])
    kinds["threads"] = int(re.search(r"Threads:\s+(\d+)", status)[1])
    return kinds


def run_waves(agent, first, waves, rate, paced):
    """A wave a second; each stays for one. How long each add and removal took. Namespaces, which are not ours to make,
    are made and removed beside that."""
    adds, dels = [], []
    before, removal = None, None
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as runtime:
        coming = runtime.submit(Pods, first, rate)
        for wave in range(first, first + waves):
            began = time.monotonic()
            pods = coming.result()
            coming = runtime.submit(Pods, wave + 1, rate) if wave + 1 < first + waves else None
            for name, address, _ in pods.pods:
                at = time.monotonic()
                agent.add(name, address)
                adds.append(time.monotonic() - at)
            if before:
                for name, _, _ in before.pods:
                    at = time.monotonic()
                    agent.ask({"op": "del", "uid": name})
                    dels.append(time.monotonic() - at)
                if removal:
                    removal.result()
                removal = runtime.submit(before.remove)
            before = pods
            if paced:
                time.sleep(max(0, began + 1 - time.monotonic()))
        seconds = time.monotonic() - start
        for name, _, _ in before.pods:
            agent.ask({"op": "del", "uid": name})
        if removal:
            removal.result()
        before.remove()
    return adds, dels, seconds


def milliseconds(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


def judge(name, before, after, pods, kilobytes_a_pod):
    worse = [kind for kind in ("descriptors", "maps", "programs", "threads") if after[kind] > before[kind]]
    grown = after["kilobytes"] - before["kilobytes"]
    cost = (after["ticks"] - before["ticks"]) / os.sysconf("SC_CLK_TCK") / pods * 1000
    print(f"{name}: {cost:.1f} ms of processor a pod; {before} -> {after}", flush=True)
    if worse:
        print(f"FAIL  {name} keeps {', '.join(worse)}")
    if not os.environ.get("WEFT_SANITIZED") and grown > pods * kilobytes_a_pod + 2048:
        print(f"FAIL  {name} has grown by {grown} KiB in {pods} pods")
        return False
    return not worse


def churn(folder, options):
    (folder / "token").write_text("none")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "root.pem", "-days", "1", "-subj", "/CN=none"],
                   check=True, capture_output=True)
    agent = Agent(folder, options.agent, options.flag)
    group = cgroup_root() / PREFIX
    group.mkdir()
    log = open(folder / "ztunnel.log", "wb")  # pylint: disable=consider-using-with
    ztunnel = subprocess.Popen(  # pylint: disable=consider-using-with
        [options.ztunnel, "--node", "churn", "--xds-address", "https://127.0.0.1:9", "--root-cert", folder / "root.pem",
         "--token", folder / "token", "--zds-socket", folder / "zds.sock", "--workers", "1", "--admin", "127.0.0.1:0",
         "--metrics", "127.0.0.1:0", "--readiness", "127.0.0.1:0", "--termination-deadline", "100ms"],
        stdout=log, stderr=log, preexec_fn=lambda: (group / "cgroup.procs").write_text("0"))
    try:
        until(agent.listens, "the agent")
        until(lambda: agent.ask({"op": "list"})["ztunnels"] == 1, "ztunnel")
        run_waves(agent, 0, 2, options.rate, False)  # what is made once is made
        until(lambda: not agent.ask({"op": "list"})["pods"], "the warm-up's end")
        before = holdings(agent.child.pid), holdings(ztunnel.pid)
        adds, dels, seconds = run_waves(agent, 2, options.seconds, options.rate, True)
        held = agent.ask({"op": "list"})["pods"]
        print(f"{len(adds)} pods in {seconds:.1f} s: enrolled in {milliseconds(adds, .5):.1f} ms, p99 "
              f"{milliseconds(adds, .99):.1f}; removed in {milliseconds(dels, .5):.1f} ms, p99 "
              f"{milliseconds(dels, .99):.1f}", flush=True)
        good = not held
        # ztunnel lets go after its deadline; kernels free programs a little later.
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            after = holdings(agent.child.pid), holdings(ztunnel.pid)
            if all(after[i][kind] <= before[i][kind] for i in (0, 1) for kind in ("descriptors", "maps", "programs")):
                break
            time.sleep(0.2)
        good = judge("weft-agent", before[0], after[0], len(adds), 0.5) and good
        good = judge("weft-ztunnel", before[1], after[1], len(adds), 2) and good
        stored = json.loads((folder / "state/pods.json").read_text())["pods"]
        return good and not stored
    finally:
        for child in (ztunnel, agent.child):
            child.send_signal(signal.SIGKILL)
            child.wait()
        until(lambda: "populated 1" not in (group / "cgroup.events").read_text(), "the group's end")
        group.rmdir()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("agent")
    parser.add_argument("ztunnel")
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--flag", action="append", default=[], help="for the agent")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root: it makes network namespaces")
        return SKIPPED
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-churn-"))
    subprocess.run(["ip", "netns", "add", f"{PREFIX}-node"], check=True)
    try:
        return 0 if churn(folder, options) else 1
    finally:
        for netns in pathlib.Path("/run/netns").glob(f"{PREFIX}*"):
            subprocess.run(["ip", "netns", "del", netns.name], check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
