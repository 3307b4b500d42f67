#!/usr/bin/env python3
"""An external authorizer for labs: HTTP on 8000, gRPC (envoy.service.auth.v3) on 9000.

It decides by the header x-ask of the request that it is asked about:
  yes      allowed, with x-user: NAME-BY-HOW added, x-ask-secret removed and x-checked on the response
  denied   401, with a header and a body
  garbage  bytes that are no answer;  slow: nothing for long;  reset: the connection ends;  anything else: 403
"""
import http.server
import threading
import time

from grpc_server import RESET, Grpc, Server, field, fields, inside


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
    return {"garbage": b"\xff\xff\xff", "slow": None, "reset": RESET}.get(ask, field(1, field(1, 7)))


class Checks(Grpc):
    def answer(self, message):
        return check(message)


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


if __name__ == "__main__":
    threading.Thread(target=Server(("", 9000), Checks).serve_forever, daemon=True).start()
    Server(("", 8000), Http).serve_forever()
