"""A collector of spans: OTLP by HTTP on 4318, a line of JSON a span. Protobuf by hand, as much as spans need."""
import http.server
import json
import socketserver

NAMES = {1: "trace", 2: "span", 4: "parent", 5: "name", 6: "kind", 7: "begun", 8: "ended"}


def fields(data):
    """(number, value) of a message: numbers, and the bytes of everything else."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value
    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
            continue
        size = {1: 8, 5: 4}.get(tag & 7) or number()
        yield tag >> 3, data[at:at + size]
        at += size


def attributes(entries):
    """KeyValue messages as a dictionary of texts and numbers."""
    made = {}
    for entry in entries:
        pair = dict(fields(entry))
        value = dict(fields(pair.get(2, b"")))
        made[pair[1].decode()] = value[1].decode() if 1 in value else next(iter(value.values()), None)
    return made


def all_of(data, wanted):
    return [value for number, value in fields(data) if number == wanted]


def spans(request):
    """Each span of an ExportTraceServiceRequest: its ids, name, times, attributes, whose it is."""
    for resource in all_of(request, 1):
        whose = attributes(entry for part in all_of(resource, 1) for entry in all_of(part, 1))
        for scope in all_of(resource, 2):
            for span in all_of(scope, 2):
                made = {"service": whose.get("service.name", "")}
                for number, value in fields(span):
                    if number in (1, 2, 4):
                        made[NAMES[number]] = value.hex()
                    elif number == 5:
                        made["name"] = value.decode()
                    elif number in (7, 8):
                        made[NAMES[number]] = int.from_bytes(value, "little")
                made["attributes"] = attributes(all_of(span, 9))
                yield made


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return whole

    def do_POST(self):
        for span in spans(self.body()):
            print(json.dumps(span), flush=True)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


if __name__ == "__main__":
    Server(("", 4318), Handler).serve_forever()
