"""Garbage on every port and socket, loops, too few descriptors, too little memory: it ends there, and nothing else
notices."""
import contextlib
import json
import os
import pathlib
import re
import resource
import socket
import ssl
import time

from harness import expect, main, until

# Connects argv[3] times and sends what argv[4] names; prints how the connections ended.
SHOUT = """
import os, random, socket, sys
random.seed(7)
kinds = {
  'random': lambda: os.urandom(4096),
  'http': lambda: b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n',
  'hello': lambda: b'\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03' + os.urandom(500),
  'preface': lambda: b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + os.urandom(300),
  'nothing': lambda: b'',
}
ended, open_ = 0, []
for _ in range(int(sys.argv[3])):
    try:
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
        s.settimeout(20)
        open_.append(s)
        s.sendall(kinds[sys.argv[4]]())
        if sys.argv[4] == 'nothing': s.shutdown(socket.SHUT_WR)
    except ConnectionError: pass
for s in open_:
    try:
        while s.recv(4096): pass
        ended += 1
    except ConnectionError: ended += 1
    except TimeoutError: pass
ended += int(sys.argv[3]) - len(open_)
print(ended)
"""


def shout(lab, where, address, port, times, kind):
    answer = lab.python(where, SHOUT, address, str(port), str(times), kind)
    expect(answer.stdout.strip() == str(times), f"{kind} to {address}:{port}: {answer.stdout} {answer.stderr[-300:]}")


def total(page, name):
    """Of all series of a counter."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? ([0-9.e+]+)$", page, re.MULTILINE))


def refused(lab):
    return total(lab.metrics("node-2"), "weft_connections_refused_total")


def shout_and_count(lab, port, times, kind):
    before = refused(lab)
    shout(lab, "outsider", lab.address("cart"), port, times, kind)
    until(lambda: refused(lab) >= before + times, lambda: f"{kind} to {port}: {refused(lab) - before} of {times} counted")


def test_garbage_on_15008(lab):
    for kind in ("random", "http", "hello", "preface", "nothing"):
        shout_and_count(lab, 15008, 5, kind)
    lab.works()


def test_garbage_on_15006_and_15001(lab):
    for port in (15006, 15001, 15053):
        for kind in ("random", "http"):
            shout_and_count(lab, port, 3, kind)
    lab.works()


def test_a_flood_of_garbage_does_not_fill_the_log(lab):
    lines, before = lab.log("node-2.ztunnel").count("connection failed"), refused(lab)

    def limited():
        shout_and_count(lab, 15008, 300, "http")
        return total(lab.metrics("node-2"), "weft_log_lines_limited_total") > 0

    until(limited, "lines are left out of the log, and counted", 60)
    expect(lab.log("node-2.ztunnel").count("connection failed") - lines < refused(lab) - before, "every one was logged")
    lab.works()


def test_garbage_on_control(lab):
    def errors():
        page = lab.inside("link", "curl", "-sS", "-m", "5", "http://192.168.77.254:15014/metrics").stdout
        return total(page, "weft_control_transport_errors_total")

    for kind in ("random", "http", "hello"):
        before = errors()
        shout(lab, "node-1", "192.168.77.254", 15012, 3, kind)
        until(lambda: errors() >= before + 3, lambda: f"{kind} to 15012: {errors() - before} of 3 counted")
    shout(lab, "node-1", "192.168.77.254", 15012, 3, "nothing")
    for kind in ("random", "preface"):
        shout(lab, "node-1", "192.168.77.254", 15014, 3, kind)
    lab.works()
    lab.apply("""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: probe, namespace: outside}
spec: {mtls: {mode: PERMISSIVE}}
""")
    lab.settled()


def test_control_without_a_token_or_with_anothers(lab):
    for words in ([], ["-H", "authorization: Bearer wrong"]):
        answer = lab.inside("link", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *words,
                            "http://192.168.77.254:15014/debug/workloads")
        expect(answer.stdout == "401", f"the debug pages answered {answer.stdout}")


def test_garbage_on_the_sockets_of_the_agent(lab):
    folder = lab.folder() / "nodes" / "node-1"

    def status():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(10)
        s.connect(str(folder / "agent.sock"))
        s.send(b'{"op":"status"}')
        with s:
            return json.loads(s.recv(20000))["refused"]

    before = status()
    for name in ("agent.sock", "zds.sock"):
        for packet in (b"", b"\0" * 10, b"\xff" * 1000, b"{", b'{"op":7}', b'{"op":"add"}', b'{"op":"del"}',
                       b'{"op":"add","uid":"x","name":"x","namespace":"x","serviceAccount":"x","ips":["y"]}',
                       b"x" * 60000):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(5)
            s.connect(str(folder / name))
            try:
                s.send(packet)
                answer = s.recv(20000)
                if name == "agent.sock" and answer:
                    expect(json.loads(answer)["ok"] is False, f"{packet[:30]!r} was accepted: {answer!r}")
            except (BrokenPipeError, ConnectionResetError, TimeoutError, OSError):
                pass
            s.close()
    # Not those: an empty packet, which is an end, and an add that lacks nothing but a descriptor.
    until(lambda: status()["requests"] >= before["requests"] + 7, lambda: f"requests are counted: {status()}")
    until(lambda: status()["ztunnels"] >= before["ztunnels"] + 8, lambda: f"false ztunnels are counted: {status()}")
    expect("was refused: " in lab.log("node-1.agent"), "the agent's log names no refused request")
    lab.works()
    until(lambda: lab.curl("web", "http://cart/").returncode == 0, "new connections work")


# Asks argv[2:]'s places for /metrics at argv[1]'s ports, all at once; prints who answered what.
KNOCK = """
import json, socket, sys, threading
answers = {}
def knock(host, port):
    try:
        s = socket.create_connection((host, port), 5); s.settimeout(5)
        s.sendall(b'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
        heard = s.recv(1000)
        if heard: answers[f'{host} {port}'] = heard.decode('latin-1')
    except OSError: pass
all = [threading.Thread(target=knock, args=(host, int(port))) for host in sys.argv[2:] for port in sys.argv[1].split(',')]
for one in all: one.start()
for one in all: one.join()
print(json.dumps(answers))
"""


def test_the_loop_matrix(lab):
    """Pods dial ztunnel's own ports: on loopback, their own address, their neighbours', the nodes'."""
    nodes = ("192.168.77.1", "192.168.77.2")
    places = ["127.0.0.1", "::1", *(lab.address(pod, family) for pod in ("web", "cart", "outsider") for family in (0, 1)),
              *nodes]
    for source in ("web", "cart", "outsider"):
        done = lab.python(source, KNOCK, "15000,15001,15006,15008,15020,15021,15053,15080", *places)
        expect(done.stdout, f"{source}: {done.stderr[-300:]}")
        for place, answer in json.loads(done.stdout).items():
            # Nobody but the nodes' pages for metrics and readiness; TLS may say goodbye with an alert.
            of_node = place.split()[0] in nodes and place.split()[1] in ("15020", "15021")
            alert = place.endswith(" 15008") and answer.startswith("\x15\x03")
            expect(of_node or alert, f"{source} to {place} was answered: {answer[:100]!r}")
    for node in ("node-1", "node-2"):
        count = len(lab.inside(node, "ss", "-Htn", "state", "established").stdout.splitlines())
        expect(count < 50, f"{count} connections on {node}: a loop")
    lab.works()


def test_too_few_descriptors(lab):
    """ztunnel has no descriptor left: what is open goes on, new ones wait or fail, and it recovers."""
    pid = lab.pid("node-1/ztunnel")
    hold = """
import socket, sys
s = socket.create_connection(('redis', 6379), 5); s.settimeout(10)
s.sendall(b'PING\\r\\n'); s.recv(10)
print('open', flush=True)
for line in sys.stdin:
    s.sendall(b'PING\\r\\n'); print(s.recv(10).decode().strip(), flush=True)
"""
    kept, first = lab.spawn("web", hold)
    expect(first == "open", first)
    used = len(list((lab.folder().parents[3] / f"proc/{pid}/fd").iterdir()))
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, usual[1]))
    flood = """
import socket
open_ = []
for _ in range(40):
    try:
        s = socket.socket(); s.setblocking(False); s.connect_ex(('10.96.1.1', 80)); open_.append(s)
    except OSError: pass
print('flooded', flush=True)
input()
"""
    load, first = lab.spawn("web", flood)
    expect(first == "flooded", first)
    start = cpu_seconds(pid)
    began = time.monotonic()
    for _ in range(3):
        kept.stdin.write("x\n")
        kept.stdin.flush()
        expect(kept.stdout.readline().strip() == "+PONG", "an open connection was lost")
    until(lambda: time.monotonic() - began > 1, "a second passes")
    expect(cpu_seconds(pid) - start < 0.7, "ztunnel spins without descriptors")
    load.kill()
    load.wait()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    until(lambda: "plum" in lab.curl("web", "http://cart/").stdout, "new connections work again")
    kept.kill()


MEMORY = 24 << 20
# Takes every connection, and keeps it.
KEEPER = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
listener, kept = socket.create_server(('', 7001), backlog=4000), []
print('open', flush=True)
while True: kept.append(listener.accept()[0])
"""
# Connects until over 100 of its connections have been reset, at most 12 000 times; says how many are open.
CROWD = """
import resource, select, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
poll, kept, reset = select.poll(), {}, 0
while reset <= 100 and len(kept) < 12000:
    for _ in range(100):
        try: s = socket.create_connection((sys.argv[1], 7001), 20)
        except ConnectionError: reset += 1; continue
        kept[s.fileno()] = s; poll.register(s, 0)
    for fd, what in poll.poll(20):
        poll.unregister(fd); kept.pop(fd).close(); reset += 1
print(len(kept), reset, flush=True)
input()
"""


def limit_memory(pid, limit):
    """Puts the process into a cgroup of its own with this limit; returns how to undo it, or None where that cannot be."""
    own = pathlib.Path("/sys/fs/cgroup/memory") / f"weft-test-{os.getpid()}"
    if not own.parent.is_dir():
        return None  # version 2: a cgroup of its own would no longer be the one that capture exempts
    before = next(line.split(":", 2)[2] for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":memory:" in line)
    own.mkdir()
    (own / "memory.limit_in_bytes").write_text(str(limit))
    (own / "cgroup.procs").write_text(str(pid))

    def undo():
        with contextlib.suppress(ProcessLookupError):
            pathlib.Path(f"{own.parent}{before}/cgroup.procs").write_text(str(pid))
        until(lambda: not (own / "cgroup.procs").read_text(), "the cgroup is empty")
        own.rmdir()
    return undo


def test_memory_is_short(lab):
    """More connections than the memory's limit has room for: those over it are refused, nobody is killed, and the rest goes on."""
    pid = lab.pid("node-1/ztunnel")
    undo = None if os.environ.get("WEFT_SANITIZED") else limit_memory(pid, MEMORY)
    if undo is None:
        print("skip  memory is short: no cgroup of version 1, or a sanitizer's memory")
        return
    children = []
    try:
        keeper, first = lab.spawn("cart", KEEPER)
        children.append(keeper)
        expect(first == "open", first)
        crowd, said = lab.spawn("web", CROWD, lab.address("cart"))
        children.append(crowd)
        expect(said[:1].isdigit(), said)
        held, refused = map(int, said.split())
        expect(held > 500 and refused > 100, f"{held} connections are held, {refused} were refused")
        expect(lab.pid("node-1/ztunnel") == pid, "ztunnel was ended")
        log = lab.log("node-1.ztunnel")
        expect("memory is short: no connection is begun" in log and 'reason="exhausted"' in log, log[-500:])
        end(children)
        until(lambda: "plum" in lab.curl("web", "http://cart/").stdout, "new connections work again", 30)
        expect(lab.pid("node-1/ztunnel") == pid, "ztunnel was ended")
        expect("memory is no longer short" in lab.log("node-1.ztunnel"), "it is said")
    finally:
        end(children)
        undo()


def end(children):
    for one in children:
        one.kill()
        one.wait()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_tls_client_that_is_not_h2(lab):
    context = """
import socket, ssl, sys
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
c.set_alpn_protocols(['http/1.1'])
try:
    s = c.wrap_socket(socket.create_connection((sys.argv[1], 15008), 5)); s.settimeout(5)
    s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); print('read', s.recv(100))
except (ssl.SSLError, OSError): print('refused')
"""
    expect(ssl.HAS_TLSv1_3, "needs TLS 1.3")
    answer = lab.python("outsider", context, lab.address("cart"))
    expect(answer.stdout.strip() in ("refused", "read b''"), answer.stdout)
    lab.works()


if __name__ == "__main__":
    main(globals(), "garbage")
