"""Waypoints of tests, ours or stock Envoy, and servers that say what they saw."""
import json
import os
import pathlib
import subprocess
import sys

from harness import ROOT, WEFT

BUILD = pathlib.Path(WEFT).resolve().parent.parent
SECURITY = "security.istio.io/v1"
TOOLS = pathlib.Path(os.environ.get("WEFT_ENVOY") or subprocess.run(
    [ROOT / "tools" / "fetch-kubernetes", "--where"], capture_output=True, text=True, check=False).stdout.strip() or "/", "bin")
ENVOY = TOOLS / "envoy"
GRPC_SERVER = BUILD / "test" / "grpc" / "grpc-echo-server"
GRPC_CLIENT = BUILD / "test" / "grpc" / "grpc-echo-client"

# Says what it was asked, as JSON. A path's words ask for something else: /status-503, /at-503-a+b (of the servers a and b),
# /delay-2 (seconds), /fail-3-NAME (503 for the first three of that name), /close, /header-NAME-VALUE (of the response), /size-1000,
# /health (200, until /become-503 says otherwise).
ECHO = """
import http.server, json, socketserver, sys, threading, time
NAME, PORT, seen, lock, state = sys.argv[1], int(sys.argv[2]), {}, threading.Lock(), [200]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        status, size, extra = 200, 0, []
        length = int(self.headers.get("content-length") or 0)
        received = len(self.rfile.read(length)) if length else 0
        for word in self.path.split("?")[0].split("/"):
            kind, *rest = word.split("-")
            if kind == "status" and rest: status = int(rest[0])
            if kind == "at" and len(rest) > 1 and NAME in rest[1].split("+"): status = int(rest[0])
            if kind == "health": status = state[0]
            if kind == "become" and rest: state[0] = int(rest[0])
            if kind == "delay" and rest: time.sleep(float(rest[0]))
            if kind == "size" and rest: size = int(rest[0])
            if kind == "header" and len(rest) > 1: extra.append((rest[0].replace("_", "-"), rest[1]))
            if kind == "close":
                self.close_connection = True
                return
            if kind == "fail" and len(rest) > 1:
                with lock:
                    seen[word] = seen.get(word, 0) + 1
                    if seen[word] <= int(rest[0]): status = 503
        headers = {}
        for name, value in self.headers.items():
            name = name.lower()
            headers[name] = headers[name] + "," + value if name in headers else value
        body = json.dumps({"server": NAME, "method": self.command, "path": self.path, "headers": headers,
                           "received": received}).encode() + b"\\n"
        if size: body = b"x" * size
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-type", "application/json")
        for name, value in extra: self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_GET
    def log_message(self, *words): print(time.time(), *words, flush=True)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 256
Server(("", PORT), Handler).serve_forever()
"""


def named(api, kind, ns, name, labels=None, **rest):
    metadata = {"name": name, **({"namespace": ns} if ns else {}), **({"labels": labels} if labels else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def namespace(name, **labels):
    return named("v1", "Namespace", "", name, {"istio.io/dataplane-mode": "ambient", **labels})


def pod(ns, name, command, labels, account="default", ready=None, node=None):
    container = {"name": "main", "image": "any", "command": [str(word) for word in command]}
    if ready:
        container["readinessProbe"] = {"periodSeconds": 1, **ready}
    spec = {"serviceAccountName": account, "terminationGracePeriodSeconds": 1, "containers": [container]}
    if node:
        spec["nodeName"] = node
    return named("v1", "Pod", ns, name, labels, spec=spec)


def echo(ns, name, labels, **options):
    """A pod NAME-0: its own name is its address, as everywhere, and a service may be called NAME."""
    return pod(ns, f"{name}-0", [sys.executable, "-uc", ECHO, name, "8080"], labels, ready={"tcpSocket": {"port": 8080}}, **options)


def grpc_echo(ns, name, labels, **options):
    return pod(ns, f"{name}-0", [GRPC_SERVER, name, "7070"], labels, ready={"tcpSocket": {"port": 7070}}, **options)


def service(ns, name, selector, *ports, labels=None):
    """Ports: (name, port, target)."""
    made = [{"name": named_, "port": port, "targetPort": target} for named_, port, target in ports]
    return named("v1", "Service", ns, name, labels, spec={"selector": selector, "ports": made})


def gateway(ns, name="waypoint"):
    return named("gateway.networking.k8s.io/v1", "Gateway", ns, name, spec={
        "gatewayClassName": "weft-waypoint", "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}]})


def waypoint(ns, name="waypoint", stock=False, node=None, flags=()):
    """A waypoint's Gateway; the lab makes a weft-waypoint of it. `stock`: an Envoy instead. `node`: where it must run;
    `flags`: of a weft-waypoint."""
    if not stock and not node and not flags:
        return [gateway(ns, name)]
    labels = {"gateway.networking.k8s.io/gateway-name": name, "istio.io/dataplane-mode": "none"}
    command = ["sh", "-c", f"umask 077; d=$(mktemp -d); exec {BUILD}/sds/weft-sds --folder $d/secrets --bootstrap "
               f"$d/envoy.json -- {ENVOY} -c $d/envoy.json --base-id $$ --concurrency 1 -l warning"]
    its = service(ns, name, {"gateway.networking.k8s.io/gateway-name": name}, ("mesh", 15008, 15008), labels=labels)
    its["spec"]["ports"][0]["appProtocol"] = "hbone"
    return [gateway(ns, name), its, named("v1", "ServiceAccount", ns, name),
            pod(ns, f"{name}-0", command if stock else [BUILD / "waypoint" / "weft-waypoint", *flags], labels, name,
                {"httpGet": {"port": 15021, "path": "/healthz/ready"}}, node)]


def text(objects):
    return "\n---\n".join(json.dumps(one) for one in objects)


def route(ns, name, parent, rules, kind="HTTPRoute", **where):
    """`where`: port, namespace of the parent."""
    return named("gateway.networking.k8s.io/v1", kind, ns, name, spec={
        "parentRefs": [{"group": "", "kind": "Service", "name": parent, **where}], "rules": rules})
