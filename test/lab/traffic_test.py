"""Connections through the mesh: how they end, and how they leave each other alone."""
import json
import re
import subprocess
import time

from harness import Failed, expect, main, until, weft

# A server in a pod: one connection at a time, treated as argv[2] says; prints what happened.
SERVER = """
import socket, struct, sys, time
port, how = int(sys.argv[1]), sys.argv[2]
listener = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
print('listening', flush=True)
s, peer = listener.accept()
def rest(s):
    data = b''
    while True:
        more = s.recv(65536)
        if not more: return data
        data += more
try:
    if how == 'client-first':        # hears the client's end, then talks on
        heard = rest(s); s.sendall(b'after your end: ' + heard); s.shutdown(socket.SHUT_WR)
        print('heard', heard.decode(), flush=True)
    elif how == 'server-first':      # ends first, then hears on
        s.sendall(b'hello'); s.shutdown(socket.SHUT_WR); heard = rest(s)
        print('heard', heard.decode(), flush=True)
    elif how == 'reset':             # ends with a reset
        s.recv(1); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
        print('reset', flush=True)
    elif how == 'expect-reset':
        s.recv(1); s.sendall(b'x'); s.recv(1); s.recv(65536); print('ended in order', flush=True)
    elif how == 'flood':             # sends until it cannot; another connection is answered meanwhile
        import threading
        def flood(s):
            sent = 0
            s.settimeout(2)
            try:
                while True: sent += s.send(b'x' * 65536)
            except OSError: pass
            print('stalled after', sent, flush=True)
        threading.Thread(target=flood, args=(s,)).start()
        other, _ = listener.accept()
        while True:
            got = other.recv(1024)
            if not got: break
            other.sendall(got)
except OSError as error: print('error', error, flush=True)
"""
CLIENT_FIRST = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.sendall(b'ping'); s.shutdown(socket.SHUT_WR)
data = b''
while True:
    more = s.recv(100)
    if not more: break
    data += more
print(data.decode())
"""
SERVER_FIRST = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
data = b''
while True:
    more = s.recv(100)
    if not more: break
    data += more
s.sendall(b'data behind your end'); s.shutdown(socket.SHUT_WR)
print(data.decode())
"""
HEARS_RESET = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.sendall(b'x')
try: print('read', s.recv(100))
except ConnectionResetError: print('reset')
"""
SENDS_RESET = """
import socket, struct, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.sendall(b'x'); s.recv(1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
"""
SLOW_AND_FAST = """
import json, socket, sys, time
slow = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
slow.sendall(b'x')
slow.recv(1)   # and never again
fast = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
times = []
end = time.monotonic() + 2.5
while time.monotonic() < end:
    start = time.monotonic(); fast.sendall(b'y' * 1000); got = 0
    while got < 1000: got += len(fast.recv(1000))
    times.append(time.monotonic() - start)
times.sort()
print(json.dumps({'trips': len(times), 'p50': times[len(times) // 2], 'worst': times[-1]}))
"""


def serve(lab, port, how, where="cart"):
    child, first = lab.spawn(where, SERVER, str(port), how)
    expect(first == "listening", f"the server does not listen: {first}")
    return child


def last_line(child):
    try:
        return child.communicate(timeout=15)[0].strip().splitlines()[-1]
    except subprocess.TimeoutExpired as error:
        child.kill()
        raise Failed("the server waits for an end that does not come") from error


def both_families(lab, port, how, client, where="cart"):
    for family in (0, 1):
        child = serve(lab, port + family, how, where)
        answer = lab.python("web", client, lab.address(where, family), str(port + family))
        yield answer.stdout.strip(), last_line(child)


def test_the_client_ends_first_and_still_hears(lab):
    for client, server in both_families(lab, 9000, "client-first", CLIENT_FIRST):
        expect((client, server) == ("after your end: ping", "heard ping"), f"{client!r}, {server!r}")


def test_the_server_ends_first_and_still_hears(lab):
    for client, server in both_families(lab, 9010, "server-first", SERVER_FIRST):
        expect((client, server) == ("hello", "heard data behind your end"), f"{client!r}, {server!r}")


def test_a_servers_reset_is_a_reset(lab):
    for client, server in both_families(lab, 9020, "reset", HEARS_RESET):
        expect((client, server) == ("reset", "reset"), f"{client!r}, {server!r}")


def test_a_clients_reset_is_a_reset(lab):
    for _, server in both_families(lab, 9030, "expect-reset", SENDS_RESET):
        expect(server.startswith("error") and "reset" in server, server)


def test_a_slow_reader_beside_a_fast_one(lab):
    child = serve(lab, 9040, "flood")
    answer = json.loads(lab.python("web", SLOW_AND_FAST, lab.address("cart"), "9040").stdout)
    stalled = last_line(child)
    sent = int(re.search(r"stalled after (\d+)", stalled)[1])
    # What the kernel's and the tunnel's buffers take, and no more.
    expect(sent < 24 << 20, f"{sent} bytes were taken from a server whose client does not read")
    expect(answer["trips"] > 100, f"the fast one did {answer}")
    expect(answer["worst"] < 1, f"the fast one waited: {answer}")


def test_a_pod_removed_under_load(lab):
    lab.apply("""
apiVersion: v1
kind: Pod
metadata: {name: brief, namespace: shop, labels: {app: brief}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
    - {name: a, image: a, command: [redis-server, --port, "7000", --bind, "* -::*", --protected-mode, "no", --save, ""]}
""", "brief.yaml")
    until(lambda: any(one["name"] == "brief" and one["ready"] for one in lab.record()["pods"]), "brief is ready")
    lab.settled()
    code = """
import socket, sys
open_ = []
for _ in range(20):
    s = socket.create_connection((sys.argv[1], 7000), 5); s.settimeout(20); s.sendall(b'PING\\r\\n')
    if not s.recv(10).startswith(b'+PONG'): raise SystemExit('no answer')
    open_.append(s)
print('open', flush=True)
ended = 0
while ended < len(open_):
    for s in list(open_):
        try:
            s.sendall(b'PING\\r\\n'); alive = s.recv(10)
        except OSError: alive = b''
        if not alive: open_.remove(s)
    if not open_: break
print('all ended', flush=True)
"""
    address = lab.address("brief")
    load, first = lab.spawn("web", code, address)
    expect(first == "open", f"no load: {first}")
    start = time.monotonic()
    lab.delete("pod", "shop/brief")
    until(lambda: all(one["name"] != "brief" for one in lab.record()["pods"]), "brief is gone")
    expect(load.communicate(timeout=20)[0].strip() == "all ended", "connections to a removed pod stay")
    expect(time.monotonic() - start < 10, "they took long to end")
    lab.works()


# Waits for an answer that never comes.
LISTENS = """
import socket, sys
s = socket.create_connection((sys.argv[1], 6379), 5)
s.sendall(b'PING\\r\\n'); s.recv(100); print('open', flush=True)
try: print('read', s.recv(100), flush=True)
except ConnectionResetError: print('reset', flush=True)
"""


ANSWERS_ONCE = """
import socket
s = socket.create_server(('', 6379)); print('listening', flush=True)
c = s.accept()[0]; c.recv(100); c.sendall(b'answer')
try: print('read', c.recv(100), flush=True)
except ConnectionResetError: print('reset', flush=True)
"""


def test_a_killed_ztunnel_is_a_reset_and_no_end(lab):
    # To redis through a tunnel, to outsider in plaintext: web is beside the ztunnel that is killed.
    tunnelled, first = lab.spawn("web", LISTENS, lab.address("redis"))
    expect(first == "open", first)
    server, first = lab.spawn("outsider", ANSWERS_ONCE)
    expect(first == "listening", first)
    plain, first = lab.spawn("web", LISTENS, lab.address("outsider"))
    expect(first == "open", first)
    weft("lab", "stop", "-l", lab.name, "--kill", "node-1/ztunnel")
    for name, one in (("tunnelled", tunnelled), ("plain", plain), ("the plain one's server", server)):
        seen = one.stdout.readline().strip()
        expect(seen == "reset", f"{name}: a killed ztunnel was taken for the end: {seen}")
    weft("lab", "start", "-l", lab.name, "node-1/ztunnel")
    until(lambda: "plum" in lab.curl("web", "http://cart/").stdout, "new connections work again")


def test_a_connection_to_nobody_is_refused(lab):
    answer = lab.curl("web", f"http://{lab.address('cart')}:9999/")
    expect(answer.returncode in (7, 52, 56), f"curl: {answer.returncode} {answer.stderr}")
    lab.works()


def test_a_name_that_nobody_knows_fails_at_once(lab):
    """A lab has no name server outside. With one that is silent, an application waits sixteen seconds."""
    ask = """
import socket, time
begun = time.monotonic()
try: print('found', socket.getaddrinfo('nowhere.example', 80))
except OSError: print('took', time.monotonic() - begun)
"""
    answer = lab.python("web", ask).stdout.split()
    expect(answer[:1] == ["took"] and float(answer[1]) < 5, f"nowhere.example: {answer}")


def test_traffic_inside_a_pod_is_left_alone(lab):
    for host in ("127.0.0.1", "[::1]", lab.address("cart")):
        answer = lab.curl("cart", f"http://{host}:8000/")
        expect("plum" in answer.stdout, f"{host}: {answer.stderr}")


def test_what_is_not_http_at_all(lab):
    answer = lab.inside("web", "redis-cli", "-h", "redis", "-3", "SET", "key", "x" * 100000, timeout=20)
    expect("OK" in answer.stdout, answer.stderr)
    answer = lab.inside("web", "redis-cli", "-h", "redis", "GET", "key", timeout=20)
    expect(len(answer.stdout.strip()) == 100000, f"{len(answer.stdout)} bytes came back")


if __name__ == "__main__":
    main(globals(), "traffic")
