"""An IP address that changes its owner 1 000 times, while the control plane's news of it is late.

Two pods, alpha and beta, of two identities, take turns at one address: the node's route moves from one
to the other, and within 0 to 100 ms so does what control says. (Each is enrolled anew every 50th time.)
Meanwhile web talks to the address, and its owner of the moment talks to cart. Whatever was heard at
either end is compared with the identity that ztunnel's access log gives for that very connection: not
one byte may have gone to, or come as, somebody else.
"""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys

from harness import SHOP, expect, main, until

ROUNDS = int(os.environ.get("WEFT_REUSE_ROUNDS", "1000"))
ADDRESS = "10.244.2.200"
SEED = int(os.environ.get("WEFT_SEED", "11"))

# Answers each connection with its own name; writes down every word it hears.
SERVER = """
import socket, sys, threading
listener = socket.create_server(('', 8000), backlog=100)
print('listening', flush=True)
def serve(s):
    try:
        s.settimeout(5); word = s.recv(100).decode().strip()
        if word: print(word, flush=True)
        s.sendall(sys.argv[1].encode() + b'\\n')
    except OSError: pass
    s.close()
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
# For each word on stdin: says it to argv[1]; prints word, local port, answer.
CLIENT = """
import json, socket, sys
print('ready', flush=True)
for word in sys.stdin:
    port, answer = 0, ''
    try:
        s = socket.socket(); s.settimeout(0.25)
        s.connect((sys.argv[1], 8000)); port = s.getsockname()[1]
        s.sendall((sys.argv[2] % word.strip()).encode()); answer = s.recv(200).decode('latin-1').strip()
    except OSError as error: answer = ''
    try: s.close()
    except OSError: pass
    print(json.dumps([word.strip(), port, answer]), flush=True)
"""


class Owner:
    """A pod that the lab does not manage: a namespace of its own behind a veth on node-2."""

    def __init__(self, lab, name, number):
        self.lab, self.name, self.link, self.serial = lab, name, f"own{number}", 0
        self.identity = f"spiffe://cluster.local/ns/shop/sa/{name}"
        self.node = f"weft-{lab.name}-node-2"
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.netns = f"/proc/{self.holder.pid}/ns/net"
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(self.netns) != own, "the namespace is made")
        self.ip(f"link add {self.link} type veth peer name eth0 netns {self.holder.pid}")
        for words in (f"link set {self.link} up", f"addr add 10.244.2.1/32 dev {self.link}"):
            self.ip(words)
        for words in ("link set lo up", "link set eth0 up", f"addr add {ADDRESS}/32 dev eth0",
                      "route add 10.244.2.1 dev eth0 scope link", "route add default via 10.244.2.1 dev eth0"):
            self.run("ip", *words.split())
        self.server = self.spawn(SERVER, name)
        self.client = self.spawn(CLIENT, lab.address("cart"), "GET /%s HTTP/1.0\r\n\r\n")

    def ip(self, words):
        subprocess.run(["ip", "-n", self.node, *words.split()], check=True)

    def run(self, *command):
        subprocess.run(["nsenter", f"--net={self.netns}", *command], check=True)

    def spawn(self, code, *arguments):
        child = subprocess.Popen(["nsenter", f"--net={self.netns}", sys.executable, "-uc", code, *arguments],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        return child

    def ask_agent(self, message, *fds):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as agent:
            agent.settimeout(15)
            agent.connect(str(self.lab.folder() / "nodes" / "node-2" / "agent.sock"))
            socket.send_fds(agent, [json.dumps(message).encode()], list(fds))
            answer = json.loads(agent.recv(20000))
        expect(answer["ok"], f"the agent: {answer}")

    def enrol(self):
        self.serial += 1
        fd = os.open(self.netns, os.O_RDONLY)
        self.ask_agent({"op": "add", "uid": f"{self.name}-{self.serial}", "name": self.name, "namespace": "shop",
                        "serviceAccount": self.name, "ips": [ADDRESS]}, fd)
        os.close(fd)

    def enrol_anew(self):
        self.ask_agent({"op": "del", "uid": f"{self.name}-{self.serial}"})
        self.enrol()

    def take_the_route(self):
        self.ip(f"route replace {ADDRESS}/32 dev {self.link}")

    def manifest(self):
        return pathlib.Path(self.lab.folder()) / "manifests" / f"pod.shop.{self.name}.yaml"

    def publish(self, address=ADDRESS):
        pod = {"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": self.name, "namespace": "shop", "uid": f"{self.name}-{self.serial}",
                            "annotations": {"lab.weft.dev/managed": "false"}},
               "spec": {"nodeName": "node-2", "serviceAccountName": self.name,
                        "containers": [{"name": "a", "image": "a", "command": ["a"]}]},
               "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                          "conditions": [{"type": "Ready", "status": "True"}]}}
        hidden = self.manifest().with_name("." + self.manifest().name)
        hidden.write_text(json.dumps(pod), encoding="utf-8")
        hidden.rename(self.manifest())

    def withdraw(self):
        self.manifest().unlink(missing_ok=True)

    def heard(self):
        self.server.kill()
        return self.server.stdout.read().split()

    def end(self):
        for child in (self.server, self.client, self.holder):
            child.kill()
            child.wait()


def ask(child, word):
    child.stdin.write(word + "\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline())


def identities(log, key, direction):
    """For each local port of `direction` connections, in order: the identities the log gives."""
    found = {}
    for line in log.splitlines():
        if f'direction="{direction}"' not in line:
            continue
        port = re.search(r"src\.addr=\S+:(\d+) ", line)
        name = re.search(key + r'="([^"]*)"', line)
        if port:
            found.setdefault(int(port[1]), set()).add(name[1] if name else None)
    return found


def play(lab, owners):
    """What each end saw: words said to the address, and words its owners said to cart."""
    chance = random.Random(SEED)
    web, first = lab.spawn("web", CLIENT, ADDRESS, "%s\n")
    expect(first == "ready", first)
    control = lab.pid("control")
    said, spoken = [], []
    for number in range(ROUNDS):
        before, now = owners[(number + 1) % 2], owners[number % 2]
        os.kill(control, signal.SIGSTOP)  # its news will be late
        if number % 50 == 49:
            now.enrol_anew()
        now.take_the_route()
        before.withdraw()
        now.publish()
        said.append(ask(web, f"w{number}"))
        spoken.append((now, ask(now.client, f"c{number}")))
        os.kill(control, signal.SIGCONT)
        for again in range(chance.randrange(3)):
            said.append(ask(web, f"w{number}-{again}"))
    lab.settled()
    last = until(lambda: (ask(web, "last")[2]) == owners[(ROUNDS - 1) % 2].name, "the last owner is reached")
    expect(last, "unreachable")
    web.kill()
    return said, spoken


def test_an_address_that_changes_its_owner_a_thousand_times(lab):
    for name in ("alpha", "beta"):
        lab.apply(f"apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: shop}}\n", f"{name}.yaml")
    owners = [Owner(lab, name, number) for number, name in enumerate(("alpha", "beta"))]
    try:
        for number, owner in enumerate(owners):  # known to control, so that they get certificates
            owner.publish(f"10.244.2.{210 + number}")
            lab.settled()
            owner.enrol()
        until(lambda: all(one.identity in lab.inside("node-2", "curl", "-s", "http://127.0.0.1:15000/config_dump").stdout
                          for one in owners), "both have certificates")
        said, spoken = play(lab, owners)
        judge(lab, owners, said, spoken)
    finally:
        os.kill(lab.pid("control"), signal.SIGCONT)
        for owner in owners:
            owner.end()


def logged(lab, node, key, ports):
    """The identities of `ports`, once the log has them all: it is written behind the traffic."""
    read = lambda: identities(lab.log(f"{node}.ztunnel"), key, "outbound")
    until(lambda: ports <= read().keys(), lambda: f"{node} logs ports {ports - read().keys()}")
    return read()


def judge(lab, owners, said, spoken):
    port_of = {word: port for word, port, _ in said}
    heard = {owner: owner.heard() for owner in owners}
    out = logged(lab, "node-1", r"dst\.identity",
                 {port_of[word] for words in heard.values() for word in words if word in port_of})
    for owner, words in heard.items():
        for word in words:
            if word not in port_of:
                continue
            meant = out.get(port_of[word], {None})
            expect(owner.identity in meant, f"{owner.name} heard {word}, which was meant for {meant}")
    for word, port, answer in said:
        if answer:
            meant = out.get(port, {None})
            expect(f"spiffe://cluster.local/ns/shop/sa/{answer}" in meant, f"{word}: {answer} answered for {meant}")
    sent = logged(lab, "node-2", r"src\.identity", {port for _, (_, port, answer) in spoken if answer})
    for owner, (word, port, answer) in spoken:
        if answer:
            expect(owner.identity in sent.get(port, {None}), f"{owner.name} spoke as {sent.get(port)} ({word})")
    reached = sum(bool(answer) for _, _, answer in said)
    spoke = sum(bool(answer) for _, (_, _, answer) in spoken)
    print(f"      {ROUNDS} changes: {reached} of {len(said)} connections to the address were answered, "
          f"{spoke} of {len(spoken)} from it; none by or as the wrong identity")
    expect(reached > ROUNDS / 20 and spoke > ROUNDS / 20, "hardly anything got through: nothing was tested")


if __name__ == "__main__":
    # An address that control does not know (yet) is not to be reached in plaintext either.
    main(globals(), "reuse", SHOP, "--ztunnel-flag=--unknown-destinations=refuse")
