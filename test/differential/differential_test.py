"""Nothing reaches a backend that is read two ways. Thousands of hostile requests go through our front (the exchanges
of a waypoint) and through stock Envoy; what came out on the other side is recorded raw, and given to nginx, HAProxy,
Apache and Envoy, each with a second request behind it: all of them must see the same two requests, and our policy must
have been shown the same.

usage: differential_test.py FRONT [--count N] [--seed N] [--case TEXT]
"""
import argparse
import asyncio
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

import cases
import frames
import readers
import strict

LANES = 96
QUIET = 0.06
SENTINEL = b"GET /sentinel HTTP/1.1\r\nhost: sentinel\r\nconnection: close\r\n\r\n"
# Names that some frameworks read as if '_' were '-'.
OURS = {"content-length", "transfer-encoding", "host", "x-forwarded-client-cert", "connection", "expect", "te", "upgrade"}


class Backend:
    """Records what arrives, one request a connection."""

    def __init__(self):
        self.heard = []  # (raw, request or None, fault or None)
        self.busy = 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        raw, request, fault = b"", None, None
        self.busy += 1
        try:
            while request is None:
                part = await reader.read(65536)
                if not part:
                    break
                raw += part
                request = strict.read(raw)
            if request is not None:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                writer.write_eof()
                raw += await asyncio.wait_for(reader.read(65536), 2)
        except strict.Fault as why:
            fault = str(why)
        except (OSError, asyncio.TimeoutError):
            pass
        self.busy -= 1
        writer.close()
        if request is not None and len(raw) != request.size:
            fault = f"{len(raw) - request.size} bytes behind the request"
        if raw:
            self.heard.append((raw, request, fault))


class Echo:
    """The backend of the readers: says in a header what it was asked."""

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        raw = b""
        try:
            while part := await reader.read(65536):
                raw += part
                while request := strict.read(raw):
                    raw = raw[request.size:]
                    view = {"method": request.method, "target": request.target, "host": request.host.lower(),
                            "body": request.body.decode("latin-1"), "path": request.one("x-reader-path"),
                            "close": "connection" in dict(request.fields)}
                    said = base64.b64encode(json.dumps(view).encode())
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-view: " + said + b"\r\n\r\n")
        except (strict.Fault, OSError):
            pass
        writer.close()


async def talk(port, said, backend=None, quiet=QUIET, limit=3.0):
    """Everything that comes back, until the end or until nobody says anything any more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    heard = b""
    end = asyncio.get_running_loop().time() + limit
    try:
        writer.write(said)
        while asyncio.get_running_loop().time() < end:
            try:
                part = await asyncio.wait_for(reader.read(65536), quiet if backend else limit)
            except asyncio.TimeoutError:
                break
            if not part:
                break
            heard += part
            if said.startswith(frames.PREFACE) and set(frames.statuses(heard)) & {"reset", "goaway", "headers"}:
                break
    except OSError:
        pass
    writer.close()
    if backend:
        for _ in range(200):
            if not backend.busy:
                break
            await asyncio.sleep(0.005)
    return heard


class Lane:
    def __init__(self, port, backend, decoding):
        self.port, self.backend, self.decoding = port, backend, decoding

    async def run(self, said, quiet=QUIET):
        self.backend.heard.clear()
        answer = await talk(self.port, said, self.backend, quiet)
        return answer, list(self.backend.heard)


async def in_lanes(lanes, work):
    """Every case of `work` through one of the lanes: results in order."""
    results, left = [None] * len(work), list(enumerate(work))

    async def one(lane):
        while left:
            number, (_, said) = left.pop()
            results[number] = await lane.run(said)

    await asyncio.gather(*(one(lane) for lane in lanes))
    return results


def shown(request):
    return request.one("x-weft-read")


def of_front(request, fault, decoding):
    """What is wrong with what our front forwarded, by itself."""
    if fault or request is None:
        return fault
    path = request.target.split("?")[0].lower()
    if decoding and any(one in path for one in ("//", "%2f", "%5c")):
        return f"{path} has slashes that were to be merged or decoded"
    if shown(request) != f"{request.method} {request.target} {request.one('host')}":
        return f"policy was shown {shown(request)!r}"
    for name, _ in [*request.fields, *request.trailers]:
        if "_" in name and name.replace("_", "-") in OURS:
            return f"{name} reaches the backend"
    for name, _ in request.trailers:
        if name in OURS | {"authorization", "cookie", "content-type", "trailer"}:
            return f"{name} among the trailers"
    return None


def views(answer):
    """What a reader understood: of each request that it forwarded, in order."""
    return [json.loads(base64.b64decode(one)) for one in re.findall(rb"(?i)\nx-view: ([A-Za-z0-9+/=]+)\r", answer)]


def decoded(text):
    return urllib.parse.unquote(text, encoding="latin-1")


def merged(path):
    return re.sub("/+", "/", path)


def disagreement(name, request, answer):
    seen = views(answer)
    if not seen or (len(seen) == 1 and seen[0]["target"].endswith("/sentinel")):
        return None  # refused: that is no second reading
    first = seen[0]
    mine = as_compared(request.view())
    theirs = as_compared((first["method"], first["target"], first["host"], first["body"].encode("latin-1")))
    if mine != theirs:
        return f"{name} reads {theirs} where we say {mine}"
    path = first["path"]
    if name == "apache" and path is not None:
        path = decoded(path)  # it was escaped, to fit into a header
    if path not in (None, "control") and merged(path) != merged(decoded(request.target.split("?")[0])):
        return f"{name} takes the path for {path!r}: {request.target!r}"
    if len(seen) != 2 or not seen[1]["target"].endswith("/sentinel"):
        return f"{name} reads {len(seen)} requests: {[one['target'] for one in seen]}"
    return None


async def read_by_all(requests, processes):
    """Each recorded request, with another one behind it, in every reader."""
    problems, counts = [], {name: [0, 0] for name in processes}
    left = [(raw, request, name) for raw, request in requests for name in processes]

    async def one():
        while left:
            raw, request, name = left.pop()
            if request.target == "*" and name in ("nginx", "apache", "envoy"):
                continue  # they know no such target, or only of the server itself
            said = raw + SENTINEL
            answer = await talk(processes[name].ports[0], said)
            problem = disagreement(name, request, answer)
            counts[name][0 if views(answer) else 1] += 1
            if problem:
                problems.append(f"{problem}\n    of {raw[:300]!r}")

    await asyncio.gather(*(one() for _ in range(LANES)))
    return problems, counts


def forwarded(heard):
    return [request.view() for _, request, _ in heard if request is not None]


def compare(work, ours, theirs):
    """Where both forward, both forward the same; what only one refuses is counted."""
    problems, stricter, laxer = [], 0, []
    for (name, said), (_, mine), (_, other) in zip(work, ours, theirs, strict=True):
        a, b = ([as_compared(one) for one in forwarded(heard)] for heard in (mine, other))
        stricter += len(a) < len(b)
        if len(a) > len(b):
            laxer.append(name)
        short, long = sorted((a, b), key=len)
        if not is_part(short, long):
            problems.append(f"{name}: we forward {a}, Envoy {b}\n    of {said[:300]!r}")
    return problems, stricter, laxer


def as_compared(view):
    """Envoy takes the scheme's own port away; who merges slashes may respell an escape."""
    method, target, host, body = view
    path, mark, query = target.partition("?")
    path = re.sub("%[0-9a-f]{2}", lambda found: found[0].upper(), merged(path), flags=re.I)
    return method, path + mark + query, host.removesuffix(":80"), body


def is_part(short, long):
    """Every one of `short` is in `long`, in this order."""
    left = iter(long)
    return all(one in left for one in short)


def find_envoy():
    """None without `make kubernetes`."""
    if "WEFT_ENVOY" in os.environ:
        return os.environ["WEFT_ENVOY"]
    tool = pathlib.Path(__file__).resolve().parents[2] / "tools" / "fetch-kubernetes"
    done = subprocess.run([tool, "--where"], capture_output=True, text=True, check=False)
    return done.stdout.strip() + "/bin/envoy" if done.returncode == 0 else None


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("front")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", help="only cases whose name holds this; says what became of each")
    options = parser.parse_args()
    envoy = find_envoy()
    with tempfile.TemporaryDirectory(prefix="weft-differential-") as folder:
        os.chmod(folder, 0o755)
        echo = Echo()
        processes = readers.start(folder, await echo.start(), envoy)
        others = list(processes.values())
        try:
            lanes = await start_front(options.front, others)
            peers = await start_peers(folder, envoy, others) if envoy else None
            return await judge(options, lanes, peers, processes)
        finally:
            for one in others:
                one.stop()


class Front:
    def __init__(self, program, ports):
        self.process = subprocess.Popen([program, *map(str, ports)], stdout=subprocess.PIPE, text=True)
        self.ports = [int(one) for one in self.process.stdout.readline().split()]

    def stop(self):
        self.process.kill()
        self.process.wait()


async def start_front(program, others):
    backends = [Backend() for _ in range(LANES)]
    front = Front(program, [await one.start() for one in backends])
    others.append(front)
    if not front.ports:
        sys.exit(77)
    return [Lane(port, backend, number % 2 == 1) for number, (port, backend) in enumerate(zip(front.ports, backends, strict=True))]


async def start_peers(folder, envoy, others):
    backends = [Backend() for _ in range(LANES)]
    lanes = [(readers.free_port(), await one.start(), number % 2 == 1) for number, one in enumerate(backends)]
    others.append(readers.start_envoy(folder, "envoy", envoy, lanes))
    return [Lane(port, backend, decoding) for (port, _, decoding), backend in zip(lanes, backends, strict=True)]


async def judge(options, lanes, peers, processes):
    work = cases.everything(options.seed, options.count)
    if options.case:
        work = [one for one in work if options.case in one[0]]
    problems, recorded = [], {}
    for decoding in (False, True):
        mine = [lane for lane in lanes if lane.decoding == decoding]
        of_envoy = [lane for lane in peers or () if lane.decoding == decoding]
        ours, theirs = await asyncio.gather(in_lanes(mine, work), in_lanes(of_envoy, work))
        for (name, said), (answer, heard) in zip(work, ours, strict=True):
            for raw, request, fault in heard:
                problem = of_front(request, fault, decoding)
                if problem:
                    problems.append(f"{name}: {problem}\n    of {said[:300]!r}\n    as {raw[:300]!r}")
                elif request is not None:
                    recorded.setdefault(re.sub(rb"x-request-id: [^\r]*", b"", raw), (raw, request))
            if options.case:
                print(name, "->", answer[:40], [raw for raw, _, _ in heard])
        if peers:
            problems += await beside_envoy(options, decoding, work, (ours, mine), (theirs, of_envoy))
    more, counts = await read_by_all(list(recorded.values()), processes)
    problems += more
    for problem in problems[:200]:
        print("PROBLEM", problem)
    read = ", ".join(f"{name} read {a} and refused {b}" for name, (a, b) in counts.items())
    print(f"{len(work)} cases, {len(recorded)} different requests forwarded; {read}; {len(problems)} problems")
    if not options.case and len(recorded) < len(work) // 20:
        print("PROBLEM hardly anything was forwarded: this shows nothing")
        return 1
    return 1 if problems else 0


async def beside_envoy(options, decoding, work, of_ours, of_theirs):
    (ours, mine), (theirs, peers) = of_ours, of_theirs
    problems, stricter, laxer = compare(work, ours, theirs)
    if problems:  # once more, with patience
        names = {one.split(": ")[0] for one in problems}
        for at, case in enumerate(work):
            if case[0] in names:
                ours[at], theirs[at] = await mine[0].run(case[1], 1.0), await peers[0].run(case[1], 1.0)
        problems, stricter, laxer = compare(work, ours, theirs)
    print(f"beside Envoy{', slashes decoded' if decoding else ''}: we refuse {stricter} that it forwards, it refuses {len(laxer)} that we forward")
    if options.case or os.environ.get("WEFT_VERBOSE"):
        print("\n".join(f"  only we forward {one}" for one in laxer))
    return problems


async def run():
    status = await main()
    sys.stdout.flush()
    os._exit(status)  # what still waits for a byte need not be told


if __name__ == "__main__":
    asyncio.run(run())
