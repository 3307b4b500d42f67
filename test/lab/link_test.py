"""A bad link between the nodes: loss, delay, frames twice and out of order, damaged, longer ones swallowed; and a flood
of SYNs. What arrives is what was sent, what is new works, and nothing hangs."""
import json
import subprocess
import sys

from harness import HERE, WEFT, Authority, expect, identity, main, until

SIZE = 1_000_000  # bytes each way

# Answers each connection with SIZE bytes of its own, and tells the digest of what it read.
SERVER = """
import hashlib, random, socket, sys, threading
size = int(sys.argv[2])
sent = random.Random(2).randbytes(size)
listener = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100)
print(hashlib.sha256(sent).hexdigest(), flush=True)
def serve(s):
    digest, count = hashlib.sha256(), 0
    try:
        teller = threading.Thread(target=lambda: s.sendall(sent)); teller.start()
        while count < size:
            part = s.recv(65536)
            if not part: break
            digest.update(part); count += len(part)
        teller.join(); s.sendall(digest.hexdigest().encode()); s.shutdown(socket.SHUT_WR)
    except OSError: pass
while True: threading.Thread(target=serve, args=(listener.accept()[0],)).start()
"""
# Sends SIZE bytes and reads as many, at once; prints the digests of what it sent, read, and was told.
CLIENT = """
import hashlib, json, random, socket, sys, threading
size = int(sys.argv[3])
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20); s.settimeout(float(sys.argv[4]))
sent, heard = random.Random(1).randbytes(size), b''
failed = []
def send():
    try: s.sendall(sent)
    except OSError as error: failed.append(str(error))
sender = threading.Thread(target=send); sender.start()
end = 'end'
try:
    while True:
        part = s.recv(65536)
        if not part: break
        heard += part
except OSError as error: end = str(error)
sender.join()
if failed and end == 'end': end = failed[0]  # the kernel tells a reset once: whoever calls first
digest = lambda data: hashlib.sha256(data).hexdigest()
print(json.dumps({'sent': digest(sent), 'read': digest(heard[:size]), 'told': heard[size:].decode('latin-1'),
                  'bytes': len(heard), 'right': random.Random(2).randbytes(size).startswith(heard[:size]), 'end': end}))
"""
PORT = 7000


class Link:
    """The link made worse while the `with` lasts, as `link.py` does it."""

    def __init__(self, lab, **does):
        self.does = does
        self.child = subprocess.Popen([WEFT, "lab", "exec", "-l", lab.name, "link", "--", sys.executable, "-u",
                                       str(HERE / "link.py"), "node2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        expect(self.child.stdout.readline() == "open\n", "the link is not ours")

    def say(self, **does):
        """What it does from now on; what it has done so far."""
        self.child.stdin.write(json.dumps(does) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def __enter__(self):
        self.say(**self.does)
        return self

    def counts(self):
        return self.say(**self.does)

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait()


def server(lab):
    """One for all tests, in cart."""
    if not hasattr(lab, "served"):
        lab.server, lab.served = lab.spawn("cart", SERVER, str(PORT), str(SIZE))
    return lab.served


def talk(lab, family=0, seconds=60):
    answer = lab.python("web", CLIENT, lab.address("cart", family), str(PORT), str(SIZE), str(seconds))
    expect(answer.stdout, answer.stderr[-300:])
    return json.loads(answer.stdout)


def exchange(lab, family=0):
    """SIZE bytes each way arrive as they were sent."""
    ours, told = server(lab), talk(lab, family)
    expect(told["end"] == "end" and told["read"] == ours and told["told"] == told["sent"],
           f"{told['bytes']} bytes, {told['end']}")


def both_families(lab, **does):
    with Link(lab, **does) as link:
        for family in (0, 1):
            exchange(lab, family)
        lab.works()
        return link.counts()


def test_loss(lab):
    counts = both_families(lab, loss=0.05)
    expect(counts["lost"] > 50, f"hardly any loss: {counts}")


def test_a_long_way_with_frames_twice_and_out_of_order(lab):
    counts = both_families(lab, delay=0.03, duplicate=0.02, late=0.02)
    expect(counts["duplicated"] > 10 and counts["late"] > 10, f"hardly any: {counts}")


def test_damage_is_heard_of_and_never_delivered(lab):
    """Where a card vouches for checksums, TCP lets damage through, and TLS must not."""
    server(lab)
    with Link(lab, damage=0.01, spare=15012) as link:
        ended = 0
        for _ in range(5):
            told = talk(lab)
            expect(told["right"], f"damaged bytes are among the {told['bytes']} that were read")
            expect(told["end"] != "end" or told["told"] == told["sent"], f"a damaged stream ends in order: {told}")
            ended += told["end"] != "end"
        expect(link.counts()["damaged"] > 0 and ended > 0, f"no damage came through: {link.counts()}")
    logs = lab.log("node-1.ztunnel") + lab.log("node-2.ztunnel")
    expect("tls record does not open" in logs, "no log names the damage")
    lab.works("after the damage")


def test_long_packets_vanish(lab):
    """A path whose MTU has shrunk, and nobody says so: found out by TCP in the pods' namespaces."""
    with Link(lab) as link:
        lab.works()
        before = link.say(mtu=1280, spare=15012)
        link.does = {"mtu": 1280, "spare": 15012}
        for family in (0, 1):
            exchange(lab, family)
        counts = link.counts()
    expect(counts["vanished"] > before["vanished"], f"nothing was too long: {counts}")


# Asks for connections from everywhere, and takes none, until it is ended; says so when it has begun.
SYNS = """
import random, socket, struct, sys
target, port, r = socket.inet_aton(sys.argv[1]), int(sys.argv[2]), random.Random(3)
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 65535)
    return ~(total + (total >> 16)) & 65535
count = 0
while True:
    source = bytes([198, 18 + r.randrange(2), r.randrange(256), r.randrange(1, 255)])
    tcp = struct.pack('!HHIIBBHHH', r.randrange(1024, 65535), port, r.getrandbits(32), 0, 5 << 4, 2, 64240, 0, 0)
    sum_ = checksum(source + target + struct.pack('!BBH', 0, 6, 20) + tcp)
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 40, 0, 0, 64, 6, 0) + source + target
    try: s.sendto(ip + tcp[:16] + struct.pack('!H', sum_) + tcp[18:], (sys.argv[1], 0))
    except OSError: pass
    count += 1
    if count == 5000: print('flooded', flush=True)
"""


def cookies_taken(lab):
    names, values = [line.split() for line in lab.inside("cart", "cat", "/proc/net/netstat").stdout.splitlines()
                     if line.startswith("TcpExt:")]
    return int(values[names.index("SyncookiesRecv")])


def test_a_flood_of_syns(lab):
    """Whoever means it is served by the kernel's cookies, at the tunnels' port and at the application's."""
    address = lab.address("cart")
    ours = Authority(lab.scratch / "ours", lab.folder() / "control" / "ca").issue("web", identity("shop", "web"))
    calls = {15008: lambda: lab.inside("outsider", sys.executable, str(HERE / "hbone.py"), address, "15008", ours,
                                       f"{address}:8000"),
             8000: lambda: lab.curl("outsider", f"http://{address}:8000/")}
    for port, call in calls.items():
        flood, first = lab.spawn("link", SYNS, address, str(port))
        expect(first == "flooded", first)
        before = cookies_taken(lab)

        def served_by_cookie():
            for _ in range(5):
                answer = call()
                expect("plum" in answer.stdout, f"{port}: {answer.stdout[:200]} {answer.stderr[:200]}")
            return cookies_taken(lab) > before

        until(served_by_cookie, f"{port}: nobody comes by a cookie", 60)
        flood.kill()
        flood.wait()
    lab.works()


if __name__ == "__main__":
    main(globals(), "link")
