"""Protobuf and gRPC over clear HTTP/2 by hand, as much as servers of labs need: messages in and out field by field; frames in,
no header of a request is looked at, literal headers out."""
import pathlib
import socketserver
import struct
import sys

from hbone import frame, literal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "bookstore"))
from traces import fields  # noqa: E402

RESET = object()  # an answer: the connection ends
FRAME = 16384  # bytes of the largest; messages are within the windows of their receiver


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def inside(data, *path):
    """Every value under this path of field numbers."""
    values = [data]
    for wanted in path:
        values = [value for whole in values for number, value in fields(whole) if number == wanted]
    return values


class Grpc(socketserver.BaseRequestHandler):
    """One connection. Each message of a call, `self.stream`, is answered when it is there, the call when its end is."""

    def answer(self, message):
        """The message that answers; None: nothing, for ever; RESET."""
        raise NotImplementedError

    def asked(self, stream):
        """A request without a body."""

    def pinged(self, payload):
        self.request.sendall(frame(6, 1, 0, payload))

    def read(self, size):
        data = b""
        while len(data) < size:
            part = self.request.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def handle(self):
        self.parts, self.begun = {}, set()  # by stream: bytes of the next message; those that were answered
        try:
            self.read(24)
            self.request.sendall(frame(4, 0, 0))
            while self.take():
                pass
        except (EOFError, ConnectionError):
            pass

    def take(self):
        head = self.read(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
        payload = self.read(size)
        if kind == 4 and not flags & 1:
            self.request.sendall(frame(4, 1, 0))
        elif kind == 6 and not flags & 1:
            self.pinged(payload)
        elif kind == 1 and flags & 1:
            self.asked(stream)
        elif kind == 0:
            return self.data(stream, payload, flags & 1)
        return True

    def data(self, stream, payload, ends):
        if payload:
            credit = struct.pack(">I", len(payload))
            self.request.sendall(frame(8, 0, 0, credit) + frame(8, 0, stream, credit))
        rest = self.parts.get(stream, b"") + payload
        while len(rest) >= 5 and len(rest) >= 5 + (size := int.from_bytes(rest[1:5], "big")):
            self.stream = stream
            said = self.answer(rest[5:5 + size])
            rest = rest[5 + size:]
            if said is RESET:
                return False
            if said is not None:
                self.say(stream, said)
        self.parts[stream] = rest
        if ends:
            del self.parts[stream]
            if stream in self.begun:
                self.begun.remove(stream)
                self.request.sendall(frame(1, 5, stream, literal("grpc-status", "0")))
        return True

    def say(self, stream, message):
        head = b""
        if stream not in self.begun:
            self.begun.add(stream)
            head = frame(1, 4, stream, bytes([0x88]) + literal("content-type", "application/grpc"))
        whole = struct.pack(">BI", 0, len(message)) + message
        parts = (whole[at:at + FRAME] for at in range(0, len(whole), FRAME))
        self.request.sendall(head + b"".join(frame(0, 0, stream, part) for part in parts))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
