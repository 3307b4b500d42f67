"""The link between two nodes, made worse: frames of node-2 are carried by this program, and some are not.

Runs in the lab's link namespace: link.py UPLINK. Takes that end of node-2's cable out of the bridge and stands
between them. Each line of input is a JSON object with what is to be done from now on:

    loss, duplicate, late, damage   the chance of a frame to be lost, sent twice, overtaken, damaged in its TCP payload
    delay                           seconds, each way
    mtu                             longer packets vanish, and nobody is told
    spare                           frames of this TCP port are carried as they come

and is answered with a line of counters. At the end of input the cable is back in the bridge. What happens to a
frame is drawn from a seed, so that runs differ by timing alone.
"""
import heapq
import json
import random
import select
import socket
import struct
import subprocess
import sys
import time

VNET_HEADER, IGNORE_OUTGOING = 15, 23  # of SOL_PACKET
SOL_PACKET = 263
PREFIX = 10  # struct virtio_net_hdr: offloaded checksums stay what they are
ETHERNET = 14


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def wire(name):
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    one.setsockopt(SOL_PACKET, VNET_HEADER, 1)
    one.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
    one.bind((name, 3))
    ip("link", "set", name, "promisc", "on")
    return one


def tcp(frame):
    """Where the TCP header of a frame begins, or None."""
    kind = frame[PREFIX + 12:PREFIX + ETHERNET]
    at = PREFIX + ETHERNET
    if kind == b"\x08\x00" and frame[at + 9] == 6:
        return at + (frame[at] & 15) * 4
    if kind == b"\x86\xdd" and frame[at + 6] == 6:
        return at + 40
    return None


class Cable:
    def __init__(self, near, far):
        self.other = {near: far, far: near}
        self.does, self.random = {}, random.Random(7)
        self.counts = dict.fromkeys(("carried", "lost", "duplicated", "late", "damaged", "vanished"), 0)
        self.waiting, self.order = [], 0

    def chance(self, what):
        return self.random.random() < self.does.get(what, 0)

    def damaged(self, frame, header):
        payload = header + (frame[header + 12] >> 4) * 4
        if len(frame) - payload < 64:  # less than a record
            return None
        copy = bytearray(frame)
        copy[payload + self.random.randrange(len(frame) - payload)] ^= 1 << self.random.randrange(8)
        return bytes(copy)

    def take(self, frame, to):
        header, now = tcp(frame), time.monotonic()
        due = now + self.does.get("delay", 0)
        spare = header is not None and self.does.get("spare") in struct.unpack_from("!HH", frame, header)
        if header is None or spare:
            self.later(due, frame, to)
            return
        if len(frame) - PREFIX - ETHERNET > self.does.get("mtu", 1 << 20):
            self.counts["vanished"] += 1
            return
        if self.chance("loss"):
            self.counts["lost"] += 1
            return
        if self.chance("duplicate"):
            self.counts["duplicated"] += 1
            self.later(due, frame, to)
        if self.chance("late"):
            self.counts["late"] += 1
            due += 0.003
        if self.chance("damage") and (copy := self.damaged(frame, header)):
            self.counts["damaged"] += 1
            frame = copy
        self.later(due, frame, to)

    def later(self, due, frame, to):
        self.order += 1
        heapq.heappush(self.waiting, (due, self.order, frame, to))

    def send(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, frame, to = heapq.heappop(self.waiting)
            try:
                to.send(frame)
                self.counts["carried"] += 1
            except OSError:  # a full queue: as on any link
                self.counts["lost"] += 1

    def run(self):
        while True:
            pause = max(0, self.waiting[0][0] - time.monotonic()) if self.waiting else None
            ready, _, _ = select.select([sys.stdin, *self.other], [], [], pause)
            for one in ready:
                if one is sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self.does = json.loads(line)
                    print(json.dumps(self.counts), flush=True)
                else:
                    self.take(one.recv(1 << 17), self.other[one])
            self.send()


def main(uplink):
    ip("link", "add", "cable0", "type", "veth", "peer", "name", "cable1")
    for name in ("cable1", uplink):  # what is lost is one packet, not a burst that the card would cut
        ip("link", "set", name, "gso_max_segs", "1")
    ip("link", "set", uplink, "nomaster")
    ip("link", "set", "cable1", "master", "link0", "up")
    ip("link", "set", "cable0", "up")
    try:
        cable = Cable(wire(uplink), wire("cable0"))
        print("open", flush=True)
        cable.run()
    finally:
        ip("link", "del", "cable0")
        ip("link", "set", uplink, "master", "link0")


if __name__ == "__main__":
    main(sys.argv[1])
