#!/usr/bin/env python3
"""A lab with the mesh in it: weft-control beside the API server, agent and ztunnel by `mesh.yaml`.

    test/kubernetes/mesh_lab.py                    starts one, says how to use it, stops on Ctrl-C
    test/kubernetes/mesh_lab.py run COMMAND …      runs a command with KUBECONFIG set, and stops it
"""
import json
import pathlib
import re
import subprocess
import sys

from cluster import die_with_parent, hold
from lab import CONTROL, Lab, usage

MESH = pathlib.Path(__file__).with_name("mesh.yaml")


class MeshLab(Lab):
    """`install` applies the mesh at once; its namespaces are yours to label."""

    def __init__(self, nodes=2, build=None, install=True):
        super().__init__(nodes, build)
        self.install = install

    def start(self):
        super().start()
        self.start_control()
        if self.install:
            self.install_mesh()

    def start_control(self):
        self.kubectl("create", "namespace", "weft-system")
        with open(self.folder / "weft-control.log", "ab") as log:
            self.children["weft-control"] = subprocess.Popen(  # pylint: disable=consider-using-with
                self.inside([self.build / "control/weft-control", "--kubernetes", "--kubeconfig",
                             self.kubeconfig_of_nodes, "--namespace", "weft-system", "--pod-name", "control",
                             "--state", self.folder / "control", "--san", CONTROL]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent)
        self.until(lambda: self.kubectl("-n", "weft-system", "get", "configmap", "istio-ca-root-cert",
                                        check=False).returncode == 0, "weft-control")

    def install_mesh(self):
        self.kubectl("apply", "-f", MESH)
        for name in ("weft-agent", "ztunnel"):
            self.kubectl("-n", "weft-system", "rollout", "status", f"daemonset/{name}", "--timeout=60s")

    def stop(self):
        child = self.children.pop("weft-control", None)
        if child is not None:
            child.kill()
            child.wait()
        super().stop()

    def conflist(self, node):
        (path,) = sorted((self.node_state(node) / "root/etc/cni/net.d").glob("*.conflist"))
        return json.loads(path.read_text())

    def of_mesh(self, app, node):
        """The name of the agent's or ztunnel's pod on the node."""
        found = self.kubectl("-n", "weft-system", "get", "pods", "-l", f"app={app}", "-o", "json").stdout
        for pod in json.loads(found)["items"]:
            if pod["spec"].get("nodeName") == node and "deletionTimestamp" not in pod["metadata"]:
                return pod["metadata"]["name"]
        return None

    def mesh_log(self, app, node):
        return self.kubectl("-n", "weft-system", "logs", self.of_mesh(app, node), check=False).stdout

    def last_words(self):
        pods = [(app, node) for node in self.nodes for app in ("weft-agent", "ztunnel") if self.of_mesh(app, node)]
        return super().last_words() + "".join(f"--- {app} on {node}\n{self.mesh_log(app, node)[-2500:]}\n"
                                              for app, node in pods)

    def access_log(self, node):
        """ztunnel's, a dictionary a connection."""
        lines = [line for line in self.mesh_log("ztunnel", node).splitlines() if "access" in line]
        return [dict(re.findall(r'([\w.]+)="?([^"\s]*)"?', line)) for line in lines]

    def object(self, kind, namespace, name):
        return json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json").stdout)

    def pod(self, namespace, name):
        return self.object("pod", namespace, name)

    def fetch(self, namespace, pod, url):
        """What a pod gets from there; None if it gets nothing."""
        done = self.kubectl("-n", namespace, "exec", pod, "--", "curl", "-sS", "-m", "5", url, check=False)
        return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(hold(MeshLab, usage))
