"""The lab itself: it comes up or says why not, follows its manifests, and leaves nothing behind."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

from harness import SHOP, WEFT, Failed, Lab, expect, run, stop_on_signal, until, weft

LONELY = """
apiVersion: v1
kind: Pod
metadata: {name: lonely, namespace: default, labels: {app: lonely}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: a, command: [sleep, infinity]}]
"""


def traces(name):
    listings = [["ls", "/run/netns"], ["cat", "/proc/mounts"], ["ls", "/run/weft/lab"],
                ["find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", "weft-lab-*"],
                ["find", "/sys/fs/bpf", "-mindepth", "1"], ["ps", "-eo", "args"]]
    text = "".join(subprocess.run(one, capture_output=True, text=True, check=False).stdout for one in listings)
    return [line for line in text.splitlines() if name in line and "python" not in line]


def expect_nothing_left(name):
    left = traces(name)
    expect(not left, f"left behind: {left}")


def write(lab_folder, **files):
    folder = pathlib.Path(lab_folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_nothing_stays_after_down():
    lab = Lab("down")
    expect(len(traces(lab.name)) > 10, "the list of traces sees nothing of a running lab")
    weft("lab", "down", lab.name)
    expect_nothing_left(lab.name)
    lab.down()


def test_nothing_stays_after_an_interrupt():
    name = f"interrupt-{os.getpid()}"
    for wanted in ("network", "is up after"):
        child = subprocess.Popen([WEFT, "lab", "up", str(SHOP), "--name", name, "--foreground"],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in child.stdout:
            if wanted in line:
                break
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
        expect_nothing_left(name)


def test_nothing_stays_after_a_crash():
    lab = Lab("crash")
    supervisor = lab.record()["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not pathlib.Path(f"/proc/{supervisor}").exists(), "the supervisor is gone")
    expect("crashed" in weft("lab", "list").stdout, "lab list does not say so")
    weft("lab", "down", lab.name)
    expect_nothing_left(lab.name)
    lab.down()


def test_two_labs_side_by_side():
    one, two = Lab("one"), Lab("two")
    try:
        for lab in (one, two):
            lab.works(f"in {lab.name}")
        expect(one.address("cart") == two.address("cart"), "labs share no link, so they share a plan")
        again = weft("lab", "up", str(SHOP), "--name", one.name, check=False)
        expect(again.returncode == 1 and "is running" in again.stdout, f"{again.stdout}{again.stderr}")
        one.down()
        two.works("after the other went down")
    finally:
        one.down()
        two.down()
    expect_nothing_left(one.name)


def test_invalid_manifests_are_refused_with_their_place():
    lab = Lab("invalid")
    scratch = lab.scratch
    try:
        cases = {
            "policy": ("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n"
                       "  action: DENY\n  rulez: []\n", "policy.yaml:6"),
            "yaml": ("kind: Pod\nmetadata: {name: [\n", "yaml.yaml:"),
            "pod": ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: a}]}\n",
                    "pod.yaml:1"),
        }
        for name, (text, place) in cases.items():
            folder = write(scratch / name, **{name: text})
            done = weft("lab", "up", str(folder), "--name", f"bad-{os.getpid()}", check=False)
            expect(done.returncode == 1 and place in done.stdout, f"{name}: {done.stdout}{done.stderr}")
            expect_nothing_left(f"bad-{os.getpid()}")
        apply = weft("lab", "apply", "-l", lab.name, str(scratch / "policy" / "policy.yaml"), check=False)
        expect(apply.returncode == 1 and "policy.yaml:6" in apply.stderr, apply.stderr)
        # Written past the check, straight into the folder: the last good state stays in force.
        (lab.folder() / "manifests" / "broken.yaml").write_text(cases["policy"][0], encoding="utf-8")
        lab.works()
    finally:
        lab.down()


def test_pods_come_change_and_go():
    lab = Lab("pods")
    try:
        lab.apply(LONELY, "lonely.yaml")
        until(lambda: any(one["name"] == "lonely" and one["ready"] for one in lab.record()["pods"]), "lonely runs")
        first = lab.pod("lonely")
        expect(not first["enrolled"], "its namespace is not in the mesh")
        lab.apply(LONELY.replace("infinity", '"12345"'), "lonely.yaml")
        until(lambda: any(one["name"] == "lonely" and one["ready"] and one["uid"] != first["uid"]
                          for one in lab.record()["pods"]), "lonely runs anew")
        expect(lab.address("lonely") != first["addresses"][0], "its address was given away at once")
        lab.delete("pod", "default/lonely")
        until(lambda: all(one["name"] != "lonely" for one in lab.record()["pods"]), "lonely is gone")
        expect(not any("lonely" in line for line in traces(lab.name)), "something of it stays")
    finally:
        lab.down()


def test_a_pod_joins_and_leaves_the_mesh_without_a_restart():
    lab = Lab("join")
    try:
        before = lab.pod("outsider")
        lab.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: outside, labels: "
                  "{istio.io/dataplane-mode: ambient}}\n", "outside.yaml")
        # outside.yaml also held the ServiceAccount; nothing of the lab needs it.
        until(lambda: lab.pod("outsider")["enrolled"], "outsider joins")
        lab.settled()
        until(lambda: "plum" in lab.curl("outsider", f"http://{lab.address('cart')}:8000/").stdout, "it reaches cart")
        until(lambda: "ns/outside/sa/outsider" in lab.log("node-2.ztunnel"), "with its own identity")
        expect(lab.pod("outsider")["pids"] == before["pids"], "it was restarted")
        lab.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: outside}\n", "outside.yaml")
        until(lambda: not lab.pod("outsider")["enrolled"], "outsider leaves")
        lab.settled()
        until(lambda: "plum" in lab.curl("outsider", f"http://{lab.address('cart')}:8000/").stdout, "it still does")
    finally:
        lab.down()


HOLD = """
import socket, sys
s = socket.create_connection((sys.argv[1], 6379), 5); s.settimeout(10)
print('open', flush=True)
for line in sys.stdin:
    try:
        s.sendall(b'PING\\r\\n'); print(s.recv(10).decode().strip() or 'ended', flush=True)
    except OSError: print('ended', flush=True)
"""


ECHO = """
import socket
s = socket.create_server(('', 7777)); print('listening', flush=True)
c = s.accept()[0]
while c.recv(100): c.sendall(b'+PONG\\r\\n')
"""


def ping(child):
    child.stdin.write("x\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


def ask_agent(lab, node, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as agent:
        agent.settimeout(10)
        agent.connect(str(lab.folder() / "nodes" / node / "agent.sock"))
        agent.send(json.dumps(request).encode())
        return json.loads(agent.recv(20000))


def test_connections_older_than_the_mesh_go_on_are_counted_and_end_on_request():
    lab = Lab("older")
    try:
        old, first = lab.spawn("outsider", HOLD, lab.address("redis"))
        expect(first == "open", first)
        expect(ping(old) == "+PONG", "no answer before")
        lab.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: outside, labels: "
                  "{istio.io/dataplane-mode: ambient}}\n", "outside.yaml")
        until(lambda: lab.pod("outsider")["enrolled"], "outsider joins")
        expect(ping(old) == "+PONG", "a connection older than the mesh was lost")
        uid = lab.pod("outsider")["uid"]
        listed = next(one for one in ask_agent(lab, "node-1", {"op": "list"})["pods"] if one["uid"] == uid)
        expect(listed["preexisting"] == 1, f"it is not counted: {listed}")
        expect(ask_agent(lab, "node-1", {"op": "end-connections", "uid": uid})["ok"], "it cannot be ended")
        expect(ping(old) == "ended", "it goes on")
        old.kill()
    finally:
        lab.down()


def test_connections_older_than_the_mesh_end_when_plaintext_is_refused():
    lab = Lab("strict")
    try:
        # To outsider, which is no pod of the mesh yet, web speaks plaintext.
        address = lab.address("outsider")
        server, first = lab.spawn("outsider", ECHO)
        expect(first == "listening", first)
        old, first = lab.spawn("web", HOLD.replace("6379", "7777"), address)
        expect(first == "open" and ping(old) == "+PONG", "no answer before")
        lab.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: outside, labels: "
                  "{istio.io/dataplane-mode: ambient}}\n", "outside.yaml")
        until(lambda: lab.pod("outsider")["enrolled"], "outsider joins")
        peer = ("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
                "metadata: {name: all, namespace: outside}\nspec: {mtls: {mode: %s}}\n")
        lab.apply(peer % "PERMISSIVE", "peer.yaml")
        lab.settled()
        expect(ping(old) == "+PONG", "a connection older than the mesh was lost while PERMISSIVE")
        lab.apply(peer % "STRICT", "peer.yaml")
        until(lambda: ping(old) == "ended", "it is ended under STRICT", 5)
        until(lambda: "ended connections older than the enrolment" in lab.log("node-1.ztunnel")
              + lab.log("node-2.ztunnel"), "a log line says so")
        old.kill()
        server.kill()
    finally:
        lab.down()


def test_a_pod_whose_agent_is_away_waits():
    lab = Lab("wait")
    try:
        weft("lab", "stop", "-l", lab.name, "node-1/agent")
        lab.apply(LONELY.replace("namespace: default", "namespace: shop")
                  .replace("spec:", "spec:\n  nodeName: node-1"), "lonely.yaml")
        until(lambda: any(one["name"] == "lonely" and one["message"] for one in lab.record()["pods"]), "it says why")
        expect(lab.pod("lonely")["phase"] == "Pending", "it ran outside the mesh")
        lab.works("without the agent, what is enrolled goes on")
        weft("lab", "start", "-l", lab.name, "node-1/agent")
        until(lambda: lab.pod("lonely")["ready"], "it runs once the agent is back")
        lab.works("after the agent's restart")
    finally:
        lab.down()


def test_programs_keep_only_the_capabilities_they_need():
    net_bind, net_admin, net_raw, ptrace, admin, bpf = (1 << bit for bit in (10, 12, 13, 19, 21, 39))
    expected = {"node-1/ztunnel": net_bind | net_admin | net_raw | admin, "node-1/agent": net_admin | ptrace | admin | bpf}
    lab = Lab("caps")
    try:
        lab.works()
        for program, capabilities in expected.items():
            for thread in pathlib.Path(f"/proc/{lab.pid(program)}/task").iterdir():
                status = dict(line.split(":\t", 1) for line in (thread / "status").read_text("utf-8").splitlines())
                for kind in ("CapEff", "CapPrm", "CapBnd"):
                    expect(int(status[kind], 16) == capabilities, f"{program}, {thread.name}: {kind} {status[kind]}")
                expect(status["NoNewPrivs"] == "1", f"{program}, {thread.name}: may gain privileges")
    finally:
        lab.down()


# Says "ready" while argv[1:] are all there, and "closed" once nobody listens on any of them.
WATCH = """
import socket, sys
places = [place.rsplit(':', 1) for place in sys.argv[1:]]
def there(host, port):
    try:
        socket.create_connection((host, int(port)), 5).close()
        return True
    except ConnectionError:
        return False
print('ready' if all(there(*place) for place in places) else 'not there', flush=True)
while any(there(*place) for place in places): pass
print('closed', flush=True)
"""
# A connection to redis, asked again for each line of stdin.
PINGS = """
import socket, sys
s = socket.create_connection(('redis', 6379), 5); s.settimeout(10)
print('open', flush=True)
for line in sys.stdin:
    s.sendall(b'PING\\r\\n'); print(s.recv(10).decode().strip(), flush=True)
"""


def test_a_drain_closes_the_pages_and_no_connection():
    lab = Lab("drain", SHOP, "--ztunnel-flag=--termination-deadline=60s")
    try:
        kept, first = lab.spawn("web", PINGS)
        expect(first == "open", first)
        pages, first = lab.spawn("node-2", WATCH, "127.0.0.1:15000", "127.0.0.1:15020", "127.0.0.1:15021")
        expect(first == "ready", first)
        before = lab.pid("node-2/ztunnel")
        os.kill(before, signal.SIGTERM)
        expect(pages.stdout.readline().strip() == "closed", "the pages are not closed")
        for _ in range(3):
            kept.stdin.write("x\n")
            kept.stdin.flush()
            expect(kept.stdout.readline().strip() == "+PONG", "an open connection was lost")
        expect(lab.pid("node-2/ztunnel") == before, "it did not wait for the open connection")
        kept.stdin.close()
        kept.wait(30)
        until(lambda: lab.pid("node-2/ztunnel") not in (0, before), "it ends when the last connection has", 30)
        until(lambda: "plum" in lab.curl("web", "http://cart/").stdout, "the next one serves", 30)
    finally:
        lab.down()


def test_wait_names_an_absent_node():
    lab = Lab("absent")
    try:
        weft("lab", "stop", "-l", lab.name, "node-2/ztunnel")
        lab.delete("serviceaccount", "shop/redis")
        lab.apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: shop}\n"
                  "spec: {mtls: {mode: PERMISSIVE}}\n")
        lab.apply("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n"
                  "spec: {action: DENY, rules: [{from: [{source: {namespaces: [nowhere]}}]}]}\n", "policy.yaml")
        done = weft("wait", "-l", lab.name, "--timeout", "500ms", check=False)
        expect(done.returncode == 3 and "node-2" in done.stderr and "node-1" not in done.stderr,
               f"exit {done.returncode}: {done.stderr}")
        weft("lab", "start", "-l", lab.name, "node-2/ztunnel")
        weft("wait", "-l", lab.name, "--timeout", "10s")
        lab.works()
    finally:
        lab.down()


def test_the_questions_of_an_operator():
    lab = Lab("ask")
    try:
        lab.works()
        for what, word in (("workload", "cart"), ("service", "10.96."), ("certificate", "sa/web"),
                           ("policy", "POLICY NAME"), ("connections", "WORKLOAD")):
            answer = weft("ztunnel-config", what, "-l", lab.name).stdout
            expect(word in answer, f"ztunnel-config {what}: {answer}")
        expect("SYNCED" in weft("proxy-status", "-l", lab.name).stdout, "proxy-status")
        lab.apply("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nobody, namespace: shop}\n"
                  "spec: {selector: {matchLabels: {app: redis}}, action: DENY, rules: [{from: [{source: "
                  "{namespaces: [shop]}}]}]}\n")
        lab.settled()
        denied = weft("explain", "-l", lab.name, "web", "redis:6379", check=False)
        expect(denied.returncode == 4 and "shop/nobody" in denied.stdout, denied.stdout + denied.stderr)
        allowed = weft("explain", "-l", lab.name, "web", "cart:80", check=False)
        expect(allowed.returncode == 0 and "allowed" in allowed.stdout, allowed.stdout + allowed.stderr)
        refused = lab.inside("web", "redis-cli", "-h", "redis", "ping", timeout=20)
        expect("PONG" not in refused.stdout, "explain said no and ztunnel said yes")
    finally:
        lab.down()


def test_without_the_mesh():
    lab = Lab("bare", SHOP, "--without-mesh")
    try:
        answer = lab.curl("web", "http://cart:8000/")
        expect("plum" in answer.stdout, answer.stderr)
        expect(not lab.record()["programs"], "programs run")
    finally:
        lab.down()


def main():
    if os.geteuid() != 0:
        sys.exit(77)
    signal.signal(signal.SIGTERM, stop_on_signal)
    wanted = sys.argv[1:]
    tests = [value for key, value in globals().items()
             if key.startswith("test_") and (not wanted or any(word in key for word in wanted))]
    sys.exit(1 if run(tests) else 0)


if __name__ == "__main__":
    main()
