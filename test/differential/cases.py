"""Hostile requests: a table by hand, and as many more as asked for out of a seed. A case is the bytes that a
client says on one connection, and a name."""
import random

import frames

PATHS = ["/", "/a", "/a//b", "//a", "/a/./b", "/a/../b", "/../a", "/a/..", "/a/%2e%2e/b", "/a/%2E./b", "/a%2Fb", "/a%2fb",
         "/a%5cb", "/a\\b", "/a/..;/b", "/a/..;x=1/b", "/a;x/b", "/a/.;/b", "/a/..%2fb", "/a/%2e%2e%2fb", "/a/%252e%252e/b",
         "/a%00b", "/a%0ab", "/a%0d%0ab", "/a%20b", "/a%ffb", "/a%c0%aeb", "/%c0%ae%c0%ae/b", "/%", "/%2", "/%zz", "/a%u002fb",
         "/a?b=/../c", "/a?x=%2e%2e", "/a?x#y", "/a#b", "/a%23b", "/a%3fb=1", "/a/b/", "/a/b/.", "/a/b/..", "/A/b", "/a/%41",
         "/a/~b", "/a/%7Eb", "/admin/", "/x/../admin", "/x/..//admin", "//admin", "/./admin", "/%61dmin", "/admin%2f",
         "/admin;a=b", "/admin/;a=b", "/a|b", "/a\"b", "/a<b>", "/a{b}", "/a^b", "/a`b", "/a\x80b", "/\xc3\xa4", "*", "",
         "http://h/a", "http://h", "http://h?x", "http://h/a/../b", "HTTP://h/a", "http://other/a", "http://u@h/a",
         "http://h:80/a", "https://h/a", "ftp://h/a", "http:/h/a", "http:///a", "//h/a", "h:80", "?a", "a", "/a b", "/a\tb"]
HOSTS = ["h", "H", "h:80", "h:080", "h:", "h:x", "h:80:80", "h,i", "h i", "u@h", "h/a", "h?x", "h#", "[::1]", "[::1]:80", "[::1",
         "", " ", "h\\i", "h\x00", "h%41", "h.", "*", "h:99999999999"]
LENGTHS = ["5", "05", "+5", "-5", "5,5", "5, 5", "5 5", "0x5", "5.0", "", " ", "18446744073709551621", "5;", "\x0b5", "5\x00", "0"]
CODINGS = ["chunked", "Chunked", "chunked, chunked", "chunked,", ",chunked", "gzip, chunked", "chunked, gzip", "identity", "identity, chunked",
           "xchunked", "chunked;q=1", "\"chunked\"", "chu\x00nked", "\x0bchunked", "chunked\x0b", " chunked", "\tchunked", "", "gzip",
           "chunked\r\n , identity"]
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "GeT", "FOO", "G\x00T", "GET/", "G(T",
           "M-SEARCH", "PRI", "PROPFIND", "PURGE", "BREW", ""]
VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "HTTP/01.1", "http/1.1", "HTTP/1", "HTTP/1.1 x",
            "HTTPS/1.1", "RTSP/1.0", "ICE/1.0", ""]
FIELDS = [("Content_Length", "5"), ("Transfer_Encoding", "chunked"), ("X-Forwarded-Client-Cert", "URI=spiffe://a/b"),
          ("X_Forwarded_Client_Cert", "URI=spiffe://a/b"), ("Connection", "content-length"), ("Connection", "transfer-encoding"),
          ("Connection", "close, x-weft-read"), ("Connection", "x-forwarded-for"), ("X-Weft-Read", "DELETE /admin h"), ("TE", "gzip"),
          ("TE", "trailers"), ("Trailer", "content-length"), ("Upgrade", "websocket"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk"),
          ("X-HTTP-Method-Override", "DELETE"), ("X-Original-URL", "/admin"), ("X-Rewrite-Url", "/admin"), ("Expect", "100-continue"),
          ("Expect", "200-ok"), ("X-A", "b\x00c"), ("X-A", "b\x0bc"), ("X-A", "\x80"), ("X-A", "b\rc"), ("X-A", "b\nc"), ("X-A\x00", "b"),
          ("X A", "b"), (" X-A", "b"), ("X-A ", "b"), ("X-A\t", "b"), ("X(A", "b"), ("X\x80", "b"), ("", "b"), (":path", "/admin"),
          (":authority", "other"), ("Host", "other"), ("Host", "h"), ("host ", "other"), ("X-A", "b" * 9000), ("Content-Length ", "5"),
          ("Content-Length\x0b", "5"), ("Transfer-Encoding ", "chunked"), ("Transfer-Encoding\t", "chunked"), ("\tTransfer-Encoding", "chunked"),
          ("X-A", "b\r\n folded"), ("X-A", "\r\n\tfolded"), ("Proxy-Connection", "keep-alive"), ("Keep-Alive", "timeout=5"),
          ("Content-Encoding", "gzip"), ("Range", "bytes=0-1"), ("Forwarded", "for=1.2.3.4;host=other"), ("X-Forwarded-Host", "other")]
CHUNKS = ["5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n",
          "05\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n",
          "5;a=b\r\nhello\r\n0\r\n\r\n", "5;a=\"b\r\nc\"\r\nhello\r\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n",
          "5;" + "a" * 300 + "\r\nhello\r\n0\r\n\r\n", "5\r\r\nhello\r\n0\r\n\r\n", "\r\n5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n00\r\n\r\n",
          "5\r\nhello\r\n0\r\nX-T: a\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", "5\r\nhello\r\n0\r\nHost: other\r\n\r\n",
          "5\r\nhello\r\n0\r\n X: a\r\n\r\n", "5\r\nhello\r\n0\r\nX : a\r\n\r\n", "5\r\nhello\r\n0\r\nX: a\n\n", "5\r\nhello\r\n0\n\n",
          "5\r\nhello\r\n", "5\r\nhel", "FFFFFFFFFFFFFFFFF\r\nhello", "fffffffffffffffb\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0", "g\r\n",
          "\r\n", "0\r\n\r\n", "0;x=y\r\n\r\n", "5\r\nhello\r\n 0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "A\r\n0\r\n\r\nGET / \r\n0\r\n\r\n"]
NEXT = "GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def request(method="GET", target="/a", version="HTTP/1.1", fields=(("Host", "h"),), body="", eol="\r\n", end="\r\n"):
    head = f"{method} {target} {version}".rstrip(" ") + eol
    return head + "".join(f"{name}: {value}{eol}" for name, value in fields) + end + body


def latin(text):
    return text.encode("latin-1")


def table():
    """Every value of every list above, one at a time, in a request that is fine otherwise."""
    host = ("Host", "h")
    for path in PATHS:
        yield f"target {path!r}", latin(request(target=path) + NEXT)
        yield f"OPTIONS {path!r}", latin(request("OPTIONS", path) + NEXT)
    for value in HOSTS:
        yield f"host {value!r}", latin(request(fields=[("Host", value)]) + NEXT)
        yield f"absolute with host {value!r}", latin(request(target="http://h/a", fields=[("Host", value)]) + NEXT)
    for method in METHODS:
        yield f"method {method!r}", latin(request(method) + NEXT)
    for version in VERSIONS:
        yield f"version {version!r}", latin(request(version=version) + NEXT)
    for name, value in FIELDS:
        yield f"field {name!r} {value[:30]!r}", latin(request(fields=[host, (name, value)]) + NEXT)
        yield f"field first {name!r} {value[:30]!r}", latin(request(fields=[(name, value), host]) + NEXT)
        yield f"with a body {name!r} {value[:30]!r}", latin(
            request("POST", fields=[host, ("Content-Length", "5"), (name, value)], body="hello") + NEXT)
    for length in LENGTHS:
        yield f"length {length!r}", latin(request("POST", fields=[host, ("Content-Length", length)], body="hello") + NEXT)
        yield f"two lengths {length!r}", latin(
            request("POST", fields=[host, ("Content-Length", "5"), ("Content-Length", length)], body="hello") + NEXT)
    for coding in CODINGS:
        chunked = [host, ("Transfer-Encoding", coding)]
        body = "5\r\nhello\r\n0\r\n\r\n"
        yield f"coding {coding!r}", latin(request("POST", fields=chunked, body=body) + NEXT)
        yield f"length, coding {coding!r}", latin(request("POST", fields=[*chunked, ("Content-Length", "4")], body=body) + NEXT)
        yield f"coding {coding!r}, length", latin(request("POST", fields=[("Content-Length", "15"), *chunked], body=body) + NEXT)
        yield f"two codings {coding!r}", latin(request("POST", fields=[*chunked, ("Transfer-Encoding", "chunked")], body=body) + NEXT)
        yield f"HTTP/1.0 coding {coding!r}", latin(request("POST", version="HTTP/1.0", fields=chunked, body=body) + NEXT)
    for chunks in CHUNKS:
        fields = [host, ("Transfer-Encoding", "chunked")]
        yield f"chunks {chunks[:40]!r}", latin(request("POST", fields=fields, body=chunks) + NEXT)
        yield f"chunks of GET {chunks[:40]!r}", latin(request("GET", fields=fields, body=chunks) + NEXT)
    for eol in ("\n", "\r", "\r\r\n", "\n\r", "\x0b\r\n", "\x85"):
        yield f"line end {eol!r}", latin(request(eol=eol) + NEXT)
        yield f"head end {eol!r}", latin(request(end=eol) + NEXT)
        yield f"before {eol!r}", latin(eol + request() + NEXT)
    yield "no host", latin(request(fields=[]) + NEXT)
    yield "body of a GET", latin(request(fields=[host, ("Content-Length", "5")], body="hello") + NEXT)
    yield "a request in a body", latin(request(fields=[host, ("Content-Length", str(len(NEXT)))], body=NEXT) + NEXT)
    yield "two spaces", latin(request(method="GET ") + NEXT)
    yield "a tab", latin(request().replace(" /a ", "\t/a\t") + NEXT)


def mutated(dice):
    """One request with a few things wrong in it."""
    fields = [["Host", "h"]]
    kind = dice.randrange(3)
    method, target, version, body = "GET", "/a", "HTTP/1.1", ""
    if kind == 1:
        method, body = "POST", "hello"
        fields.append(["Content-Length", "5"])
    elif kind == 2:
        method, body = "POST", "5\r\nhello\r\n0\r\n\r\n"
        fields.append(["Transfer-Encoding", "chunked"])
    for _ in range(dice.randint(1, 3)):
        what = dice.randrange(12)
        if what == 0:
            target = dice.choice(PATHS)
        elif what == 1:
            target = "/" + "".join(dice.choice(["/", ".", "..", "%2e", "%2f", "%5c", "\\", ";", "a", "%61", "?", "%", "%c0%af", "%00", "="])
                                   for _ in range(dice.randint(1, 8)))
        elif what == 2:
            method = dice.choice(METHODS)
        elif what == 3:
            version = dice.choice(VERSIONS)
        elif what == 4:
            fields.insert(dice.randint(0, len(fields)), list(dice.choice(FIELDS)))
        elif what == 5:
            fields.insert(dice.randint(0, len(fields)), ["Content-Length", dice.choice(LENGTHS)])
        elif what == 6:
            fields.insert(dice.randint(0, len(fields)), ["Transfer-Encoding", dice.choice(CODINGS)])
        elif what == 7:
            body = dice.choice(CHUNKS)
        elif what == 8:
            fields[dice.randrange(len(fields))][1] = dice.choice(HOSTS)
        elif what == 9:
            one = dice.choice(fields)
            one[0] = dice.choice([one[0].lower(), one[0].upper(), one[0].replace("-", "_"), one[0] + " ", one[0] + "\x00", " " + one[0]])
        elif what == 10:
            one = dice.choice(fields)
            one[1] = dice.choice([" " + one[1], one[1] + " ", "\t" + one[1], one[1] + "\r", one[1] + "\x00", one[1] + "\r\n " + one[1],
                                  one[1] + ", " + one[1], "\x0c" + one[1], one[1] + "\xa0"])
        else:
            fields.append(list(dice.choice(fields)))
    text = request(method, target, version, fields, body)
    if dice.random() < 0.35:
        at = dice.randrange(len(text))
        junk = dice.choice(["\r", "\n", "\r\n", "\x00", " ", "\t", "\x0b", ":", "\x7f", "\x80", ";", ","])
        text = text[:at] + junk + text[at + dice.randint(0, 1):]
    return latin(text + NEXT)


def generated(seed, count):
    for number in range(count):
        dice = random.Random(f"{seed}-{number}")
        if number % 4 == 3:
            yield f"seed {seed} h2 {number}", frames.mutated(dice, PATHS, HOSTS, METHODS, FIELDS, LENGTHS)
        else:
            yield f"seed {seed} h1 {number}", mutated(dice)


def everything(seed, count):
    return [*table(), *frames.table(PATHS, HOSTS, METHODS, FIELDS, LENGTHS), *generated(seed, count)]
