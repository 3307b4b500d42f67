"""Garbage on every port and socket, loops, and too few descriptors: it ends there, and nothing else
notices."""
import json
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


def test_garbage_on_15008(lab):
    for kind in ("random", "http", "hello", "preface", "nothing"):
        shout(lab, "outsider", lab.address("cart"), 15008, 5, kind)
    lab.works()


def test_garbage_on_15006_and_15001(lab):
    for port in (15006, 15001):
        for kind in ("random", "http"):
            shout(lab, "outsider", lab.address("cart"), port, 3, kind)
    lab.works()


def test_garbage_on_control(lab):
    for kind in ("random", "http", "hello", "nothing"):
        shout(lab, "node-1", "192.168.77.254", 15012, 3, kind)
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
    lab.works()
    until(lambda: lab.curl("web", "http://cart/").returncode == 0, "new connections work")


def test_the_loop_matrix(lab):
    """A pod dials ztunnel's own ports: its own, its neighbour's, through its service's name."""
    for target in ("127.0.0.1", lab.address("web"), lab.address("cart"), lab.address("cart", 1)):
        for port in (15001, 15006):
            host = f"[{target}]" if ":" in target else target
            answer = lab.curl("web", f"http://{host}:{port}/", "-m", "3")
            expect("plum" not in answer.stdout, f"web to {target}:{port} was answered")
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
    lab.inside("link", "prlimit", "--pid", str(pid), f"--nofile={used + 2}:")
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
    lab.inside("link", "prlimit", "--pid", str(pid), "--nofile=4096:")
    until(lambda: "plum" in lab.curl("web", "http://cart/").stdout, "new connections work again")
    kept.kill()


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
