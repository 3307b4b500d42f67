"""A proxy in front of the API server that does what API servers, their caches and networks do on bad days."""
import http.client
import http.server
import re
import socket
import ssl
import threading
import time


class Faults:
    """HTTPS on loopback, with the API server's own certificate. `with Faults(cluster) as faults:` then
    faults.url; what goes wrong is set by the methods below, and is over when heal() is called."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.lock = threading.Lock()
        self.connections = set()
        self.heal()
        self.remembered = {}  # by path, the last whole list
        self.seen = []        # "METHOD PATH?QUERY" of all requests
        self.refused = []     # of those that were refused: the time, and the same
        self.turned_away = []  # when connections were, while it was gone
        self.tokens = set()   # that were shown
        handler = type("Handler", (Handler,), {"faults": self})
        self.server = Server(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.folder / "server.crt", cluster.folder / "server.key")
        self.server.context = context
        self.server.faults = self
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        self.upstream = ssl.create_default_context(cafile=cluster.folder / "ca.crt")

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.heal()
        self.server.shutdown()
        self.server.server_close()

    def heal(self):
        self.refusals, self.cuts, self.is_stale, self.delay, self.is_gone = [], [], None, 0.0, False

    def refuse(self, pattern, status, times=-1, message="injected", **headers):
        """Answers requests whose "METHOD PATH?QUERY" matches with that status; -1: until heal()."""
        with self.lock:
            self.refusals.append([re.compile(pattern), status, times, message, headers])

    def cut_watches(self, pattern, after):
        """Breaks the connection of watches that match after so many bytes of events."""
        self.cuts.append((re.compile(pattern), after))

    def go(self):
        """Every connection breaks, and none is taken, until heal()."""
        self.is_gone = True
        for one in list(self.connections):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def answer_from_an_old_cache(self, pattern):
        """Lists that match are answered as they were when they last passed."""
        self.is_stale = re.compile(pattern)

    def slow_down(self, seconds):
        """Before each answer."""
        self.delay = seconds

    def refusal_for(self, line):
        with self.lock:
            for rule in self.refusals:
                if rule[2] != 0 and rule[0].search(line):
                    rule[2] -= 1
                    return rule[1], rule[3], rule[4]
        return None


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context = None
    faults = None

    def finish_request(self, request, client_address):
        # In the connection's own thread: a slow handshake holds up nobody else.
        if self.faults.is_gone:
            self.faults.turned_away.append(time.monotonic())
            return
        request.settimeout(30)
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            wrapped.settimeout(None)  # a connection may be idle for long
            self.faults.connections.add(wrapped)
            try:
                self.RequestHandlerClass(wrapped, client_address, self)
            finally:
                self.faults.connections.discard(wrapped)

    def handle_error(self, request, client_address):
        pass  # whoever is cut off complains


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults = None

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def forward(self):
        faults, line = self.faults, f"{self.command} {self.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faults.seen.append(line)
        faults.tokens.add((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if faults.delay:
            threading.Event().wait(faults.delay)
        refusal = faults.refusal_for(line)
        if refusal:
            faults.refused.append((time.monotonic(), line))
            return self.refuse(*refusal)
        path = self.path.split("?")[0]
        if faults.is_stale and faults.is_stale.search(line) and path in faults.remembered:
            return self.answer(200, faults.remembered[path])
        connection = http.client.HTTPSConnection("127.0.0.1", faults.cluster.port, context=faults.upstream, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")}
        try:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            if "watch=" in self.path and answer.status == 200:
                return self.stream(answer, line)
            text = answer.read()
        except OSError:
            return self.break_off()
        finally:
            connection.close()
        if self.command == "GET" and answer.status == 200 and "continue=" not in self.path:
            faults.remembered.setdefault(path, text)
        return self.answer(answer.status, text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = forward

    def answer(self, status, text, **headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text)

    def refuse(self, status, message, headers):
        reason = {410: "Expired", 429: "TooManyRequests", 500: "InternalError", 504: "Timeout"}.get(status, "Failing")
        self.answer(status, (f'{{"kind":"Status","status":"Failure","code":{status},"reason":"{reason}",'
                             f'"message":"{message}"}}').encode(), **headers)

    def stream(self, answer, line):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        while piece := answer.read1(16384):
            limit = min((after for pattern, after in self.faults.cuts if pattern.search(line)), default=None)
            if limit is not None and sent + len(piece) > limit:
                piece = piece[:max(0, limit - sent)]
                self.chunk(piece)
                return self.break_off()
            self.chunk(piece)
            sent += len(piece)
        self.wfile.write(b"0\r\n\r\n")
        return None

    def chunk(self, piece):
        if piece:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()

    def break_off(self):
        self.close_connection = True
        self.connection.close()
