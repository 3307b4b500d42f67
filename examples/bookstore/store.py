"""One of the bookstore's servers: store.py ROLE VERSION. Answers HTTP/1.1 on 8080 with a line of text."""
import http.server
import socketserver
import sys
import time

ROLE, VERSION = sys.argv[1:3]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        status, text = 200, f"{ROLE} {VERSION} {self.path}"
        if ROLE == "stock" and VERSION == "broken":
            status, text = 503, "the shelves have collapsed"
        elif ROLE == "reviews":
            time.sleep(0.5)  # somebody writes them by hand
        elif ROLE == "orders":
            text += f" of {self.headers.get('x-customer', 'nobody')}"
        body = (text + "\n").encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 8080), Handler).serve_forever()
