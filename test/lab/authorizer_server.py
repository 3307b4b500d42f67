#!/usr/bin/env python3
"""An external authorizer for labs: HTTP on 8000, gRPC (envoy.service.auth.v3) on 9000.

HTTP/2 and protobuf by hand, as much as one call needs: frames in, no header of the request is looked at, literal
headers out. It decides by the header x-ask of the request that it is asked about:
  yes      allowed, with x-user: NAME-BY-HOW added, x-ask-secret removed and x-checked on the response
  denied   401, with a header and a body
  garbage  bytes that are no answer;  slow: nothing for long;  reset: the connection ends;  anything else: 403
"""
import http.server
import socketserver
import struct
import threading
import time

from false_control import field
from hbone import frame, literal


def fields(data):
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        elif tag & 7 == 2:
            size = number()
            yield tag >> 3, data[at:at + size]
            at += size
        else:
            size = 8 if tag & 7 == 1 else 4
            at += size


def inside(data, *path):
    """Every value under this path of field numbers."""
    values = [data]
    for wanted in path:
        values = [value for whole in values for number, value in fields(whole) if number == wanted]
    return values


def header_option(name, value):
    return field(1, field(1, name) + field(2, value))


def check(message):
    """CheckRequest in; CheckResponse, or what else to do, out."""
    headers = {}
    for entry in inside(message, 1, 4, 2, 3):  # attributes.request.http.headers
        pair = dict(fields(entry))
        headers[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
    principal = b"".join(inside(message, 1, 1, 4)).decode()  # attributes.source.principal
    body = b"".join(inside(message, 1, 4, 2, 11)).decode()
    ask = headers.get("x-ask", "")
    if ask == "yes":
        ok = field(2, header_option("x-user", "ann-by-grpc")) + field(2, header_option("x-source", principal))
        ok += field(2, header_option("x-body", str(len(body)))) + field(5, "x-ask-secret")
        return field(1, b"") + field(3, ok + field(6, header_option("x-checked", "grpc")))
    if ask == "denied":
        denied = field(1, field(1, 401)) + field(2, header_option("x-why", "unknown")) + field(3, "who are you?")
        return field(1, field(1, 16)) + field(2, denied)
    return {"garbage": b"\xff\xff\xff", "slow": None, "reset": ""}.get(ask, field(1, field(1, 7)))


class Grpc(socketserver.BaseRequestHandler):
    def read(self, size):
        data = b""
        while len(data) < size:
            part = self.request.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def handle(self):
        try:
            self.read(24)
            self.request.sendall(frame(4, 0, 0))
            bodies = {}
            while True:
                head = self.read(9)
                size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                stream = int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
                payload = self.read(size)
                if kind == 4 and not flags & 1:
                    self.request.sendall(frame(4, 1, 0))
                elif kind == 6 and not flags & 1:
                    self.request.sendall(frame(6, 1, 0, payload))
                elif kind == 0:
                    bodies[stream] = bodies.get(stream, b"") + payload
                    if size:
                        credit = struct.pack(">I", size)
                        self.request.sendall(frame(8, 0, 0, credit) + frame(8, 0, stream, credit))
                    if flags & 1 and not self.answer(stream, bodies.pop(stream)):
                        return
        except (EOFError, ConnectionError):
            pass

    def answer(self, stream, body):
        said = check(body[5:])
        if said == "":
            return False
        if said is None:
            return True
        head = bytes([0x88]) + literal("content-type", "application/grpc")
        self.request.sendall(frame(1, 4, stream, head) +
                             frame(0, 0, stream, struct.pack(">BI", 0, len(said)) + said) +
                             frame(1, 5, stream, literal("grpc-status", "0")))
        return True


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        ask = self.headers.get("x-ask", "")
        if ask == "garbage":
            self.wfile.write(b"nonsense\r\n\r\n")
            self.close_connection = True
            return
        if ask in ("slow", "reset"):
            time.sleep(30 if ask == "slow" else 0)
            self.close_connection = True
            return
        said = b"" if ask == "yes" else b"who are you?"
        self.send_response({"yes": 200, "denied": 401}.get(ask, 403))
        self.send_header("x-user", "ann-by-http")
        self.send_header("x-body", str(len(body)))
        self.send_header("x-asked-path", self.path)
        self.send_header("x-checked", "http")
        self.send_header("x-why", "unknown")
        self.send_header("x-envoy-auth-headers-to-remove", "x-ask-secret")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    threading.Thread(target=Server(("", 9000), Grpc).serve_forever, daemon=True).start()
    Server(("", 8000), Http).serve_forever()
