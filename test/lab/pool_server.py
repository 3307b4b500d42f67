#!/usr/bin/env python3
"""A server that says how it is spoken to: pool_server.py PORT [mute]. Answers h1 or h2, and prints a line "ping" for each PING
(which it acknowledges, unless it is mute), and "gone" when a connection of HTTP/2 has ended."""
import socket
import sys

from grpc_server import Grpc, Server
from hbone import frame

MUTE = sys.argv[2:] == ["mute"]


class Either(Grpc):
    def handle(self):
        if self.request.recv(3, socket.MSG_PEEK) != b"PRI":  # who looks whether the server is there, too
            return self.speak_http1()
        try:
            super().handle()
        finally:
            print("gone", flush=True)

    def speak_http1(self):
        head = b""
        while part := self.request.recv(4096):
            head += part
            while b"\r\n\r\n" in head:
                head = head.split(b"\r\n\r\n", 1)[1]
                self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh1")

    def asked(self, stream):
        self.request.sendall(frame(1, 4, stream, bytes([0x88])) + frame(0, 1, stream, b"h2"))

    def pinged(self, payload):
        print("ping", flush=True)
        if not MUTE:
            super().pinged(payload)


if __name__ == "__main__":
    Server(("", int(sys.argv[1])), Either).serve_forever()
