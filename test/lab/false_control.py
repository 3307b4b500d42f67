"""A control plane that sends what it should not: false_control.py CERTIFICATE MODE.

Listens on 192.168.77.254:15012. Prints "listening", then "connected" for each connection that got as far
as its mode goes, and "nack TEXT" for each refusal that a client sends.
"""
import os
import socket
import ssl
import struct
import sys
import threading

from grpc_server import field, fields
from hbone import frame, literal

ADDRESS_TYPE = "type.googleapis.com/istio.workload.Address"
POLICY_TYPE = "type.googleapis.com/istio.security.Authorization"


def response(type_url, name, value):
    any_ = field(1, type_url) + field(2, value)
    resource = field(1, "1") + field(2, any_) + field(3, name)
    return field(1, "1") + field(2, resource) + field(4, type_url) + field(5, "nonce")


def policy(ns, extra=b""):
    return response(POLICY_TYPE, f"{ns}/odd", field(1, "odd") + field(2, ns) + field(3, 1) + field(4, 1) + extra)


WORKLOAD = field(1, "evil") + field(2, "shop") + field(3, b"\x0a\xf4\x02") + field(20, "uid") + field(5, 1)
ANSWERS = {  # by mode: what is sent for each type
    "not-protobuf": {ADDRESS_TYPE: b"\xff" * 200, POLICY_TYPE: b"\xff" * 200},
    "bad-address": {ADDRESS_TYPE: response(ADDRESS_TYPE, "uid", field(1, WORKLOAD))},
    "other-type": {ADDRESS_TYPE: response("type.googleapis.com/what.Ever", "x", b"")},
    "odd-policy-elsewhere": {POLICY_TYPE: policy("elsewhere", field(99, "x"))},
    "odd-policy-here": {POLICY_TYPE: policy("shop", field(99, "x"))},
    "huge": {ADDRESS_TYPE: None},
}


def message(payload):
    return b"\0" + struct.pack("!I", len(payload)) + payload


class Conversation:
    """One HTTP/2 connection, as much of it as a discovery stream needs."""

    def __init__(self, stream, mode):
        self.stream, self.mode, self.buffer, self.answered = stream, mode, b"", set()

    def read(self, count):
        while len(self.buffer) < count:
            more = self.stream.recv(65536)
            if not more:
                raise ConnectionError
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def run(self):
        self.read(24)
        self.stream.sendall(frame(4, 0, 0))
        print("connected", flush=True)
        while True:
            head = self.read(9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            number = int.from_bytes(head[5:], "big")
            payload = self.read(length)
            if kind == 4 and not flags & 1:
                self.stream.sendall(frame(4, 1, 0))
            elif kind == 1:
                self.stream.sendall(frame(1, 4, number, b"\x88" + literal("content-type", "application/grpc")))
            elif kind == 0:
                self.hear(number, payload)

    def hear(self, number, payload):
        text = payload.decode("latin-1")
        request = dict(fields(payload[5:]))
        if 6 in request:  # response_nonce: an answer to what we sent
            refusal = dict(fields(request[7])).get(2, b"").decode("utf-8", "replace") if 7 in request else None
            print("ack" if refusal is None else f"nack {refusal}", flush=True)
            return
        for type_url, answer in ANSWERS.get(self.mode, {}).items():
            if type_url in text and type_url not in self.answered:
                self.answered.add(type_url)
                if answer is None:
                    self.stream.sendall(frame(0, 0, number, b"\0" + struct.pack("!I", 0xFFFFFFF0) + b"x" * 1000))
                else:
                    self.stream.sendall(frame(0, 0, number, message(answer)))


def serve(raw, certificate, mode):
    try:
        if mode == "no-tls":
            print("connected", flush=True)
            raw.sendall(os.urandom(2000))
            raw.recv(10)
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.set_alpn_protocols(["h2"])
        stream = context.wrap_socket(raw, server_side=True)
        if mode == "not-h2":
            print("connected", flush=True)
            stream.sendall(os.urandom(2000))
            stream.recv(10)
            return
        if mode == "bad-frames":
            stream.sendall(frame(4, 0, 0) + b"".join(frame(kind, 0xFF, kind, os.urandom(20)) for kind in range(9)))
            print("connected", flush=True)
            stream.recv(10)
            return
        Conversation(stream, mode).run()
    except (OSError, ConnectionError):
        pass
    finally:
        raw.close()


def listen(certificate, mode):
    listener = socket.create_server(("192.168.77.254", 15012), backlog=50)
    print("listening", flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], certificate, mode), daemon=True).start()


if __name__ == "__main__":
    listen(sys.argv[1], sys.argv[2])
