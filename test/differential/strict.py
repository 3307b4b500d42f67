"""HTTP/1.1 read as narrowly as it can be: what a proxy says to a backend is exactly this, or it is a fault."""
import re

HEAD = re.compile(rb"([A-Z][A-Z-]*) ([\x21-\x7e]+) HTTP/1\.1")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")


class Fault(Exception):
    """These bytes are no request, or more than one reader could take them for."""


class Request:
    def __init__(self, method, target, fields):
        self.method, self.target, self.fields, self.trailers, self.body, self.size = method, target, fields, [], b"", 0
        self.host = self.one("host", required=True)

    def all(self, name):
        return [value for other, value in self.fields if other == name]

    def one(self, name, required=False):
        values = self.all(name)
        if len(values) > 1 or (required and not values):
            raise Fault(f"{len(values)} of {name}")
        return values[0] if values else None

    def view(self):
        return self.method, self.target, self.host.lower(), self.body


def lines_until_empty(data, at):
    fields = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None, at
        line = data[at:end]
        at = end + 2
        if not line:
            return fields, at
        found = FIELD.fullmatch(line)
        if not found:
            raise Fault(f"field {line[:60]!r}")
        fields.append((found[1].decode().lower(), found[2].decode("latin-1").strip(" \t")))


def read(data):
    """The first request in `data`, or None when it is not whole yet."""
    end = data.find(b"\r\n")
    if end < 0:
        if len(data) > 65536:
            raise Fault("a line without end")
        return None
    first = HEAD.fullmatch(data[:end])
    if not first:
        raise Fault(f"request line {data[:end][:60]!r}")
    fields, at = lines_until_empty(data, end + 2)
    if fields is None:
        return None
    request = Request(first[1].decode(), first[2].decode(), fields)
    length, coding = request.one("content-length"), request.one("transfer-encoding")
    if length is not None and coding is not None:
        raise Fault("length and coding")
    if coding is not None:
        if coding != "chunked":
            raise Fault(f"coding {coding!r}")
        return chunked(request, data, at)
    if length is not None and not re.fullmatch("0|[1-9][0-9]{0,17}", length):
        raise Fault(f"length {length!r}")
    request.size = at + int(length or 0)
    request.body = data[at:request.size]
    return request if len(data) >= request.size else None


def chunked(request, data, at):
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        if not re.fullmatch(rb"[0-9a-f]{1,15}", data[at:end]):
            raise Fault(f"chunk {data[at:end][:30]!r}")
        size = int(data[at:end], 16)
        at = end + 2
        if size == 0:
            break
        if len(data) < at + size + 2:
            return None
        request.body += data[at:at + size]
        if data[at + size:at + size + 2] != b"\r\n":
            raise Fault("chunk's end")
        at += size + 2
    request.trailers, at = lines_until_empty(data, at)
    if request.trailers is None:
        return None
    request.size = at
    return request
