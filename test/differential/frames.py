"""HTTP/2 by hand, so that nothing is too wrong to be said: every field a literal, nothing compressed."""
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, bits):
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out = bytearray([most])
    value -= most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def block(fields):
    out = b""
    for name, value in fields:
        name, value = name.encode("latin-1"), value.encode("latin-1")
        out += b"\x00" + integer(len(name), 7) + name + integer(len(value), 7) + value
    return out


def connection(fields, body=None, trailers=None):
    """A connection that asks once."""
    end = body is None and trailers is None
    out = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), 1, block(fields))
    if body is not None:
        out += frame(DATA, 0 if trailers else END_STREAM, 1, body.encode("latin-1"))
    if trailers is not None:
        out += frame(HEADERS, END_HEADERS | END_STREAM, 1, block(trailers))
    return out


def pseudo(method="GET", path="/a", authority="h", scheme="http"):
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]


def table(paths, hosts, methods, fields, lengths):
    for path in paths:
        yield f"h2 path {path!r}", connection(pseudo(path=path))
    for host in hosts:
        yield f"h2 authority {host!r}", connection(pseudo(authority=host))
        yield f"h2 authority h, host {host!r}", connection([*pseudo(), ("host", host)])
        yield f"h2 host {host!r} alone", connection([one for one in pseudo() if one[0] != ":authority"] + [("host", host)])
    for method in [*methods, "GET /admin HTTP/1.1\r\nX: ", "GET /admin"]:
        yield f"h2 method {method!r}", connection(pseudo(method=method))
    for scheme in ("https", "ftp", "HTTP", "", "http://x/", "http\r\nx: y", "javascript"):
        yield f"h2 scheme {scheme!r}", connection(pseudo(scheme=scheme))
    for path in ("/a HTTP/1.1\r\nX-A: b\r\n\r\n", "/a\r\nX: b", "/a b", "/a\x00", "/a\n"):
        yield f"h2 path {path!r}", connection(pseudo(path=path))
    for name, value in fields:
        yield f"h2 field {name!r} {value[:30]!r}", connection([*pseudo(), (name, value)])
        yield f"h2 lower field {name!r} {value[:30]!r}", connection([*pseudo("POST"), (name.lower(), value)], "hello")
    for name, value in (("x-a", " b"), ("x-a", "b "), ("x-a", "\tb"), ("x-a:", "b"), ("x-a: b\r\nx-c", "d"), ("transfer-encoding", "chunked"),
                        ("x-a", "b\r\ntransfer-encoding: chunked"), ("connection", "close"), ("te", "trailers, gzip"), ("x\r\ny", "z")):
        yield f"h2 field {name!r} {value!r}", connection([*pseudo("POST"), (name, value)], "0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n")
    for length in lengths:
        yield f"h2 length {length!r}", connection([*pseudo("POST"), ("content-length", length)], "hello")
        yield f"h2 length {length!r} without a body", connection([*pseudo(), ("content-length", length)])
        yield f"h2 two lengths {length!r}", connection([*pseudo("POST"), ("content-length", "5"), ("content-length", length)], "hello")
    for trailer in (("x-t", "a"), ("content-length", "5"), ("host", "other"), (":path", "/admin"), ("transfer-encoding", "chunked"),
                    ("x-t", "a\r\nb"), ("authorization", "Bearer x"), ("x-forwarded-client-cert", "URI=a"), ("X-T", "a"), ("", "a"),
                    ("content-length", "0"), ("trailer", "x"), ("te", "trailers"), ("x_forwarded_client_cert", "URI=a"), ("cookie", "a=b")):
        yield f"h2 trailer {trailer!r}", connection(pseudo("POST"), "hello", [trailer])
    for one in pseudo():
        yield f"h2 {one[0]} twice", connection([*pseudo(), one])
        yield f"h2 {one[0]} missing", connection([other for other in pseudo() if other != one])
        yield f"h2 {one[0]} last", connection([*[other for other in pseudo() if other != one], ("x-a", "b"), one])
        yield f"h2 {one[0]} empty", connection([other if other != one else (one[0], "") for other in pseudo()])
    yield "h2 :status", connection([*pseudo(), (":status", "200")])
    yield "h2 :unknown", connection([*pseudo(), (":unknown", "x")])
    yield "h2 CONNECT", connection([(":method", "CONNECT"), (":authority", "h:80")])
    yield "h2 CONNECT with a path", connection(pseudo(method="CONNECT"))
    yield "h2 extended CONNECT", connection([*pseudo(method="CONNECT"), (":protocol", "websocket")])
    yield "h2 extended CONNECT, spaced", connection([*pseudo(method="CONNECT"), (":protocol", "websocket\r\nx: y")])
    yield "h2 :protocol of GET", connection([*pseudo(), (":protocol", "websocket")])
    yield "h2 cookies", connection([*pseudo(), ("cookie", "a=b"), ("cookie", "c=d")])


def mutated(dice, paths, hosts, methods, fields, lengths):
    said = [list(one) for one in pseudo(dice.choice(["GET", "POST"]))]
    body = dice.choice([None, "hello", "0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n"])
    trailers = dice.choice([None, None, [("x-t", "a")], [tuple(dice.choice(fields))]])
    for _ in range(dice.randint(1, 3)):
        what = dice.randrange(8)
        if what == 0:
            said[-1][1] = dice.choice(paths)
        elif what == 1:
            said[min(2, len(said) - 1)][1] = dice.choice(hosts)
        elif what == 2:
            said[0][1] = dice.choice(methods)
        elif what == 3:
            name, value = dice.choice(fields)
            said.append([name.lower() if dice.random() < 0.8 else name, value])
        elif what == 4:
            said.append(["content-length", dice.choice(lengths)])
        elif what == 5:
            one = dice.choice(said)
            one[1] = dice.choice([" " + one[1], one[1] + " ", one[1] + "\r\nx-b: c", one[1] + "\x00", one[1] + one[1]])
        elif what == 6:
            said.append(["host", dice.choice(hosts)])
        else:
            dice.shuffle(said)
    return connection([tuple(one) for one in said], body, trailers)


def statuses(answer):
    """What came back on such a connection: the status of stream 1, or how it was refused."""
    seen, at = [], 0
    while at + 9 <= len(answer):
        length = int.from_bytes(answer[at:at + 3], "big")
        kind, stream = answer[at + 3], int.from_bytes(answer[at + 5:at + 9], "big") & 0x7FFFFFFF
        if kind == RST_STREAM:
            seen.append("reset")
        elif kind == GOAWAY:
            seen.append("goaway")
        elif kind == HEADERS and stream == 1:
            seen.append("headers")
        at += 9 + length
    return seen
