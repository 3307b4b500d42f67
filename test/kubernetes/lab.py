#!/usr/bin/env python3
"""A cluster with lab nodes: `cluster.py`'s control plane on a link, and nodes that run pods.

    test/kubernetes/lab.py                    starts one with two nodes, says how to use it, stops on Ctrl-C
    test/kubernetes/lab.py run COMMAND …      runs a command with KUBECONFIG set, and stops it

Needs root. The control plane lives in the link's network namespace, as 192.168.77.254 and 10.96.0.1; nothing
is connected to the host, so kubectl runs there too. Every name begins with weft-k8s-PID (of `weft lab up --kubernetes`: weft-k8s-NAME-).
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from cluster import API_SERVICE, Cluster, Failed, Missing, die_with_parent, hold

CONTROL = "192.168.77.254"
CNI_BIN = "/usr/lib/cni"
PROGRAMS = {"weft-control": "control", "weft-agent": "ebpf", "weft-cni": "ebpf", "weft-ztunnel": "ztunnel",
            "weft-waypoint": "waypoint", "weft-sds": "sds", "weft": "cli"}
TOOLS = ["envoy", "fortio", "kubectl"]  # images that mean a program of the cache


def ip(*words, netns=None, check=True):
    where = ["-n", netns] if netns else []
    done = subprocess.run(["ip", *where, *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Failed(f"ip {' '.join(words)}: {done.stderr.strip()}")


def cgroup_root():
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return pathlib.Path(line.split()[1])
    raise Failed("no cgroup2 mount")


def conflist(number, state):
    """The cluster's own network, as its CNI would have installed it; weft-cni is chained after it."""
    ranges = [[{"subnet": f"10.244.{number}.0/24"}], [{"subnet": f"fd00:10:244:{number}::/64"}]]
    return json.dumps({"cniVersion": "1.0.0", "name": "lab", "plugins": [{
        "type": "ptp", "ipMasq": False, "ipam": {
            "type": "host-local", "dataDir": f"{state}/ipam", "ranges": ranges,
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}]}, indent=2)


class Lab(Cluster):
    """`nodes` nodes named node-1 …; node N has 192.168.77.N and the pod range 10.244.N.0/24."""

    def __init__(self, nodes=2, build=None, prefix=None, working_dir="/"):
        if os.geteuid() != 0:
            raise Missing("needs root: it makes network namespaces")
        self.prefix = prefix or f"weft-k8s-{os.getpid()}"
        self.working_dir = working_dir  # of containers that name none
        super().__init__(netns=f"{self.prefix}-net", address=CONTROL)
        self.nodes = [f"node-{number}" for number in range(1, nodes + 1)]
        self.build = pathlib.Path(build or os.environ.get("WEFT_BUILD", "build")).resolve()
        self.cgroup = cgroup_root() / self.prefix

    def node_state(self, name):
        """Its files: root/ is the node's own file system as hostPath volumes see it."""
        return self.folder / "nodes" / name

    def start(self):
        self.make_network()
        super().start()
        self.kubeconfig_of_nodes = self.folder / "nodes.kubeconfig"
        self.kubeconfig_of_nodes.write_text(self.config_for(f"https://{CONTROL}:443"))
        self.spawn_lab("scheduler", self.netns, self.cgroup / "scheduler", "scheduler", "--kubeconfig", self.kubeconfig)
        for number, name in enumerate(self.nodes, 1):
            self.start_node(number, name)

        def ready():
            done = self.kubectl("get", "nodes", "--no-headers", check=False)
            return [line.split()[1] for line in done.stdout.splitlines()] == ["Ready"] * len(self.nodes)
        self.until(ready, "the nodes")

    def make_network(self):
        ip("netns", "add", self.netns)
        ip("link", "set", "lo", "up", netns=self.netns)
        ip("link", "add", "link0", "type", "bridge", "mcast_snooping", "0", netns=self.netns)
        ip("link", "set", "link0", "up", netns=self.netns)
        for address in (f"{CONTROL}/24", f"{API_SERVICE}/32"):
            ip("addr", "add", address, "dev", "link0", netns=self.netns)
        ip("addr", "add", "fd00:77::fe/64", "dev", "link0", "nodad", netns=self.netns)
        for number, name in enumerate(self.nodes, 1):
            netns = f"{self.prefix}-{name}"
            ip("netns", "add", netns)
            settings = ("for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad;"
                        " echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; done;"
                        " echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
            ip("netns", "exec", netns, "sh", "-c", settings)
            ip("link", "add", f"node{number}", "type", "veth", "peer", "name", "eth0", "netns", netns, netns=self.netns)
            ip("link", "set", f"node{number}", "master", "link0", "up", netns=self.netns)
            ip("link", "set", "lo", "up", netns=netns)
            ip("link", "set", "eth0", "up", netns=netns)
            ip("addr", "add", f"192.168.77.{number}/24", "dev", "eth0", netns=netns)
            ip("addr", "add", f"fd00:77::{number}/64", "dev", "eth0", "nodad", netns=netns)
            ip("route", "add", f"{API_SERVICE}/32", "via", CONTROL, netns=netns)
            for other in range(1, len(self.nodes) + 1):
                if other != number:
                    ip("route", "add", f"10.244.{other}.0/24", "via", f"192.168.77.{other}", netns=netns)
                    ip("route", "add", f"fd00:10:244:{other}::/64", "via", f"fd00:77::{other}", netns=netns)
            ip("route", "add", f"10.244.{number}.0/24", "via", f"192.168.77.{number}", netns=self.netns)
            ip("route", "add", f"fd00:10:244:{number}::/64", "via", f"fd00:77::{number}", netns=self.netns)

    def start_node(self, number, name):
        state = self.node_state(name)
        conf = state / "root/etc/cni/net.d"
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "10-lab.conflist").write_text(conflist(number, state))
        plugins = state / "root/opt/cni/bin"
        plugins.mkdir(parents=True, exist_ok=True)
        images = [word for image, path in self.images().items() for word in ("--image", f"{image}={path}")]
        for folder in ("root/run/weft", "run"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        self.spawn_lab(name, f"{self.prefix}-{name}", self.cgroup / name / "kubelet", "node",
                       "--kubeconfig", self.kubeconfig_of_nodes, "--name", name, "--address", f"192.168.77.{number}",
                       "--netns", f"/run/netns/{self.prefix}-{name}", "--netns-prefix", f"{self.prefix}-pod-",
                       "--state", state, "--cgroup", self.cgroup / name, "--cni-conf", conf,
                       "--cni-bin", f"{plugins}:{CNI_BIN}", "--client-ca", self.folder / "ca.crt",
                       "--working-dir", self.working_dir,
                       "--seccomp-runner", pathlib.Path(__file__).resolve().with_name("seccomp_run.py"), *images, run=state)

    def images(self):
        found = {name: self.build / folder / name for name, folder in PROGRAMS.items()}
        found |= {name: self.programs / "bin" / name for name in TOOLS}
        return {name: path.resolve() for name, path in found.items() if path.exists()}

    def spawn_lab(self, name, netns, cgroup, *words, run=None):
        """`run`: the node's folder, whose root/run/weft is /run/weft for the process and its plugins."""
        cgroup.mkdir(parents=True, exist_ok=True)
        program = self.folder / "kubelet"  # by this name a node's agent finds it
        if not program.exists():
            program.symlink_to(self.programs / "bin/labnode")
        # A /run of its own: a mount on the machine's would go when somebody else removes that folder. What is
        # mounted below /run/netns stays the machine's.
        own = ["unshare", "--mount", "--propagation", "unchanged", "--", "sh", "-ec",
               "for i in / /run; do ! mountpoint -q $i || mount --make-private $i; done; cd $0;"
               " mount -t tmpfs -o mode=755 weft run; mkdir run/netns run/weft; mount --rbind /run/netns run/netns;"
               " mount --bind root/run/weft run/weft; mount --rbind run /run; cd /; exec \"$@\"", run] if run else []

        def place():
            die_with_parent()
            (cgroup / "cgroup.procs").write_text("0")
        with open(self.folder / f"{name}.log", "wb") as log:
            self.children[name] = subprocess.Popen(  # pylint: disable=consider-using-with
                ["nsenter", f"--net=/run/netns/{netns}", "--", *own, program, *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=place)

    def left(self):
        names = super().left() + [one.name for one in pathlib.Path("/run/netns").glob(f"{self.prefix}*")]
        names += [str(one) for one in [self.cgroup] if one.exists()]
        mounts = pathlib.Path("/proc/mounts").read_text().splitlines()
        return names + [line for line in mounts if self.prefix in line or str(self.folder) in line]

    def stop(self):
        for name in (*self.nodes, "scheduler"):
            child = self.children.pop(name, None)
            if child is not None:
                child.kill()
                child.wait()
        groups = sorted(self.cgroup.glob("**/"), key=lambda one: -len(one.parts)) if self.cgroup.exists() else []
        if groups:
            (self.cgroup / "cgroup.kill").write_text("1")
        super().stop()
        deadline = time.monotonic() + 10
        while groups and "populated 1" in (self.cgroup / "cgroup.events").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        for group in groups:
            group.rmdir()
        for netns in pathlib.Path("/run/netns").glob(f"{self.prefix}*"):
            ip("netns", "del", netns.name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def usage(lab):
    return (f"    nsenter --net=/run/netns/{lab.netns}\n    export KUBECONFIG={lab.kubeconfig}\n"
            f"    {lab.programs}/bin/kubectl get nodes")


if __name__ == "__main__":
    sys.exit(hold(Lab, usage))
