"""Stock Envoy as a waypoint that our control plane configures: routes, weights and policy, from a client pod
through ztunnel, the waypoint and ztunnel again. Skipped where there is no Envoy (`make kubernetes`)."""
import base64
import collections
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from harness import ROOT, WEFT, expect, main, until

ENVOY = pathlib.Path(os.environ.get("WEFT_ENVOY") or subprocess.run(
    [ROOT / "tools" / "fetch-kubernetes", "--where"], capture_output=True, text=True, check=False).stdout.strip() or "/",
    "bin", "envoy")
SDS = pathlib.Path(WEFT).parent.parent / "sds" / "weft-sds"

SERVER = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    def do_GET(self):
        said = {name.lower(): value for name, value in self.headers.items()}
        body = " ".join([sys.argv[1], self.command, self.path, said.get("x-set", "-"), said.get("x-add", "-")]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_DELETE = do_GET
    def log_message(self, *args): pass
socketserver.ThreadingTCPServer(("", 8080), Handler).serve_forever()
"""


def pod(name, node, command, labels, account=None, ready=None):
    spec = {"nodeName": node, "serviceAccountName": account or name, "terminationGracePeriodSeconds": 4,
            "containers": [{"name": "main", "image": "any", "command": command}]}
    if ready:
        spec["containers"][0]["readinessProbe"] = ready
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": labels},
            "spec": spec}


def service(name, selector, port=80, target=8080, named="http"):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"selector": selector, "ports": [{"name": named, "port": port, "targetPort": target}]}}


def waypoint(flags=()):
    """Gateway, Service, and the pod: Envoy beside the program that keeps its identity."""
    labels = {"gateway.networking.k8s.io/gateway-name": "waypoint", "istio.io/dataplane-mode": "none"}
    command = ["sh", "-c", f"umask 077; d=$(mktemp -d); exec {SDS} --folder $d/secrets --bootstrap $d/envoy.json "
               f"{' '.join(flags)} -- {ENVOY} -c $d/envoy.json --base-id $$ --concurrency 1 -l warning"]
    ready = {"httpGet": {"port": 15021, "path": "/healthz/ready"}}
    gateway = service("waypoint", {"gateway.networking.k8s.io/gateway-name": "waypoint"}, 15008, 15008, "mesh")
    gateway["metadata"]["labels"] = dict(labels)
    gateway["spec"]["ports"][0]["appProtocol"] = "hbone"
    return [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
             "metadata": {"name": "waypoint", "namespace": "shop"},
             "spec": {"gatewayClassName": "weft-waypoint",
                      "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}]}},
            gateway, pod("waypoint-0", "node-1", command, labels, "waypoint", ready)]


def world():
    shop = {"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": "ambient"}}}
    server = [sys.executable, "-uc", SERVER]
    objects = [shop, *waypoint(), pod("client", "node-1", ["sleep", "infinity"], {"app": "client"}),
               pod("other", "node-1", ["sleep", "infinity"], {"app": "other"})]
    for version in ("v1", "v2"):
        objects += [pod(f"web-{version}", "node-2", [*server, version], {"app": "web", "version": version}, "web",
                        {"tcpSocket": {"port": 8080}}),
                    service(f"web-{version}", {"app": "web", "version": version})]
    web = service("web", {"app": "web"})
    web["metadata"]["labels"] = {"istio.io/use-waypoint": "waypoint"}
    for one in objects:
        if one["kind"] == "Service" and one["metadata"]["name"].startswith("web-"):
            one["metadata"]["labels"] = {"istio.io/use-waypoint": "waypoint"}
    accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "shop"}}
                for name in ("client", "other", "web", "waypoint")]
    for name, port, named in (("bytes", 7000, "tcp"), ("unnamed", 8000, "")):
        one = service(name, {"app": "web", "version": "v1"}, port, 8080, named)
        one["metadata"]["labels"] = {"istio.io/use-waypoint": "waypoint"}
        objects.append(one)
    return [*objects, web, *accounts]


ROUTE = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "shop"},
         "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}], "rules": []}}
MATCH_RULES = [
    {"matches": [{"headers": [{"name": "x-version", "value": "two"}]}], "backendRefs": [{"name": "web-v2", "port": 80}]},
    {"matches": [{"path": {"type": "PathPrefix", "value": "/split"}}],
     "backendRefs": [{"name": "web-v1", "port": 80, "weight": 3}, {"name": "web-v2", "port": 80, "weight": 1}]},
    {"matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
     "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}},
                 {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-set", "value": "100%"}]}}],
     "backendRefs": [{"name": "web-v1", "port": 80}]},
    {"matches": [{"path": {"type": "PathPrefix", "value": "/gone"}}], "backendRefs": [{"name": "gone", "port": 80}]},
    {"backendRefs": [{"name": "web-v1", "port": 80}]}]
POLICY = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
          "metadata": {"name": "web", "namespace": "shop"},
          "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "web"}], "action": "DENY",
                   "rules": [{"to": [{"operation": {"methods": ["DELETE"]}}]},
                             {"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/other"]}}],
                              "to": [{"operation": {"paths": ["/secret*"]}}]}]}}


def apply(lab, *objects, name="test.yaml"):
    lab.apply("\n---\n".join(json.dumps(one) for one in objects), name)


def get(lab, path="/", *options, who="client"):
    done = lab.curl(who, f"http://web{path}", "-w", " %{http_code}", *options)
    return done.stdout.strip() or done.stderr.strip()


def test_requests_go_through_the_waypoint(lab):
    until(lambda: get(lab).endswith(" 200"), lambda: f"an answer: {get(lab)}", 30)
    expect(lab.curl("client", "http://web/", "-D", "-").stdout.lower().count("server: istio-envoy") == 1, "Envoy answered")


def test_routes(lab):
    apply(lab, {**ROUTE, "spec": {**ROUTE["spec"], "rules": MATCH_RULES}}, name="route.yaml")
    # Without the route v1 and v2 take turns: only what is rewritten shows that it is in force.
    until(lambda: get(lab, "/old/x") == "v1 GET /new/x 100% - 200", lambda: get(lab, "/old/x"))
    for said, options, what in (("v2 GET / - - 200", ("/", "-H", "x-version: two"), "the header"),
                                ("v1 GET /any - - 200", ("/any",), "the catch-all")):
        answers = {get(lab, *options) for _ in range(4)}
        expect(answers == {said}, f"{what}: {answers}")
    gone = get(lab, "/gone")
    expect(gone.endswith("500"), f"a backend that is not there: {gone}")


def test_weights(lab):
    urls = [f"http://web/split/{number}\n" for number in range(200)]
    config = "".join(f'url = "{url.strip()}"\nwrite-out = "\\n"\n' for url in urls)
    done = lab.inside("client", "curl", "-sS", "-K", "-", input=config)
    seen = collections.Counter(line.split()[0] for line in done.stdout.splitlines() if line)
    expect(seen["v1"] + seen["v2"] == 200, f"all are answered: {seen} {done.stderr[:200]}")
    expect(120 <= seen["v1"] <= 180, f"three of four to v1: {seen}")


def test_policy(lab):
    apply(lab, POLICY, name="policy.yaml")
    until(lambda: get(lab, "/", "-X", "DELETE").endswith("403"), lambda: get(lab, "/", "-X", "DELETE"))
    expect(get(lab, "/secret/x").endswith("200"), f"client may: {get(lab, '/secret/x')}")
    denied = get(lab, "/secret/x", who="other")
    expect(denied == "RBAC: access denied 403", f"other may not: {denied}")
    expect(get(lab, "/", who="other").endswith("200"), "other may elsewhere")
    # the incumbent decides before it looks at the path's form
    expect(get(lab, "/secret/../secret/x", "--path-as-is", who="other").endswith("403"), "a detour is no way in")
    lab.delete("AuthorizationPolicy", "shop/web")
    until(lambda: get(lab, "/", "-X", "DELETE").endswith("200"), "the policy is gone")


def test_what_envoy_would_refuse_costs_its_own_route(lab):
    bad = [{"matches": [{"path": {"type": "RegularExpression", "value": "/(?=x)"}}], "backendRefs": [{"name": "web-v2", "port": 80}]},
           {"matches": [{"path": {"type": "PathPrefix", "value": "/broken"}}],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-set", "value": "a\nb: c"}]}}],
            "backendRefs": [{"name": "web-v2", "port": 80}]}]
    apply(lab, {**ROUTE, "spec": {**ROUTE["spec"], "rules": [*bad, *MATCH_RULES]}}, name="route.yaml")
    until(lambda: get(lab, "/broken").endswith("500"), lambda: get(lab, "/broken"))
    expect(get(lab, "/any").startswith("v1 ") and get(lab, "/x").startswith("v1 "), "the others serve")
    apply(lab, POLICY, name="policy.yaml")
    until(lambda: get(lab, "/", "-X", "DELETE").endswith("403"), "later policies are taken")
    lab.delete("AuthorizationPolicy", "shop/web")
    expect("refused resources" not in lab.log("control"), "Envoy refused nothing")
    expect("its requests are answered 500" in lab.log("control"), "the log says what is not honoured")


def test_virtual_services_and_subsets(lab):
    lab.delete("HTTPRoute", "shop/web")
    subsets = [{"name": one, "labels": {"version": one}} for one in ("v1", "v2")]
    rule = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"host": "web", "subsets": subsets, "trafficPolicy": {
                "connectionPool": {"http": {"maxRequestsPerConnection": 2}}, "outlierDetection": {"consecutive5xxErrors": 5}}}}
    virtual = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web", "namespace": "shop"},
               "spec": {"hosts": ["web"], "http": [
                   {"match": [{"uri": {"prefix": "/abort"}}], "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}},
                    "route": [{"destination": {"host": "web", "subset": "v1"}}]},
                   {"match": [{"uri": {"prefix": "/away"}}], "redirect": {"uri": "/there", "redirectCode": 307}},
                   {"match": [{"uri": {"exact": "/two"}}], "route": [{"destination": {"host": "web", "subset": "v2"}}],
                    "rewrite": {"uri": "/zwei"}},
                   {"match": [{"uri": {"prefix": "/nobody"}}], "route": [{"destination": {"host": "web", "subset": "v9"}}]},
                   {"route": [{"destination": {"host": "web", "subset": "v1"}}]}]}}
    apply(lab, rule, virtual, name="route.yaml")
    until(lambda: get(lab, "/two") == "v2 GET /zwei - - 200", lambda: get(lab, "/two"))
    expect(get(lab, "/abort").endswith("418"), f"a fault: {get(lab, '/abort')}")
    expect(get(lab, "/away").endswith("307"), f"a redirect: {get(lab, '/away')}")
    expect(get(lab, "/nobody").endswith("503"), f"a subset that is not there: {get(lab, '/nobody')}")
    expect(get(lab, "/one") == "v1 GET /one - - 200", f"the rest: {get(lab, '/one')}")


def test_tokens(lab):
    keys = json.dumps({"keys": [{"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyLWJ5dGVz"}]})
    target = [{"group": "", "kind": "Service", "name": "web"}]
    apply(lab, {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"targetRefs": target, "jwtRules": [{"issuer": "me", "jwks": keys}]}},
          {**POLICY, "spec": {"targetRefs": target, "action": "ALLOW", "rules": [
              {"from": [{"source": {"requestPrincipals": ["me/*"]}}]}, {"to": [{"operation": {"paths": ["/open"]}}]}]}},
          name="policy.yaml")

    def token(issuer, key=b"secret-secret-secret-secret-32-bytes"):
        parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=")
                 for one in ({"alg": "HS256", "kid": "k"}, {"iss": issuer, "sub": "somebody", "exp": 4102444800})]
        signed = hmac.new(key, b".".join(parts), hashlib.sha256).digest()
        return b".".join([*parts, base64.urlsafe_b64encode(signed).rstrip(b"=")]).decode()
    until(lambda: get(lab, "/closed").endswith("403"), lambda: get(lab, "/closed"))
    expect(get(lab, "/open").endswith("200"), "without a token, where none is needed")
    good = get(lab, "/closed", "-H", f"Authorization: Bearer {token('me')}")
    expect(good.endswith("200"), f"a good token: {good}")
    for bad in (token("me", b"another"), token("you"), "garbage"):
        said = get(lab, "/open", "-H", f"Authorization: Bearer {bad}")
        expect(said.endswith("401"), f"a bad token: {said}")
    lab.delete("AuthorizationPolicy", "shop/web")
    lab.delete("RequestAuthentication", "shop/web")


def test_bytes_and_ports_without_a_protocol(lab):
    for port, url in ((7000, "http://bytes:7000/x"), (8000, "http://unnamed:8000/x")):
        until(lambda url=url: lab.curl("client", url).stdout.startswith("v1 GET /x"), f"port {port}")
    apply(lab, {**POLICY, "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "bytes"}], "action": "DENY", "rules": [
        {"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/other"]}}]}]}}, name="policy.yaml")
    until(lambda: lab.curl("other", "http://bytes:7000/x").returncode != 0, "the connection is closed")
    expect(lab.curl("client", "http://bytes:7000/x").returncode == 0, "client may")
    lab.delete("AuthorizationPolicy", "shop/web")


def test_the_waypoint_speaks_with_its_own_identity(lab):
    apply(lab, {**POLICY, "spec": {"selector": {"matchLabels": {"app": "web"}}, "action": "ALLOW", "rules": [
        {"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/waypoint"]}}]}]}}, name="policy.yaml")
    lab.settled()
    until(lambda: get(lab).endswith(" 200"), lambda: get(lab))
    straight = lab.curl("client", f"http://{lab.address('web-v1')}:8080/")
    expect(straight.returncode != 0, f"past the waypoint: {straight.stdout}")
    lab.delete("AuthorizationPolicy", "shop/web")


def test_without_the_waypoint_nothing_passes(lab):
    lab.delete("Pod", "shop/waypoint-0")
    until(lambda: not get(lab).endswith(" 200"), "refused")
    # and it comes back, now with state-of-the-world discovery
    apply(lab, *waypoint(["--state-of-the-world"]), name="waypoint.yaml")
    until(lambda: get(lab).endswith(" 200"), lambda: f"back: {get(lab)}", 30)
    until(lambda: get(lab, "/two") == "v2 GET /zwei - - 200", lambda: get(lab, "/two"))


if __name__ == "__main__":
    if not ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-envoy-") as source:
        path = pathlib.Path(source, "world.yaml")
        path.write_text("\n---\n".join(json.dumps(one) for one in world()), encoding="utf-8")
        main(globals(), "envoy", pathlib.Path(source))
