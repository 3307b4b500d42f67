"""Policies of action CUSTOM: an authorizer asked by the waypoint, over gRPC and over HTTP. The same cases for ours
and, as authorizer_envoy_test.py, for stock Envoy."""
import json
import pathlib
import sys
import tempfile

import envoy_test as stock
import waypoint_test as ours
from envoy_test import apply, pod, service
from harness import expect, main, until

HERE = pathlib.Path(__file__).resolve().parent
AUTHZ = "authz.shop.svc.cluster.local"
MESH = {"extensionProviders": [
    {"name": "ask-grpc", "envoyExtAuthzGrpc": {
        "service": AUTHZ, "port": 9000, "timeout": "2s",
        "includeRequestBodyInCheck": {"maxRequestBytes": 100}}},
    {"name": "ask", "envoyExtAuthzHttp": {
        "service": AUTHZ, "port": 8000, "timeout": "2s", "pathPrefix": "/check", "statusOnError": "503",
        "includeRequestHeadersInCheck": ["x-ask"], "headersToUpstreamOnAllow": ["x-user", "x-asked-path"],
        "headersToDownstreamOnAllow": ["x-checked"], "headersToDownstreamOnDeny": ["x-why"]}},
    {"name": "ask-open", "envoyExtAuthzGrpc": {"service": AUTHZ, "port": 9000, "timeout": "2s", "failOpen": True}}]}

SERVER = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        size = int(self.headers.get("content-length") or 0)
        got = self.rfile.read(size)
        said = {name.lower(): value for name, value in self.headers.items()}
        names = ("x-user", "x-ask-secret", "x-source", "x-asked-path", "x-body")
        body = " ".join(["arrived", str(len(got))] + [f"{name}={said.get(name, '-')}" for name in names]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass
socketserver.ThreadingTCPServer(("", 8080), Handler).serve_forever()
"""


def custom(name, target, provider, rules):
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": target}], "action": "CUSTOM",
                     "provider": {"name": provider}, "rules": rules}}


def world(waypoint):
    shop = {"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": "ambient"}}}
    objects = [shop, *waypoint, pod("client", "node-1", ["sleep", "infinity"], {"app": "client"}),
               pod("web", "node-2", [sys.executable, "-uc", SERVER], {"app": "web"}, ready={"tcpSocket": {"port": 8080}}),
               pod("authz", "node-2", [sys.executable, "-u", str(HERE / "authorizer_server.py")], {"app": "authz"},
                   ready={"tcpSocket": {"port": 8000}})]
    authz = service("authz", {"app": "authz"}, 8000, 8000)
    authz["spec"]["ports"].append({"name": "grpc", "port": 9000, "targetPort": 9000})
    objects.append(authz)
    for name in ("grpc", "http", "open", "unknown", "both"):
        one = service(name, {"app": "web"})
        one["metadata"]["labels"] = {"istio.io/use-waypoint": "waypoint"}
        objects.append(one)
    secure = [{"to": [{"operation": {"paths": ["/secure*"]}}]}]
    objects += [custom("grpc", "grpc", "ask-grpc", secure), custom("http", "http", "ask", [{}]),
                custom("open", "open", "ask-open", [{}]), custom("unknown", "unknown", "gone", [{}]),
                custom("both-a", "both", "ask-grpc", secure),
                custom("both-b", "both", "ask", [{"to": [{"operation": {"paths": ["/also*"]}}]}])]
    accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "shop"}}
                for name in ("client", "web", "waypoint", "authz")]
    return [*objects, *accounts]


def get(lab, host, path, ask=None, *options):
    told = ["-H", f"x-ask: {ask}"] if ask else []
    done = lab.curl("client", f"http://{host}{path}", "-w", " %{http_code}", *told, *options)
    return done.stdout.strip() or done.stderr.strip()


def same(lab, host, path, ask, wanted, *options):
    got = get(lab, host, path, ask, *options)
    expect(got == wanted, f"{host}{path} {ask}: wanted {wanted!r}, got {got!r}")


# Whom the authorizer is told the caller is. Stock Envoy's inner connection has no certificate to tell it by.
CALLER = "spiffe://cluster.local/ns/shop/sa/client"
NOBODY = "arrived 0 x-user=- x-ask-secret=- x-source=- x-asked-path=- x-body=- 200"


def test_asked_only_where_the_policy_says(lab):
    until(lambda: get(lab, "grpc", "/") == NOBODY, lambda: get(lab, "grpc", "/"), 30)
    same(lab, "grpc", "/secure/a", None, "403")


def test_over_grpc(lab):
    same(lab, "grpc", "/secure/a", "yes",
         f"arrived 0 x-user=ann-by-grpc x-ask-secret=- x-source={CALLER} "
         "x-asked-path=- x-body=0 200", "-H", "x-ask-secret: s")
    same(lab, "grpc", "/secure/a", "denied", "who are you? 401")
    said = lab.curl("client", "http://grpc/secure/a", "-H", "x-ask: yes", "-D", "-").stdout.lower()
    expect("x-checked: grpc" in said, f"the authorizer's header on the response: {said}")
    said = lab.curl("client", "http://grpc/secure/a", "-H", "x-ask: denied", "-D", "-").stdout.lower()
    expect("x-why: unknown" in said, f"the authorizer's header on the refusal: {said}")


def test_bodies_are_shown_within_their_limit(lab):
    same(lab, "grpc", "/secure/a", "yes",
         f"arrived 100 x-user=ann-by-grpc x-ask-secret=- x-source={CALLER} "
         "x-asked-path=- x-body=100 200", "--data", "b" * 100)
    expect(get(lab, "grpc", "/secure/a", "yes", "--data", "b" * 101).endswith("413"), "a body beyond the limit")


def test_bad_answers_refuse(lab):
    for ask in ("garbage", "reset", "slow"):
        same(lab, "grpc", "/secure/a", ask, "403")
        same(lab, "http", "/a", ask, "503")


def test_failing_open(lab):
    for ask in ("garbage", "reset", "slow"):
        expect(get(lab, "open", "/a", ask).startswith("arrived"), f"failing open: {ask}")
    same(lab, "open", "/a", "no", "403")  # an answer is no failure


def test_over_http(lab):
    until(lambda: get(lab, "http", "/a?b=1", "yes").endswith("200"), lambda: get(lab, "http", "/a?b=1", "yes"))
    same(lab, "http", "/a?b=1", "yes",
         "arrived 0 x-user=ann-by-http x-ask-secret=- x-source=- x-asked-path=/check/a?b=1 x-body=- 200",
         "-H", "x-ask-secret: s")
    same(lab, "http", "/a", "denied", "who are you? 401")
    same(lab, "http", "/a", None, "who are you? 403")
    said = lab.curl("client", "http://http/a", "-H", "x-ask: denied", "-D", "-").stdout.lower()
    expect("x-why: unknown" in said and "x-checked" not in said, f"headers of a refusal: {said}")


def test_two_authorizers_of_one_service(lab):
    same(lab, "both", "/", None, NOBODY)
    same(lab, "both", "/secure/a", "denied", "who are you? 401")
    expect("ann-by-grpc" in get(lab, "both", "/secure/a", "yes"), "the one over gRPC")
    expect("ann-by-http" in get(lab, "both", "/also/a", "yes"), "the one over HTTP")


def test_an_unknown_provider_denies_and_says_so(lab):
    same(lab, "unknown", "/", "yes", "RBAC: access denied 403")


def test_an_authorizer_that_is_gone_refuses(lab):
    lab.delete("Pod", "shop/authz")
    until(lambda: get(lab, "http", "/a", "yes").endswith("503"), lambda: get(lab, "http", "/a", "yes"))
    same(lab, "grpc", "/secure/a", "yes", "403")
    same(lab, "grpc", "/", None, NOBODY)
    expect(get(lab, "open", "/a", "no").startswith("arrived"), "failing open")


def play(waypoint, name):
    with tempfile.TemporaryDirectory(prefix="weft-authorizer-") as source:
        folder = pathlib.Path(source)
        (folder / "mesh").mkdir()
        (folder / "mesh" / "mesh.yaml").write_text(json.dumps(MESH))
        shown = folder / "manifests"
        shown.mkdir()
        (shown / "world.yaml").write_text("\n---\n".join(json.dumps(one) for one in world(waypoint)))
        tests = sys.modules[__name__].__dict__
        main(tests, name, shown, "--control-flag", f"--mesh-config={folder}/mesh/mesh.yaml")


if __name__ == "__main__":
    play(ours.waypoint(), "authorizer")
