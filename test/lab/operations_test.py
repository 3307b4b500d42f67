"""Running a weft-waypoint: how loud its log is, what it counts, how it ends, and how another takes its place without a request
that fails. (A stock Envoy ends when it is told to, with its connections: docs/waypoint.md.)"""
import json
import pathlib
import re
import tempfile
import time

import waypoints
from harness import expect, main, until

NS = "mesh"

# Asks for a path over one connection; prints "asked" when the request is on its way, then what came: JSON. ARGV: h1 or h2, path.
ASK = r"""
import json, socket, struct, sys
version, path = sys.argv[1:]
wire = socket.create_connection(("echo", 80), timeout=30)
def take(count):
    data = b""
    while len(data) < count:
        part = wire.recv(count - len(data))
        if not part: raise EOFError
        data += part
    return data
def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload
def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
seen = {"frames": []}
if version == "h1":
    wire.sendall(f"GET {path} HTTP/1.1\r\nhost: echo\r\n\r\n".encode())
    print("asked", flush=True)
    data = b""
    while part := wire.recv(65536): data += part
    seen["text"] = data.decode("latin-1")
else:
    names = (":method", "GET"), (":scheme", "http"), (":authority", "echo"), (":path", path)
    wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, b"".join(literal(*one) for one in names)))
    print("asked", flush=True)
    try:
        while True:
            head = take(9)
            payload = take(int.from_bytes(head[:3], "big"))
            if head[3] == 4 and not head[4] & 1: wire.sendall(frame(4, 1, 0))
            if head[3] == 6 and not head[4] & 1: wire.sendall(frame(6, 1, 0, payload))
            if head[3] == 7: seen["frames"].append(["goaway", int.from_bytes(payload[4:8], "big")])
            if head[3] in (0, 1): seen["frames"].append(["end" if head[4] & 1 else "part", int.from_bytes(head[5:9], "big")])
    except EOFError:
        seen["frames"].append(["closed", 0])
print(json.dumps(seen), flush=True)
"""

# Asks again and again, some over connections that stay, until its input ends; prints what came of it. A request on a connection
# that was used before and is closed without a byte of an answer may be sent again (RFC 9112, 9.3.1), once and on a new one.
LOAD = r"""
import collections, http.client, json, sys, threading
said, lock, ended = collections.Counter(), threading.Lock(), threading.Event()
def connect():
    made = http.client.HTTPConnection("echo", 80, timeout=20)
    made.used = False
    return made
def one(wire, path, keep):
    wire.request("GET", path, headers={} if keep else {"connection": "close"})
    answer = wire.getresponse()
    body = answer.read()
    wire.used = True
    return answer.status if json.loads(body)["path"] == path else "another answer"
def loop(keep, slow):
    wire = connect()
    while not ended.is_set():
        path = "/delay-0.3" if slow else "/x"
        try:
            try:
                result = one(wire, path, keep)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if not wire.used: raise
                wire = connect()
                result = one(wire, path, keep)
        except Exception as error:
            result = f"{type(error).__name__} {error}"
            wire = connect()
        if not keep: wire = connect()
        with lock: said[str(result)] += 1
threads = [threading.Thread(target=loop, args=how) for how in ((True, False), (True, True), (False, False), (False, True)) for _ in range(2)]
for thread in threads: thread.start()
print("begun", flush=True)
sys.stdin.read()
ended.set()
for thread in threads: thread.join()
print(json.dumps(said), flush=True)
"""


def proxy(number):
    """The waypoint's pod of that number, with time to end."""
    made = waypoints.waypoint(NS, node="node-1", flags=["--termination-deadline", "4s"])[-1]
    made["metadata"]["name"] = f"waypoint-{number}"
    made["spec"]["terminationGracePeriodSeconds"] = 20
    return made


def world():
    return [waypoints.namespace(NS, **{"istio.io/use-waypoint": "waypoint"}), *waypoints.waypoint(NS, node="node-1")[:-1], proxy(0),
            waypoints.pod(NS, "client", ["sleep", "infinity"], {"app": "client"}), waypoints.echo(NS, "echo", {"app": "echo"}),
            waypoints.service(NS, "echo", {"app": "echo"}, ("http", 80, 8080), ("tcp", 90, 8080))]


def pods(lab):
    return {one["name"] for one in lab.record()["pods"] if one["name"].startswith("waypoint-")}


def admin(lab, target, *options, number=0):
    return lab.inside(f"{NS}/waypoint-{number}", "curl", "-sS", *options, f"http://127.0.0.1:15000{target}").stdout


def active(lab, number):
    return int(admin(lab, "/stats?filter=downstream_connect_active", number=number).split(": ")[-1] or 0)


def get(lab, url="http://echo/"):
    return lab.curl(f"{NS}/client", url, "-o", "/dev/null", "-w", "%{http_code}").stdout


def test_how_loud_the_log_is(lab):
    until(lambda: get(lab) == "200", lambda: get(lab), 30)
    initial = admin(lab, "/logging")
    expect(initial.startswith("current log level is "), initial)
    for query, said in (("level=debug", "debug"), ("level=warn", "warn"), ("", "warn")):
        answer = admin(lab, f"/logging?{query}", "-X", "POST")
        expect(answer.strip() == f"current log level is {said}", f"{query}: {answer}")
    for query in ("level=loud", "level=info&level=debug", "loud"):
        expect(admin(lab, f"/logging?{query}", "-X", "POST", "-o", "/dev/null", "-w", "%{http_code}") == "400", query)
    expect(admin(lab, "/logging") == "current log level is warn\n", "what is none changes nothing")
    expect(admin(lab, "/logging?reset", "-X", "POST") == initial, "as it was")


def total(page, name, **labels):
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
               if re.match(rf"{name}[{{ ]", line) and all(one in line for one in wanted))


def test_what_is_counted(lab):
    def page():
        return lab.inside(f"{NS}/waypoint-0", "curl", "-sS", "http://127.0.0.1:15020/metrics").stdout
    until(lambda: get(lab) == "200", lambda: get(lab), 30)
    of = {"reporter": "waypoint", "destination_service_name": "echo", "source_workload": "client",
          "source_principal": f"spiffe://cluster.local/ns/{NS}/sa/default"}
    before = page()
    for target in ("/a", "/b", "/status-404"):
        get(lab, f"http://echo{target}")
    get(lab, "http://echo:90/bytes")
    names = (("istio_requests_total", {"response_code": "200"}, 2), ("istio_requests_total", {"response_code": "404"}, 1),
             ("istio_request_duration_milliseconds_count", {}, 3), ("istio_request_bytes_count", {}, 3), ("istio_response_bytes_count", {}, 3),
             ("istio_tcp_connections_opened_total", {}, 1), ("istio_tcp_connections_closed_total", {}, 1))

    def missing():
        now = page()
        return [(name, total(now, name, **of, **more) - total(before, name, **of, **more)) for name, more, grown in names
                if total(now, name, **of, **more) - total(before, name, **of, **more) != grown]
    until(lambda: not missing(), lambda: f"{missing()} in {[line for line in page().splitlines() if line.startswith('istio')][:4]}", 20)


def answer_of(child):
    text = child.stdout.read()
    expect(text.startswith("{"), f"it says what came: {text[-300:]}")
    return json.loads(text)


def test_a_drain_lets_requests_end_and_says_so(lab):
    """Those under way are answered; both versions of HTTP are told that the connection ends."""
    until(lambda: get(lab) == "200", lambda: get(lab), 30)
    asked = [lab.spawn(f"{NS}/client", ASK, version, "/delay-2") for version in ("h1", "h2")]
    expect(all(said == "asked" for _, said in asked), f"{asked}")
    until(lambda: active(lab, 0) >= 2, "they are under way")
    lab.delete("Pod", f"{NS}/waypoint-0")
    h1, h2 = (answer_of(child) for child, _ in asked)
    expect(h1["text"].startswith("HTTP/1.1 200") and '"/delay-2"' in h1["text"], f"{h1}")
    expect("connection: close" in h1["text"].lower(), f"{h1}")
    expect(["goaway", 0] in h2["frames"] and h2["frames"][-1] == ["closed", 0] and ["end", 1] in h2["frames"], f"{h2}")
    until(lambda: "waypoint-0" not in pods(lab), "it ends", 30)


def test_what_takes_too_long_is_cut_at_the_deadline(lab):
    lab.apply(waypoints.text([proxy(1)]), "proxy.yaml")
    until(lambda: get(lab) == "200", lambda: get(lab), 30)
    child, said = lab.spawn(f"{NS}/client", ASK, "h1", "/delay-25")
    expect(said == "asked", said)
    until(lambda: active(lab, 1) >= 1, "it is under way")
    begun = time.monotonic()
    lab.delete("Pod", f"{NS}/waypoint-1")
    rest = child.stdout.read()
    expect("200 OK" not in rest and 3 <= time.monotonic() - begun <= 20, f"{time.monotonic() - begun:.1f} s: {rest}")
    until(lambda: "waypoint-1" not in pods(lab), "it ends", 30)


def test_a_roll_costs_no_request(lab):
    """Pods come and go, one after another, under connections that stay, connections of one request, and slow answers."""
    lab.apply(waypoints.text([proxy(2)]), "proxy.yaml")
    until(lambda: get(lab) == "200", lambda: get(lab), 30)
    child, said = lab.spawn(f"{NS}/client", LOAD)
    expect(said == "begun", said)
    for number in (2, 3):
        lab.apply(waypoints.text([proxy(number + 1)]), f"next-{number}.yaml")
        until(lambda number=number: f"waypoint-{number + 1}" in {one["name"] for one in lab.record()["pods"] if one["ready"]}, "another is ready", 30)
        lab.settled()
        lab.delete("Pod", f"{NS}/waypoint-{number}")
        until(lambda number=number: f"waypoint-{number}" not in pods(lab), "it ends", 40)
    child.stdin.close()
    counts = json.loads(child.stdout.readline())
    print(f"      {counts}", flush=True)
    expect(set(counts) == {"200"} and counts["200"] >= 100, f"{counts}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weft-operations-") as source:
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "operations", pathlib.Path(source))
