#!/usr/bin/env python3
"""Who is asked about requests in labs, and who is asked in the end.

extensions_server.py limits: a rate limit service (envoy.service.ratelimit.v3) on 8081. The request's backend is told what was
asked, without the entries "ns", as x-asked; a descriptor may say what becomes of it:
  few=N          within, N times
  x-ask=over     over, with x-why on the response;  garbage, slow, reset: no answer

extensions_server.py processor: an external processor (envoy.service.ext_proc.v3) on 9000. It takes x-secret away, tells the
backend x-seen and the client x-done, and makes each ! of a body <!>. The header x-do asks for something else:
  now, later     418 instead of the request, 451 instead of the response;  whole: it asks for both bodies
  garbage, slow, reset, and late-garbage, late-slow, late-reset: no answer about the request's, or the response's, headers

extensions_server.py backend: says what it was asked, as JSON, on 8080."""
import collections
import http.server
import json
import sys
import threading

from grpc_server import RESET, Grpc, Server, field, fields, inside

LOST = {"garbage": b"\xff\xff\xff", "slow": None, "reset": RESET}
OVERWRITE = field(3, 2)
APPEND = field(2, field(1, 1))


def texts(entries):
    """HeaderValue or Entry messages as pairs."""
    pairs = []
    for entry in entries:
        said = dict(fields(entry))
        pairs.append((said.get(1, b"").decode(), (said.get(2) or said.get(3) or b"").decode()))
    return pairs


class Limits(Grpc):
    taken, lock = collections.Counter(), threading.Lock()

    def answer(self, message):
        domain = b"".join(inside(message, 1)).decode()
        asked = [texts(inside(one, 1)) for one in inside(message, 2)]
        over = False
        for entries in asked:
            said = dict(entries)
            if said.get("x-ask") in LOST:
                return LOST[said["x-ask"]]
            over = over or said.get("x-ask") == "over"
            if "few" in said:
                with self.lock:
                    self.taken[domain, str(entries)] += 1
                    over = over or self.taken[domain, str(entries)] > int(said["few"])
        shown = ";".join(",".join(f"{name}={value}" for name, value in one if name != "ns") for one in asked)
        told = field(4, field(1, "x-asked") + field(2, f"{domain}|{shown}"))
        return field(1, 2 if over else 1) + told + field(3, field(1, "x-why") + field(2, "over" if over else "within"))


def header(name, value, action=OVERWRITE):
    return field(1, field(1, field(1, name) + field(3, value)) + action)


def common(mutation=b"", body=None):
    """A CommonResponse in its HeadersResponse or BodyResponse."""
    return field(1, (field(2, mutation) if mutation else b"") + (b"" if body is None else field(3, field(1, body))))


def instead(status, body):
    return field(7, field(1, field(1, status)) + field(2, header("x-why", "said so")) + field(3, body) + field(5, "said_so"))


class Processor(Grpc):
    def setup(self):
        self.asked = {}  # by stream: what x-do says

    def answer(self, message):
        for kind, part in fields(message):
            if kind in (2, 3):
                return self.headers(kind, texts(inside(part, 1, 1)))
            if kind in (4, 5):
                # A length that is not the new body's is an error to Envoy, where the body is whole.
                return field(kind - 1, common(field(2, "content-length"), b"".join(inside(part, 1)).replace(b"!", b"<!>")))
            if kind in (6, 7):
                return field(kind - 1, b"")
        return RESET

    def headers(self, kind, pairs):
        said = dict(pairs)
        if kind == 2:
            do = self.asked[self.stream] = said.get("x-do", "")
            if do in LOST:
                return LOST[do]
            if do == "now":
                return instead(418, "not today")
            wish = field(9, field(3, 2) + field(4, 2)) if do == "whole" else b""
            return field(1, common(header("x-seen", f"{said[':method']} {said[':path']}") + field(2, "x-secret"))) + wish
        do = self.asked.get(self.stream, "")
        if do.startswith("late-"):
            return LOST[do.removeprefix("late-")]
        if do == "later":
            return instead(451, "not for you")
        return field(2, common(header("x-done", said[":status"]) + header("x-more", "b", APPEND) + field(2, "x-of-app")))


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def body(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return whole

    def answer(self):
        body = self.body().decode()
        headers = {name.lower(): ",".join(self.headers.get_all(name)) for name in self.headers}
        said = json.dumps({"method": self.command, "path": self.path, "headers": headers, "body": body}).encode()
        self.send_response(200)
        for name, value in (("content-length", str(len(said))), ("content-type", "application/json"), ("x-of-app", "1"), ("x-more", "a")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    PORT, HANDLER = {"limits": (8081, Limits), "processor": (9000, Processor), "backend": (8080, Backend)}[sys.argv[1]]
    Server(("", PORT), HANDLER).serve_forever()
