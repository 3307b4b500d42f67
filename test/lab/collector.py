#!/usr/bin/env python3
"""A collector of spans for labs: OTLP by HTTP on 4318 (the bookstore's own) and by gRPC on 4317. A line of JSON a span."""
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "bookstore"))
import traces  # noqa: E402
from grpc_server import Grpc, Server  # noqa: E402


class Spans(Grpc):
    def answer(self, message):
        for span in traces.spans(message):
            print(json.dumps({**span, "by": "grpc"}), flush=True)
        return b""


if __name__ == "__main__":
    threading.Thread(target=Server(("", 4317), Spans).serve_forever, daemon=True).start()
    traces.Server(("", 4318), traces.Handler).serve_forever()
