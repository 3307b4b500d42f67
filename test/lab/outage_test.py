"""No certificate authority while certificates end: what can go on does, the rest is refused and says why, and it comes
back by itself."""
import datetime
import json
import re

from harness import SHOP, expect, main, until, weft

# Holds a connection to redis; each line of input is answered by it.
HOLD = """
import socket, sys
s = socket.create_connection(('redis', 6379), 5); s.settimeout(20)
s.sendall(b'PING\\r\\n'); s.recv(10)
print('open', flush=True)
for line in sys.stdin:
    s.sendall(b'PING\\r\\n'); print(s.recv(10).decode().strip(), flush=True)
"""
# A new connection until it ends, for a minute at most.
KNOCK = """
import socket, sys
s = socket.create_connection((sys.argv[1], 8000), 5); s.settimeout(60)
s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
try: print('read', s.recv(100))
except ConnectionResetError: print('reset')
"""


def alive(kept):
    kept.stdin.write("x\n")
    kept.stdin.flush()
    return kept.stdout.readline().strip() == "+PONG"


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def expiries(lab):
    """When the nodes' certificates end."""
    dump = json.loads(weft("ztunnel-config", "certificate", "-l", lab.name, "-o", "json").stdout)
    return sorted(datetime.datetime.fromisoformat(one["certChain"][0]["expirationTime"].replace("Z", "+00:00"))
                  for node in dump.values() for one in node)


def test_the_authority_is_gone(lab):
    """Certificates serve until they end, then nothing new gets through; the authority returns, and it does."""
    lab.works()
    kept, first = lab.spawn("web", HOLD)
    expect(first == "open", first)
    weft("lab", "stop", "-l", lab.name, "--kill", "control")
    ends, tried = expiries(lab), 0
    while now() < ends[0] - datetime.timedelta(seconds=5):
        lab.works("new connections while certificates last")
        expect(alive(kept), "an open connection was lost")
        tried += 1
    expect(tried > 2, f"hardly anything was tried: {tried}")
    logged = lab.log("node-1.ztunnel")
    expect("certificate of spiffe://" in logged, "the log does not say that certificates are not renewed")
    until(lambda: now() > ends[-1], "they end", 60)
    answer = lab.python("web", KNOCK, lab.address("cart")).stdout.strip()
    expect(answer == "reset", f"without a certificate: {answer}")
    until(lambda: re.search(r'dst.hbone_addr=\S+:8000 .*reason="no_identity"', lab.log("node-1.ztunnel")[len(logged):]),
          "the log names the reason")
    weft("lab", "start", "-l", lab.name, "control")
    until(lambda: "plum" in lab.curl("web", "http://cart/").stdout, "new connections work again")
    kept.kill()


if __name__ == "__main__":
    main(globals(), "outage", SHOP, "--certificate-lifetime", "30s")
