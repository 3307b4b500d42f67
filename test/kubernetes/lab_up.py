#!/usr/bin/env python3
"""What `weft lab up --kubernetes` runs: a lab on a real API server, with a folder's manifests in it, until SIGTERM.

    test/kubernetes/lab_up.py NAME FOLDER [--without-mesh]

Says on stdout how far it is. Its record, /run/weft/lab/NAME/lab.json, is how the other commands find it: the link's
network namespace, where the API server is, and the kubeconfig. WEFT_BUILD: where our programs are.
"""
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import time

from cluster import Failed, exit_code
from lab import Lab

LABS = pathlib.Path("/run/weft/lab")
NODES_MAX = 8
PODS_WITHIN = 120  # seconds


# Of a folder's files, those that are no manifests: what makes the others of files beside them (kubectl apply -k), and the
# mesh's configuration.
KUSTOMIZATION, MESH_CONFIG = "kustomization.yaml", "mesh.yaml"


def manifests(folder):
    return sorted(one for one in folder.iterdir() if one.suffix in (".yaml", ".yml", ".json") and not one.name.startswith(".")
                  and one.name not in (KUSTOMIZATION, MESH_CONFIG))


def nodes_named(folder):
    """How many nodes the manifests name, by node-N; two at least."""
    text = "".join(one.read_text("utf-8", "replace") for one in manifests(folder))
    names = set(re.findall(r"\bnodeName:\s*[\"']?([\w.-]+)", text))
    numbers = [re.fullmatch(r"node-([1-9])", name) for name in names]
    if not all(numbers) or any(int(one[1]) > NODES_MAX for one in numbers):
        raise Failed(f"the nodes of a lab on Kubernetes are node-1 to node-{NODES_MAX}; the manifests name {sorted(names)}")
    return max([2, *(int(one[1]) for one in numbers)])


class FolderLab(Lab):
    def __init__(self, name, source, mesh):
        super().__init__(nodes=nodes_named(source), prefix=f"weft-k8s-{name}-", working_dir=source)
        self.name, self.source, self.mesh = name, source, mesh
        self.place = LABS / name

    def record(self, state):
        text = json.dumps({
            "name": self.name, "folder": str(self.place), "source": str(self.source), "state": state,
            "cgroup": str(self.cgroup), "link_netns": self.netns, "supervisor": os.getpid(), "mesh": self.mesh,
            "kubeconfig": str(self.kubeconfig), "tools": str(self.programs / "bin"),
            "nodes": [{"name": node, "netns": f"{self.prefix}-{node}", "addresses": [f"192.168.77.{number}"]}
                      for number, node in enumerate(self.nodes, 1)]}, indent=2)
        (self.place / "lab.json.new").write_text(text + "\n")
        (self.place / "lab.json.new").rename(self.place / "lab.json")

    def start(self):
        self.record("starting")
        super().start()
        print(f"{len(self.nodes)} nodes are ready", flush=True)
        if self.mesh:
            self.install()
            if (self.source / MESH_CONFIG).exists():
                self.kubectl("-n", "weft-system", "create", "configmap", "weft-mesh-config",
                             f"--from-file=mesh={self.source / MESH_CONFIG}")
            print("weft is installed", flush=True)
        self.apply()
        self.record("ready")

    def install(self):
        done = []

        def over():  # a server that has only just been told of the CRDs asks to wait
            done[:] = [self.run(self.build / "cli/weft", "install", check=False)]
            return "429 TooManyRequests" not in done[0].stderr
        self.until(over, "weft install")
        if done[0].returncode != 0:
            raise Failed(f"weft install: {done[0].stdout}{done[0].stderr}")

    def apply(self):
        made = (self.source / KUSTOMIZATION).exists()
        words = ["-k", self.source] if made else [word for one in manifests(self.source) for word in ("-f", one)]
        if not words:
            return
        last = []

        def applied():  # a pod's service account may be under way
            last[:] = [self.kubectl("apply", *words, check=False)]
            return last[0].returncode == 0
        try:
            self.until(applied, "kubectl apply")
        except Failed:
            raise Failed(f"kubectl apply: {last[0].stderr.strip()}") from None
        done = self.kubectl("wait", "pods", "--all", "-A", "--for=condition=Ready", f"--timeout={PODS_WITHIN}s", check=False)
        if done.returncode != 0:
            raise Failed(f"pods are not ready: {done.stderr.strip()}")
        print("pods are ready", flush=True)


@exit_code
def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if len(words) != 2:
        print(__doc__)
        return 2
    name, source = words[0], pathlib.Path(words[1])
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    began = time.monotonic()
    run = LABS / name
    run.mkdir(parents=True, exist_ok=True)
    with open(run / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            with FolderLab(name, source, "--without-mesh" not in sys.argv) as lab:
                print(f"KUBECONFIG={lab.kubeconfig}; kubectl: weft lab exec --lab {name} link -- kubectl get pods -A\n"
                      f"lab {name} is up after {time.monotonic() - began:.1f} s", flush=True)
                null = os.open(os.devnull, os.O_RDWR)
                for number in (0, 1, 2):  # whoever started this goes
                    os.dup2(null, number)
                signal.sigwait({signal.SIGINT, signal.SIGTERM})
        finally:
            shutil.rmtree(run, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
