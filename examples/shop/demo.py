#!/usr/bin/env python3
"""The story of the shop, checked line by line: a mesh of two nodes from a folder of manifests.

    weft lab demo examples/shop

Brings the lab up, checks eleven things that a service mesh promises, shows the evidence of each, and
takes everything down again, also after a failure and on Ctrl-C. Exits with 1 if any check fails.
"""
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

SHOP = pathlib.Path(__file__).resolve().parent
WEFT = os.environ.get("WEFT", "weft")
NAME = f"shop-demo-{os.getpid()}"
CERTIFICATE_SECONDS = 30
SLOWNESS = float(os.environ.get("WEFT_TEST_DEADLINE", "10")) / 10  # of sanitized programs: times every limit
BODY = (SHOP / "www" / "index.html").read_text(encoding="utf-8").strip()
WEB = "spiffe://cluster.local/ns/shop/sa/web"
CART = "spiffe://cluster.local/ns/shop/sa/cart"

STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: only-the-mesh, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""
NO_WEB = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-web, namespace: shop}
spec:
  selector: {matchLabels: {app: redis}}
  action: DENY
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]
"""
WAYPOINT = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"""
BEHIND = """\
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8000}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: cart}]
  rules:
  - matches: [{path: {value: /basket}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /}}}]
    backendRefs: [{name: cart, port: 80}]
  - backendRefs: [{name: cart, port: 80}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: cart}]
  action: DENY
  rules: [{to: [{operation: {paths: ["/secret*"]}}]}]
"""

# Runs inside a pod: a TCP connection driven by lines on stdin. Prints what arrives; the end of
# stdin is passed on as a half-close; the last line says how the connection ended.
TALK = """
import socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.settimeout(None)
print('open', flush=True)
def send():
    for line in sys.stdin: s.sendall(line.rstrip('\\n').encode() + b'\\r\\n')
    try: s.shutdown(socket.SHUT_WR)
    except OSError: pass
threading.Thread(target=send, daemon=True).start()
try:
    for line in s.makefile('rb'): print(line.decode().strip(), flush=True)
    print('ended', flush=True)
except OSError as error: print('broken:', error, flush=True)
"""
# Runs inside a pod until its stdin ends: one connection that stays open and a new one each time
# round. Prints how many round trips, new connections and failures there were.
LOAD = """
import http.client, json, select, socket, sys, time
kept = socket.create_connection(('redis', 6379), 5); kept.settimeout(5); lines = kept.makefile('rb')
trips = opened = 0; failures = []
print('open', flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    try:
        kept.sendall(b'INCR load\\r\\n')
        if not lines.readline().startswith(b':'): raise OSError('redis has hung up')
        trips += 1
    except OSError as error: failures.append('kept: %s' % error); break
    try:
        web = http.client.HTTPConnection('cart', 80, timeout=5); web.request('GET', '/')
        if web.getresponse().status != 200: raise OSError('not 200')
        web.close(); opened += 1
    except (OSError, http.client.HTTPException) as error: failures.append('new: %s' % error)
print(json.dumps({'trips': trips, 'opened': opened, 'failures': failures}), flush=True)
"""


class Failed(Exception):
    """A check did not hold."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


def until(find, seconds, what):
    """What `find` returns once it is true."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while True:
        found = find()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(what() if callable(what) else what)
        time.sleep(0.02)


def weft(*words, check=True, **options):
    done = subprocess.run([WEFT, *words], capture_output=True, text=True, check=False, **options)
    if check and done.returncode != 0:
        raise Failed(f"weft {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done


def inside(where, *command, check=False, **options):
    return weft("lab", "exec", "-l", NAME, where, "--", *command, check=check, **options)


def record():
    return json.loads(weft("lab", "status", "-l", NAME, "-o", "json").stdout)


def pod(name):
    return next(one for one in record()["pods"] if one["name"] == name)


def log_of(name):
    return (pathlib.Path(record()["folder"]) / "logs" / f"{name}.log").read_text("utf-8", "replace")


def apply(file, text):
    """Writes a manifest into the lab's folder, as anybody may."""
    folder = pathlib.Path(record()["folder"]) / "manifests"
    (folder / f".{file}").write_text(text, encoding="utf-8")
    (folder / f".{file}").rename(folder / file)


def curl(where, url, *options):
    return inside(where, "curl", "-sS", "-m", f"{3 * SLOWNESS:g}", *options, url)


def spawn(where, code, *arguments):
    """A Python program inside a pod, once it says that its connection is open."""
    talk = subprocess.Popen(
        [WEFT, "lab", "exec", "-l", NAME, where, "--", "python3", "-uc", code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = talk.stdout.readline().strip()
    if first != "open":
        raise Failed(f"no connection from {where}: {first} {talk.stdout.read()[-200:]}")
    return talk


def say(talk, line):
    talk.stdin.write(line + "\n")
    talk.stdin.flush()


def hear(talk, wanted):
    """The next line that is `wanted`."""
    for line in talk.stdout:
        if line.strip() == wanted:
            return
    raise Failed(f"the connection ended before {wanted!r} came")


class Capture:
    """What passes the link between the nodes: tcpdump on node-1's end of it."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "link.pcap"
        self.tcpdump = subprocess.Popen(
            [WEFT, "lab", "exec", "-l", NAME, "node-1", "--", "tcpdump", "-U", "-n", "-s", "0",
             "-B", "16384", "-i", "eth0", "-w", str(self.path)],
            stderr=subprocess.PIPE, text=True)
        for line in self.tcpdump.stderr:
            if "listening on" in line:
                return
        raise Failed("tcpdump does not run")

    def tcp(self, since=0.0):
        """(time, source address, source port, target address, target port, payload) of each segment."""
        data = self.path.read_bytes()
        at = 24
        while at + 16 <= len(data):
            seconds, micros, length, _ = struct.unpack_from("<IIII", data, at)
            frame = data[at + 16:at + 16 + length]
            at += 16 + length
            segment = self.segment(frame)
            if segment and seconds + micros / 1e6 >= since:
                yield (seconds + micros / 1e6, *segment)

    @staticmethod
    def segment(frame):
        kind = frame[12:14]
        if kind == b"\x08\x00" and frame[23] == 6:
            header = 14 + (frame[14] & 15) * 4
            end = 14 + struct.unpack_from("!H", frame, 16)[0]
            source, target = (".".join(map(str, frame[i:i + 4])) for i in (26, 30))
        elif kind == b"\x86\xdd" and frame[20] == 6:
            header, end = 54, 54 + struct.unpack_from("!H", frame, 18)[0]
            source, target = (frame[i:i + 16].hex() for i in (22, 38))
        else:
            return None
        sport, dport = struct.unpack_from("!HH", frame, header)
        payload = frame[header + (frame[header + 12] >> 4) * 4:end]
        return source, sport, target, dport, payload

    def settle(self):
        """Waits until what was sent before has reached the file."""
        mark = f"mark-{time.monotonic_ns()}"
        inside("node-1", "python3", "-c", "import socket; socket.socket(socket.AF_INET, "
               f"socket.SOCK_DGRAM).sendto(b'{mark}', ('192.168.77.2', 9))")
        until(lambda: mark.encode() in self.path.read_bytes(), 5, "the capture stands still")

    def stop(self):
        self.tcpdump.send_signal(signal.SIGINT)
        self.tcpdump.wait()


class Story:
    """The eleven checks, in their order; each returns its evidence."""

    def __init__(self, capture):
        self.capture = capture
        self.redis = None
        self.born = time.monotonic()
        self.first_serials = serials()

    def name_to_name(self):
        "web reaches cart by name"
        answer = curl("web", "http://cart/", "-4")
        expect(answer.stdout.strip() == BODY, f"curl: {answer.stderr.strip() or answer.stdout}")
        for node, direction in (("node-1", "outbound"), ("node-2", "inbound")):
            until(lambda: any(WEB in line and CART in line and direction in line
                              for line in log_of(f"{node}.ztunnel").splitlines()),
                  3, f"the access log of {node} does not name both identities")
        web = pod("web")["addresses"][0]
        until(lambda: web in log_of("shop.cart"), 3, f"cart's log does not show {web}")
        return f"{len(BODY)} bytes; both access logs name sa/web and sa/cart; cart saw {web}"

    def ciphertext_only(self):
        "only TLS on the link"
        self.capture.settle()
        pods = {address for one in record()["pods"] for address in one["addresses"]}
        hellos = records = 0
        for _, source, _, _, port, payload in self.capture.tcp():
            expect(BODY[:20].encode() not in payload and b"GET /" not in payload,
                   "plaintext of the page is on the link")
            if source in pods and payload:
                hellos += port == 15008 and payload[:2] == b"\x16\x03"
                records += payload[:3] == b"\x17\x03\x03"
        expect(hellos and records, "no TLS on port 15008 was captured")
        return f"{records} encrypted records, TLS handshakes to 15008: {hellos}, plaintext: 0 bytes"

    def redis_session(self):
        "a Redis session"
        self.redis = spawn("web", TALK, "redis", "6379")
        other = spawn("web", TALK, "redis", "6379")
        say(self.redis, "SUBSCRIBE news")
        hear(self.redis, ":1")
        say(other, "PUBLISH news it-rains")  # the server speaks without being asked
        hear(self.redis, "it-rains")
        say(other, "ECHO last-words")
        other.stdin.close()  # half-close: the answer must still come
        hear(other, "last-words")
        hear(other, "ended")
        return "subscribed, pushed to by the server, answered after a half-close; one stays open"

    def outsider(self):
        "a pod outside, PERMISSIVE then STRICT"
        address = pod("cart")["addresses"][0]
        before = curl("outsider", f"http://{address}:8000/")
        expect(before.stdout.strip() == BODY, f"refused while PERMISSIVE: {before.stderr.strip()}")
        apply("strict.yaml", STRICT)
        weft("wait", "-l", NAME, "--timeout", f"{10 * SLOWNESS:g}s")
        after = curl("outsider", f"http://{address}:8000/")
        expect(after.returncode != 0 and BODY not in after.stdout, "let through under STRICT")
        source = pod("outsider")["addresses"][0]
        reason = until(lambda: find(log_of("node-2.ztunnel"), source, r'error="[^"]*(denied by: [^"]*strict[^"]*)"'),
                       3, "the log of node-2 gives no reason")
        return f"reached it, then refused: {reason}"

    def denied(self):
        "DENY web -> redis ends the open connection"
        written = time.monotonic()
        apply("no-web.yaml", NO_WEB)
        ended = [line.strip() for line in self.redis.stdout][-1]  # until the connection is over
        took = time.monotonic() - written
        expect(took < 1 * SLOWNESS, f"the open connection ended after {took:.2f} s ({ended})")
        weft("wait", "-l", NAME, "--timeout", f"{10 * SLOWNESS:g}s")
        answer = inside("web", "redis-cli", "-h", "redis", "ping", timeout=10 * SLOWNESS)
        expect("PONG" not in answer.stdout, "a new connection was let through")
        until(lambda: "shop/no-web" in log_of("node-2.ztunnel"), 3, "the log does not name it")
        metric = until(lambda: find(metrics("node-2"), "no-web", r"^(\w+)\{"), 3,
                       "no metric names the policy")
        weft("lab", "delete", "-l", NAME, "authorizationpolicy", "shop/no-web")
        weft("wait", "-l", NAME, "--timeout", f"{10 * SLOWNESS:g}s")
        return f"after {took * 1000:.0f} ms; a new one refused; log and {metric} name shop/no-web"

    def rotation(self):
        "certificates of 30 s rotate under load"
        load = spawn("web", LOAD)
        time.sleep(max(2.0, self.born + CERTIFICATE_SECONDS + 3 - time.monotonic()))
        fresh = serials()
        result = finish(load)
        for identity, old in self.first_serials.items():
            expect(fresh.get(identity) not in (None, old), f"{identity} was not renewed")
        expect(not result["failures"], f"under load: {result['failures'][:3]}")
        expect(result["trips"] > 20 and result["opened"] > 20, f"hardly any load: {result}")
        return (f"{len(fresh)} renewed; {result['trips']} round trips on one open connection, "
                f"{result['opened']} new ones, 0 lost")

    def control_outage(self):
        "weft-control is killed, and returns"
        before = workloads()
        load = spawn("web", LOAD)
        weft("lab", "stop", "-l", NAME, "--kill", "control")
        time.sleep(1)
        fresh = curl("web", "http://cart/")
        expect(fresh.stdout.strip() == BODY, f"a new connection failed: {fresh.stderr.strip()}")
        weft("lab", "start", "-l", NAME, "control")
        weft("wait", "-l", NAME, "--timeout", f"{20 * SLOWNESS:g}s")
        result = finish(load)
        expect(not result["failures"], f"under load: {result['failures'][:3]}")
        expect(workloads() == before, "something was removed")
        again = find(inside("link", "curl", "-sS", "http://192.168.77.254:15014/metrics").stdout,
                     "weft_control_resources_total ", r" (\d+)$")
        expect(again == "0", f"{again} resources were sent again")
        return (f"{result['trips']} round trips and {result['opened']} new connections meanwhile; "
                "0 removed, 0 sent again")

    def ztunnel_killed(self):
        "weft-ztunnel is killed by SIGKILL"
        addresses = pod("web")["addresses"]
        killed = time.time()
        weft("lab", "stop", "-l", NAME, "--kill", "node-1/ztunnel")
        refused = curl("web", "http://10.96.1.1/secret", "-m", "1")
        direct = curl("web", f"http://{pod('cart')['addresses'][0]}:8000/secret", "-m", "1")
        expect(refused.returncode and direct.returncode, "a connection was let through")
        self.capture.settle()
        leaked = [one for one in self.capture.tcp(killed)
                  if one[1] in addresses and one[4] != 15008 and one[5]]
        expect(not leaked, f"{len(leaked)} segments left web as plaintext")
        weft("lab", "start", "-l", NAME, "node-1/ztunnel")
        back = time.monotonic()
        until(lambda: curl("web", "http://cart/", "-4", "-m", f"{SLOWNESS:g}").stdout.strip() == BODY, 5,
              "no connection after the restart")
        took = time.monotonic() - back
        expect(took < 0.5 * SLOWNESS, f"the first connection took {took:.2f} s")
        return f"nothing left web meanwhile; a connection {took * 1000:.0f} ms after it was back"

    def ipv6(self):
        "the same over IPv6"
        web = pod("web")["addresses"][1]
        seen = log_of("shop.cart").count(web)
        answer = curl("web", "http://cart/", "-6")
        expect(answer.stdout.strip() == BODY, f"curl: {answer.stderr.strip() or answer.stdout}")
        until(lambda: log_of("shop.cart").count(web) > seen, 3, f"cart's log does not show {web}")
        return f"{len(BODY)} bytes; cart saw {web}"

    def measured(self):
        "metrics with Istio's labels"
        wanted = {"reporter": "source", "source_workload": "web", "destination_workload": "cart",
                  "destination_service": "cart.shop.svc.cluster.local",
                  "source_principal": WEB, "destination_principal": CART,
                  "connection_security_policy": "mutual_tls"}
        for line in metrics("node-1").splitlines():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if (line.startswith("istio_tcp_connections_opened_total{")
                    and all(labels.get(key) == value for key, value in wanted.items())):
                return f"istio_tcp_connections_opened_total {line.rsplit(' ', 1)[1]}, {len(labels)} labels"
        raise Failed("istio_tcp_connections_opened_total lacks web -> cart")

    def waypoint(self):
        "a waypoint routes and denies by path"
        apply("waypoint.yaml", WAYPOINT)
        until(lambda: any(one["name"] == "waypoint-0" and one["ready"] for one in record()["pods"]),
              10, "the waypoint is not ready")
        apply("behind.yaml", BEHIND)
        until(lambda: curl("web", "http://cart/basket", "-4").stdout.strip() == BODY, 10,
              lambda: f"/basket: {curl('web', 'http://cart/basket', '-4').stdout.strip()[:80]}")
        refused = until(lambda: curl("web", "http://cart/secret", "-4", "-w", " %{http_code}").stdout, 3,
                        "no answer")
        expect(refused == "RBAC: access denied 403", f"/secret: {refused}")
        reason = until(lambda: find(log_of("shop.waypoint-0"), "/secret", r"(GET /secret.*? 403 .*?rule\[\d+\]\])"),
                       3, "the waypoint's log gives no reason")
        return f"/basket is cart's page; log: {reason}"

    CHECKS = [name_to_name, ciphertext_only, redis_session, outsider, denied, rotation,
              control_outage, ztunnel_killed, ipv6, measured, waypoint]


def find(text, word, pattern):
    """The pattern's group on the last line that holds `word`."""
    for line in reversed(text.splitlines()):
        if word in line:
            match = re.search(pattern, line, re.IGNORECASE)
            if match:
                return match[1]
    return None


def finish(load):
    load.stdin.close()
    return json.loads(load.stdout.read().strip().splitlines()[-1])


def metrics(node):
    return inside(node, "curl", "-sS", "-m", f"{3 * SLOWNESS:g}", "http://127.0.0.1:15020/metrics", check=True).stdout


def workloads():
    dump = json.loads(weft("ztunnel-config", "workload", "-l", NAME, "-o", "json").stdout)
    return {node: sorted(one["uid"] for one in list_) for node, list_ in dump.items()}


def serials():
    """The serial number of each identity's certificate on each node."""
    dump = json.loads(weft("ztunnel-config", "certificate", "-l", NAME, "-o", "json").stdout)
    return {(node, one["identity"]): one["certChain"][0]["serialNumber"]
            for node, list_ in dump.items() for one in list_ if one.get("certChain")}


def traces():
    """What a lab of this name could leave behind."""
    listings = [["ls", "/run/netns"], ["cat", "/proc/mounts"], ["ps", "-eo", "args"],
                ["find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", "weft-lab-*"],
                ["find", "/sys/fs/bpf", "-mindepth", "1"], ["ls", "/run/weft/lab"]]
    text = "".join(subprocess.run(one, capture_output=True, text=True, check=False).stdout
                   for one in listings)
    return sorted({line for line in text.splitlines() if NAME in line and "demo.py" not in line})


def tell():
    failures = 0
    with tempfile.TemporaryDirectory(prefix="weft-demo-") as folder:
        capture = Capture(folder)
        try:
            story = Story(capture)
            for number, check in enumerate(Story.CHECKS, 1):
                try:
                    verdict, evidence = "ok  ", check(story)
                except (Failed, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
                    verdict, evidence = "FAIL", str(error) or repr(error)
                    failures += 1
                print(f"{verdict} {number:2} {check.__doc__}: {evidence}", flush=True)
        finally:
            capture.stop()
    return failures


def interrupted(number, _):
    raise KeyboardInterrupt(number)


def main():
    signal.signal(signal.SIGTERM, interrupted)
    failures, story_went_wrong = 1, True
    try:
        up = subprocess.run([WEFT, "lab", "up", str(SHOP), "--name", NAME,
                             "--certificate-lifetime", f"{CERTIFICATE_SECONDS}s"], check=False)
        if up.returncode == 0:
            failures = tell()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        failures, story_went_wrong = 1, False
    except Failed as error:
        print(f"FAIL    {error}", flush=True)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if failures and story_went_wrong:
            keep_logs()
        weft("lab", "down", NAME, check=False)
    left = traces()
    print(f"{'FAIL' if left else 'ok  '}    everything is taken down" + "".join(f"\n  {one}" for one in left))
    return 1 if failures or left else 0


def keep_logs():
    """Logs of a story that went wrong, for whoever wants to know why."""
    source = pathlib.Path("/run/weft/lab") / NAME / "logs"
    if source.is_dir():
        target = tempfile.mkdtemp(prefix="weft-demo-logs-")
        subprocess.run(["cp", "-r", str(source), target], check=False)
        print(f"        logs are kept in {target}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
