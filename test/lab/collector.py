#!/usr/bin/env python3
"""A collector of spans for labs: OTLP by HTTP on 4318 (the bookstore's own) and by gRPC on 4317. A line of JSON a span."""
import json
import pathlib
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "bookstore"))
import traces  # noqa: E402
from authorizer_server import Grpc, Server  # noqa: E402
from hbone import frame, literal  # noqa: E402


class Spans(Grpc):
    def answer(self, stream, body):
        while body:
            size = struct.unpack(">BI", body[:5])[1]
            for span in traces.spans(body[5:5 + size]):
                print(json.dumps({**span, "by": "grpc"}), flush=True)
            body = body[5 + size:]
        head = bytes([0x88]) + literal("content-type", "application/grpc")
        self.request.sendall(frame(1, 4, stream, head) + frame(0, 0, stream, bytes(5)) + frame(1, 5, stream, literal("grpc-status", "0")))
        return True


if __name__ == "__main__":
    threading.Thread(target=Server(("", 4317), Spans).serve_forever, daemon=True).start()
    traces.Server(("", 4318), traces.Handler).serve_forever()
