#!/usr/bin/env python3
"""Pods come and go through the API server, on a node with the mesh, and leave nothing: no namespace, control
group, address, descriptor, program, map or memory of theirs.

    test/kubernetes/churn_test.py [--rate 5] [--seconds 60]
"""
import argparse
import json
import pathlib
import sys
import time

from cluster import Failed, exit_code
from mesh_lab import MeshLab

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "ebpf"))
from churn import holdings, judge  # pylint: disable=wrong-import-position,import-error


def wave(lab, number, rate):
    pods = [{"apiVersion": "v1", "kind": "Pod",
             "metadata": {"name": f"pod-{number}-{i}", "namespace": "churn", "labels": {"wave": str(number)}},
             "spec": {"nodeName": "node-1", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False,
                      "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "600"]}]}}
            for i in range(rate)]
    lab.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))


def left(lab):
    """What of pods is on the node, by name."""
    names = {one.name for one in pathlib.Path("/run/netns").glob(f"{lab.prefix}-pod-*")}
    names |= {str(one) for one in lab.cgroup.glob("*/kubepods/*/")}
    names |= {str(one) for one in lab.folder.glob("nodes/*/pods/*")}
    return names | {str(one) for one in lab.folder.glob("nodes/*/ipam/lab/*.*.*.*")}


def process(lab, app):
    """The number of the agent's or ztunnel's process."""
    uid = lab.pod("weft-system", lab.of_mesh(app, "node-1"))["metadata"]["uid"]
    (procs,) = lab.cgroup.glob(f"node-1/kubepods/pod{uid}/*/cgroup.procs")
    return int(procs.read_text().split()[0])


def churn(lab, options):
    lab.kubectl("create", "namespace", "churn")
    lab.kubectl("label", "namespace", "churn", "istio.io/dataplane-mode=ambient")
    lab.until(lambda: lab.kubectl("-n", "churn", "get", "serviceaccount", "default", check=False).returncode == 0, "it")
    before_all = left(lab)

    def gone():
        return left(lab) == before_all and "No resources" in lab.kubectl("-n", "churn", "get", "pods").stderr

    def remove(number):
        lab.kubectl("-n", "churn", "delete", "pods", "-l", f"wave={number}", "--wait=false")
    wave(lab, 0, options.rate)
    lab.kubectl("-n", "churn", "wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
    remove(0)
    lab.until(gone, "the warm-up's end")
    names = ("weft-agent", "ztunnel")
    before = [holdings(process(lab, name)) for name in names]

    start = time.monotonic()
    for number in range(1, options.seconds + 1):
        began = time.monotonic()
        wave(lab, number, options.rate)
        if number > 3:
            remove(number - 3)
        time.sleep(max(0, began + 1 - time.monotonic()))
    lab.kubectl("-n", "churn", "wait", "--for=condition=Ready", "pods", "-l", f"wave={options.seconds}", "--timeout=60s")
    seconds = time.monotonic() - start
    lab.kubectl("-n", "churn", "delete", "pods", "--all", "--wait=false")
    lab.until(gone, f"the end of all pods; left: {left(lab) - before_all}")
    pods = options.seconds * options.rate
    enrolled = lab.mesh_log("weft-agent", "node-1").count(" enrolled")
    print(f"{pods} pods in {seconds:.1f} s, {enrolled} enrolments", flush=True)

    def released():
        return all(holdings(process(lab, name))[kind] <= was[kind] for name, was in zip(names, before)
                   for kind in ("descriptors", "maps", "programs"))
    try:
        lab.until(released, "descriptors")
    except Failed:
        pass  # judged below, by name
    good = [judge(name, was, holdings(process(lab, name)), pods, 4) for name, was in zip(names, before)]
    return all(good) and enrolled >= pods / 2


@exit_code
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with MeshLab(nodes=1) as lab:
        good = churn(lab, options)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
