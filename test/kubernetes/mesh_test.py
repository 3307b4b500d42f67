#!/usr/bin/env python3
"""The node's side of the mesh on a real API server: pods of labelled namespaces are in the mesh by weft-cni
and weft-agent, wait when they must, and leave it without a trace.

    test/kubernetes/mesh_test.py [WORD of a test's name]...
"""
import json
import pathlib
import signal
import subprocess
import sys
import time

from cluster import die_with_parent, expect, run_tests
from lab import CONTROL
from mesh_lab import MeshLab

SERVER = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: SPACE, labels: {app: NAME, LABELS}}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers:
  - {name: web, image: python, command: [python3, -u, -m, http.server, "8080"], MORE}
"""

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: SPACE}
spec: {mtls: {mode: STRICT}}
"""


def apply_server(lab, name, space="shop", node="node-1", labels="", more=""):
    text = SERVER.replace("NAME", name).replace("SPACE", space).replace("NODE", node)
    lab.kubectl("apply", "-f", "-", input=text.replace("LABELS", labels).replace("MORE", more))


def wait_ready(lab, name, space="shop"):
    lab.kubectl("-n", space, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=30s")
    return lab.pod(space, name)["status"]["podIP"]


def namespace(lab, name, mode=None):
    lab.kubectl("create", "namespace", name)
    if mode:
        lab.kubectl("label", "namespace", name, f"istio.io/dataplane-mode={mode}")
    lab.until(lambda: lab.kubectl("-n", name, "get", "serviceaccount", "default", check=False).returncode == 0,
              f"the service account of {name}")


def is_annotated(lab, space, name):
    return lab.pod(space, name)["metadata"].get("annotations", {}).get("ambient.istio.io/redirection") == "enabled"


def events(lab, space, name):
    found = json.loads(lab.kubectl("-n", space, "get", "events", "-o", "json").stdout)["items"]
    return [f"{one['reason']}: {one['message']}" for one in found if one["involvedObject"]["name"] == name]


def last_from(lab, node, space, pod):
    """The last line of the node's access log with this pod as the source."""
    lines = [one for one in lab.access_log(node) if one.get("src.workload") == pod and one.get("src.namespace") == space]
    return lines[-1] if lines else {}


class Held:
    """Half a request, on a connection that waits for the rest of it."""

    SCRIPT = ("import socket, sys; wire = socket.create_connection((sys.argv[1], 8080), timeout=30); "
              "wire.sendall(b'GET / HTTP/1.0\\r\\n'); print('open', flush=True); sys.stdin.readline(); "
              "wire.sendall(b'\\r\\n'); print(wire.makefile('rb').read().decode())")

    def __init__(self, lab, space, pod, address):
        words = ["-n", space, "exec", "-i", pod, "--", "python3", "-c", self.SCRIPT, address]
        self.said = ""
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            lab.inside([lab.programs / "bin/kubectl", *words]), env=lab.environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(self.process.stdout.readline() == "open\n", "a connection does not open")

    def finish(self):
        self.said, _ = self.process.communicate("\n", timeout=40)
        return self.said


class Wire:
    """What is seen of it between the nodes: words in the clear, and whether there are tunnels."""

    SCRIPT = ("import re, socket, struct; wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); "
              "wire.bind(('node1', 0)); print('open', flush=True)\n"
              "while True:\n"
              "    frame = wire.recv(65536)\n"
              "    for word in re.findall(rb'[?](seen-[a-z]+)', frame): print(word.decode(), flush=True)\n"
              "    if frame[12:14] == b'\\x08\\x00' and frame[23] == 6:\n"
              "        at = 14 + 4 * (frame[14] & 15)\n"
              "        if 15008 in struct.unpack('!HH', frame[at:at + 4]): print('tunnel', flush=True)\n")

    def __init__(self, lab):
        self.path = lab.folder / "wire.log"
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                lab.inside([sys.executable, "-c", self.SCRIPT]), stdout=log)
        lab.until(lambda: self.words() == ["open"], "the capture")

    def words(self):
        return self.path.read_text().split()

    def stop(self):
        self.process.kill()
        self.process.wait()


def scale_agent(lab, on):
    """Off: no node matches its DaemonSet, which stays."""
    selector = "null" if on else '{"nobody": "here"}'
    lab.kubectl("-n", "weft-system", "patch", "daemonset", "weft-agent", "-p",
                '{"spec": {"template": {"spec": {"nodeSelector": %s}}}}' % selector)
    lab.until(lambda: all((lab.of_mesh("weft-agent", node) is not None) == on for node in lab.nodes), "the agents")
    if on:
        lab.kubectl("-n", "weft-system", "rollout", "status", "daemonset/weft-agent", "--timeout=30s")


def test_pods_of_a_labelled_namespace_speak_mutual_tls(lab):
    namespace(lab, "shop", "ambient")
    apply_server(lab, "web", node="node-1")
    apply_server(lab, "client", node="node-2")
    address = wait_ready(lab, "web")
    wait_ready(lab, "client")
    lab.until(lambda: "Directory listing" in (lab.fetch("shop", "client", f"http://{address}:8080/") or ""), "an answer")
    lab.until(lambda: last_from(lab, "node-2", "shop", "client").get("dst.hbone_addr") == f"{address}:8080",
              "a tunnel in the access log")
    line = last_from(lab, "node-2", "shop", "client")
    expect(line["src.identity"] == "spiffe://cluster.local/ns/shop/sa/default", f"its identity: {line}")
    lab.until(lambda: is_annotated(lab, "shop", "web"), "the annotation")
    expect(lab.conflist("node-1")["plugins"][-1]["type"] == "weft-cni", "weft-cni is not chained last")


def test_strangers_are_refused_under_strict(lab):
    lab.kubectl("apply", "-f", "-", input=STRICT.replace("SPACE", "shop"))
    namespace(lab, "plain")
    apply_server(lab, "stranger", "plain", "node-2")
    wait_ready(lab, "stranger", "plain")
    address = lab.pod("shop", "web")["status"]["podIP"]
    lab.until(lambda: lab.fetch("plain", "stranger", f"http://{address}:8080/") is None, "the refusal of plaintext")
    expect(lab.fetch("shop", "client", f"http://{address}:8080/") is not None, "the mesh's own is refused")
    expect(not is_annotated(lab, "plain", "stranger"), "a stranger says that it is in the mesh")
    lab.kubectl("-n", "shop", "delete", "peerauthentication", "strict")


def refusal(lab, kind):
    """Why control refuses shop/there, and what holds instead; "" when it does not."""
    conditions = lab.object(kind, "shop", "there").get("status", {}).get("conditions", [])
    return next((one["message"] for one in conditions if one["reason"] == "Invalid"), "")


def closes_what_it_names(lab, kind, bad, good, what, why):
    """Never good: closed. Mended: open. Wrong again: as it was. Gone: open."""
    url = f"http://{CONTROL}:9900/"

    def put(spec):
        lab.kubectl("apply", "-f", "-", input=json.dumps({
            "apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "there", "namespace": "shop"}, "spec": spec}))

    def passes(when):
        lab.until(lambda: lab.fetch("shop", "client", url) is not None, f"{kind}: an answer {when}")
    passes("before")
    put(bad)
    lab.until(lambda: refusal(lab, kind).endswith(f"; it was never good here: {what}"), f"{kind}: its status")
    lab.until(lambda: lab.fetch("shop", "client", url) is None, f"{kind}: nobody connects to what it names")
    lab.until(lambda: any(one.get("dst.addr") == f"{CONTROL}:9900" and one.get("reason") == why for one in lab.access_log("node-2")),
              f"{kind}: {why} in the access log")
    put(good)
    lab.until(lambda: not refusal(lab, kind), f"{kind}: its status when it is mended")
    passes("when it is mended")
    put(bad)
    lab.until(lambda: refusal(lab, kind).endswith("; what was good before stays in force"), f"{kind}: its status again")
    passes("with what was good before")
    lab.kubectl("-n", "shop", "delete", kind, "there")
    passes("afterwards")


def test_entries_that_never_were_good_close_what_they_name(lab):
    """Their definitions allow such weights, our readers do not."""
    folder = lab.folder / "outside"
    folder.mkdir()
    with subprocess.Popen(lab.inside([sys.executable, "-m", "http.server", "9900", "--bind", CONTROL, "--directory", folder]),
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent) as server:
        try:
            closes_what_it_names(lab, "WorkloadEntry", {"address": CONTROL, "weight": 4294967295}, {"address": CONTROL},
                                 "connections to its address are refused", "waypoint_missing")
            entry = {"hosts": ["there.example"], "addresses": [CONTROL], "resolution": "STATIC",
                     "ports": [{"number": 9900, "name": "http", "protocol": "HTTP"}]}
            closes_what_it_names(lab, "ServiceEntry", {**entry, "endpoints": [{"address": CONTROL, "weight": 4294967295}]},
                                 {**entry, "endpoints": [{"address": CONTROL}]},
                                 "connections to its hosts and addresses are refused", "no_endpoint")
        finally:
            server.kill()


def test_kubelet_probes_pass_under_strict_and_nobody_else_of_the_node(lab):
    lab.kubectl("apply", "-f", "-", input=STRICT.replace("SPACE", "shop"))
    probes = ("readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}, "
              "livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 2}")
    # Strict from its first packet on: not to be ready by what passed before.
    lab.until(lambda: lab.fetch("plain", "stranger", f"http://{lab.pod('shop', 'web')['status']['podIP']}:8080/") is None,
              "STRICT in force")
    apply_server(lab, "probed", node="node-1", more=probes)
    address = wait_ready(lab, "probed")
    lab.kubectl("apply", "-f", "-", input="""
apiVersion: v1
kind: Service
metadata: {name: probed, namespace: shop}
spec: {type: NodePort, selector: {app: probed}, ports: [{port: 80, targetPort: 8080, nodePort: 30081}]}
""")

    def heard():
        return {line.split()[0] for line in lab.kubectl("-n", "shop", "logs", "probed").stdout.splitlines() if "GET" in line}
    expect(heard() == {"169.254.7.127"}, f"the probes come from {heard()}")

    def from_node(*words, node="node-1"):
        return subprocess.run(["nsenter", f"--net=/run/netns/{lab.prefix}-{node}", "curl", "-sS", "-m", "3", *words],
                              capture_output=True, text=True, check=False)
    expect(from_node(f"http://{address}:8080/").returncode != 0, "a host process from the node's address gets in")
    taken = from_node("--interface", "169.254.7.127", f"http://{address}:8080/")
    expect(taken.returncode != 0, "a host process takes the probes' address")
    expect("bind failed" in taken.stderr or "not permitted" in taken.stderr, f"it was refused otherwise: {taken.stderr}")
    rules = subprocess.run(["nsenter", f"--net=/run/netns/{lab.prefix}-node-1", "nft", "list", "ruleset"],
                           capture_output=True, text=True, check=False).stdout
    expect("30081" in rules, "there is no node port to try")
    expect(from_node("http://192.168.77.1:30081/", node="node-2").returncode != 0, "node port traffic gets in")
    expect(heard() == {"169.254.7.127"}, f"others were heard: {heard()}")
    time_up = time.monotonic() + 3  # some liveness probes
    lab.until(lambda: time.monotonic() > time_up, "some probes")
    status = lab.pod("shop", "probed")["status"]["containerStatuses"][0]
    expect(status["restartCount"] == 0 and status["ready"], f"its probes fail: {status}")
    lab.kubectl("-n", "shop", "delete", "peerauthentication", "strict")
    lab.kubectl("-n", "shop", "delete", "pod/probed", "service/probed")


def test_a_label_enrols_and_unenrols_pods_that_run(lab):
    address = lab.pod("plain", "stranger")["status"]["podIP"]
    web = lab.pod("shop", "web")["status"]["podIP"]
    wire = Wire(lab)
    expect(lab.fetch("plain", "stranger", f"http://{web}:8080/?seen-before") is not None, "no answer before the label")
    lab.until(lambda: "seen-before" in wire.words(), "plain text before the label")
    before = lab.pod("plain", "stranger")["status"]["containerStatuses"][0]
    lab.kubectl("label", "namespace", "plain", "istio.io/dataplane-mode=ambient")
    lab.until(lambda: is_annotated(lab, "plain", "stranger"), "the annotation")
    target = lab.pod("shop", "web")["status"]["podIP"]
    tunnels = wire.words().count("tunnel")
    expect(lab.fetch("plain", "stranger", f"http://{target}:8080/?seen-after") is not None, "no answer after the label")
    lab.until(lambda: wire.words().count("tunnel") > tunnels, "a tunnel between the nodes")
    lab.until(lambda: last_from(lab, "node-2", "plain", "stranger").get("dst.hbone_addr") == f"{target}:8080", "a tunnel")
    after = lab.pod("plain", "stranger")["status"]["containerStatuses"][0]
    expect(before["restartCount"] == after["restartCount"] and before["state"] == after["state"], "it was restarted")

    held = [Held(lab, "plain", "stranger", target), Held(lab, "shop", "client", address)]
    lab.kubectl("-n", "plain", "label", "pod", "stranger", "istio.io/dataplane-mode=none")
    lab.until(lambda: not is_annotated(lab, "plain", "stranger"), "the end of the annotation")
    lines = len(lab.access_log("node-2"))
    expect(lab.fetch("shop", "client", f"http://{address}:8080/") is not None, "not reached as a stranger")
    expect(lab.fetch("plain", "stranger", f"http://{target}:8080/?seen-left") is not None, "does not reach as a stranger")
    lab.until(lambda: "seen-left" in wire.words(), "plain text after the label")
    wire.stop()
    # What came between these two would be between them.
    expect("seen-after" not in wire.words(), "the wire shows what was said in the mesh")
    expect(all(one.get("src.workload") != "stranger" for one in lab.access_log("node-2")[lines:]), "ztunnel saw it")
    removed = "pod plain/stranger ({}) removed".format(lab.pod("plain", "stranger")["metadata"]["uid"])
    expect(removed not in lab.mesh_log("weft-agent", "node-2"), "it is out of the mesh with connections open")
    for one in held:
        expect("Directory listing" in one.finish(), f"a connection through ztunnel ended as its pod left: {one.said}")
    lab.until(lambda: removed in lab.mesh_log("weft-agent", "node-2"), "the end of the pod's capture")
    expect(lab.fetch("shop", "client", f"http://{address}:8080/") is not None, "not reached as a stranger")
    lab.kubectl("-n", "plain", "label", "pod", "stranger", "istio.io/dataplane-mode-")
    lab.until(lambda: is_annotated(lab, "plain", "stranger"), "the annotation again")
    lab.kubectl("label", "namespace", "plain", "istio.io/dataplane-mode-")
    lab.until(lambda: not is_annotated(lab, "plain", "stranger"), "the end of the annotation")


def test_host_network_and_none_are_left_alone(lab):
    apply_server(lab, "none", labels="istio.io/dataplane-mode: none")
    lab.kubectl("-n", "shop", "run", "host", "--image=busybox", "--overrides",
                '{"spec": {"hostNetwork": true, "nodeName": "node-1"}}', "--command", "--", "sleep", "1000")
    wait_ready(lab, "none")
    wait_ready(lab, "host")
    expect(not is_annotated(lab, "shop", "none") and not is_annotated(lab, "shop", "host"), "one is in the mesh")
    lab.kubectl("-n", "shop", "delete", "pod", "none", "host", "--force", "--grace-period=0")


def test_init_containers_and_jobs_are_served(lab):
    address = lab.pod("shop", "web")["status"]["podIP"]
    lab.kubectl("apply", "-f", "-", input=f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: shop}}
spec:
  template:
    spec:
      restartPolicy: Never
      nodeName: node-2
      initContainers:
      - {{name: first, image: busybox, command: [curl, -sSf, -m, "5", "http://{address}:8080/"]}}
      containers:
      - {{name: once, image: busybox, command: [curl, -sSf, -m, "5", "http://{address}:8080/"]}}
""")
    lab.kubectl("-n", "shop", "wait", "--for=condition=Complete", "job/once", "--timeout=30s")
    lines = [one for one in lab.access_log("node-2") if one.get("src.workload", "").startswith("once")]
    expect(len(lines) == 2 and all("dst.hbone_addr" in one for one in lines), f"not both through the mesh: {lines}")
    expect("removed" in lab.mesh_log("weft-agent", "node-2"), "a job that is done is still enrolled")


def test_without_an_agent_pods_wait_but_those_of_excluded_namespaces(lab):
    scale_agent(lab, False)
    apply_server(lab, "late")
    apply_server(lab, "system", "kube-system")
    wait_ready(lab, "system", "kube-system")
    lab.until(lambda: any("weft-agent does not answer" in one for one in events(lab, "shop", "late")), "the event")
    expect(lab.pod("shop", "late")["status"]["phase"] == "Pending", "it runs without the agent")
    target = lab.pod("shop", "web")["status"]["podIP"]
    expect(lab.fetch("shop", "client", f"http://{target}:8080/") is not None, "pods of before suffer")
    # What happens while nobody looks is made up for.
    lab.kubectl("-n", "plain", "label", "pod", "stranger", "istio.io/dataplane-mode=ambient")
    lab.kubectl("-n", "shop", "delete", "pod", "client", "--force", "--grace-period=0")
    scale_agent(lab, True)
    wait_ready(lab, "late")
    lab.until(lambda: is_annotated(lab, "shop", "late") and is_annotated(lab, "plain", "stranger"), "both in the mesh")
    lab.kubectl("-n", "shop", "delete", "pod", "late")
    lab.kubectl("-n", "kube-system", "delete", "pod", "system")


def test_without_a_ztunnel_pods_wait_and_say_so(lab):
    lab.kubectl("-n", "weft-system", "patch", "daemonset", "ztunnel", "-p",
                '{"spec": {"template": {"spec": {"nodeSelector": {"nobody": "here"}}}}}')
    lab.until(lambda: lab.of_mesh("ztunnel", "node-1") is None, "the end of ztunnel")
    apply_server(lab, "late")
    lab.until(lambda: any(one.startswith("WaitingForZtunnel: this node has no ztunnel")
                          for one in events(lab, "shop", "late")), "the event")
    expect(lab.pod("shop", "late")["status"]["phase"] == "Pending", "it runs without ztunnel")
    lab.kubectl("-n", "weft-system", "patch", "daemonset", "ztunnel", "-p",
                '{"spec": {"template": {"spec": {"nodeSelector": null}}}}')
    wait_ready(lab, "late")
    lab.until(lambda: is_annotated(lab, "shop", "late"), "the annotation")
    lab.kubectl("-n", "shop", "delete", "pod", "late")


def test_the_plugin_by_hand(lab):
    """As the runtime runs it, with its time; the machine decides what that means, so nothing hangs on it."""
    pod = lab.pod("shop", "web")
    uid = pod["metadata"]["uid"]
    netns = f"/run/netns/{lab.prefix}-pod-{uid[:13]}"
    environment = {"CNI_CONTAINERID": uid, "CNI_NETNS": netns, "CNI_IFNAME": "eth0", "CNI_PATH": "/",
                   "CNI_ARGS": f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID={uid}"}
    address = pod["status"]["podIP"]
    config = {"cniVersion": "1.0.0", "name": "lab", "type": "weft-cni",
              "agentSocket": str(lab.node_state("node-1") / "root/run/weft/agent.sock"),
              "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": f"{address}/24"}], "dns": {}}}

    def plugin(command, **more):
        began = time.monotonic()
        done = subprocess.run([lab.build / "ebpf/weft-cni"], input=json.dumps({**config, **more}), text=True, capture_output=True,
                              env={**environment, "CNI_COMMAND": command}, check=False)
        took = (time.monotonic() - began) * 1000
        expect(done.returncode == 0, f"{command}: {done.stdout} {done.stderr}")
        return done.stdout, took
    adds, checks = [], []
    for _ in range(5):
        expect(plugin("DEL")[0] == "", "DEL says something")
        printed, took = plugin("ADD")
        adds.append(took)
        expect(json.loads(printed) == config["prevResult"], f"ADD printed {printed}")
        checks.append(plugin("CHECK")[1])
    expect("1.1.0" in json.loads(plugin("VERSION")[0])["supportedVersions"], "VERSION")
    expect(plugin("STATUS")[0] == "", "STATUS says something")
    print(f"      ADD with an enrolment {sorted(adds)[2]:.1f} ms, CHECK {sorted(checks)[2]:.1f} ms", flush=True)
    # What the runtime does not name in a GC is gone, and nothing else.
    names = lab.kubectl("get", "pods", "-A", "--field-selector=spec.nodeName=node-1", "-o",
                        "jsonpath={.items[*].metadata.uid}").stdout.split()

    def removed():
        log = lab.mesh_log("weft-agent", "node-1")
        return [log.count(f"({one}) removed") for one in names]
    valid = [{"containerID": one, "ifname": "eth0"} for one in names]
    before = removed()
    lab.children["node-1"].send_signal(signal.SIGUSR1)  # the runtime's own
    plugin("GC", **{"cni.dev/valid-attachments": valid})
    expect(removed() == before, "a GC that names every pod removes one")
    plugin("GC", **{"cni.dev/valid-attachments": [one for one in valid if one["containerID"] != uid]})
    expect([after - was for after, was in zip(removed(), before)] == [int(one == uid) for one in names],
           "a GC does not remove what is not named, or something else")
    plugin("ADD")
    plugin("DEL")
    listed = lab.mesh_log("weft-agent", "node-1").count("shop/web")
    expect(listed >= 10, "the agent did not hear of it")
    plugin("ADD")
    expect(lab.fetch("plain", "stranger", f"http://{address}:8080/") is not None, "not reached any more")


def test_the_configuration_is_mended(lab):
    folder = lab.node_state("node-1") / "root/etc/cni/net.d"
    (path,) = folder.glob("*.conflist")
    plain = lab.conflist("node-1")
    plain["plugins"] = [one for one in plain["plugins"] if one["type"] != "weft-cni"]
    for spoil in (lambda: path.write_text(json.dumps(plain)), path.unlink,
                  (lab.node_state("node-1") / "root/opt/cni/bin/weft-cni").unlink):
        spoil()
        if not path.exists():
            path.write_text(json.dumps(plain))
        lab.until(lambda: lab.conflist("node-1")["plugins"][-1]["type"] == "weft-cni"
                  and (lab.node_state("node-1") / "root/opt/cni/bin/weft-cni").exists(), "the repair")


def test_uninstall_leaves_nothing(lab):
    lab.kubectl("delete", "-f", pathlib.Path(__file__).with_name("mesh.yaml"), "--wait=false")
    lab.until(lambda: all(one["type"] != "weft-cni" for node in lab.nodes for one in lab.conflist(node)["plugins"]),
              "the end of the chaining")
    lab.until(lambda: not list(lab.folder.glob("nodes/*/root/opt/cni/bin/weft-cni")), "the plugin's end")

    def programs():
        found = []
        for netns in pathlib.Path("/run/netns").glob(f"{lab.prefix}-pod-*"):
            shown = subprocess.run(["nsenter", f"--net={netns}", "bpftool", "net"], capture_output=True, text=True,
                                   check=False).stdout
            found += [line for line in shown.splitlines() if "weft" in line]
        return found
    lab.until(lambda: not programs(), "the programs' end")
    target = lab.pod("shop", "web")["status"]["podIP"]
    expect(lab.fetch("plain", "stranger", f"http://{target}:8080/") is not None, "pods do not reach each other any more")
    apply_server(lab, "after")
    wait_ready(lab, "after")


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]


if __name__ == "__main__":
    sys.exit(run_tests([test for test in TESTS if not sys.argv[1:] or any(word in test.__name__ for word in sys.argv[1:])],
                       MeshLab))
