#!/usr/bin/env python3
"""Stock Envoy as a waypoint on lab nodes, with roots and a mesh configuration of the chart's less usual values:
Envoy's identity is made beside it, policy and an authorizer of `mesh.config` hold, then one of a ConfigMap `istio` as
Istio's users have it, followed; a Gateway of class istio-waypoint gets the same by parametersRef; a request under way
outlives a drain, a certificate is renewed before it ends; a patch goes back to ours.

usage: envoy_test.py WEFT
"""
import base64
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tarfile

import yaml

from cluster import ROOT, Failed, exit_code, expect
from lab import Lab

AUTHORIZER = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.headers.get("x-word") == sys.argv[1] else 403)
        self.send_header("content-length", "0")
        self.end_headers()
    do_POST = do_DELETE = do_GET
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 8080), Handler).serve_forever()
"""
CUSTOM = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: asks, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  action: CUSTOM
  provider: {name: PROVIDER}
  rules: [{to: [{operation: {paths: [/asked*]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reads, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}], to: [{operation: {methods: [GET]}}]}]
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules:
  - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-new, value: NEW}]}}]
    backendRefs: [{name: web, port: 80}]
"""
STOCK = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: stock, namespace: shop, labels: {istio.io/waypoint-for: service}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
  infrastructure: {parametersRef: {group: "", kind: ConfigMap, name: proxies}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: proxies, namespace: shop}
data: {proxy: envoy}
"""
CHARTS = ROOT / "charts"
WEFT = ""


def provider(name):
    """Extension providers as users of Istio have them, with others that are not for us."""
    asks = {"service": "guard.shop.svc.cluster.local", "port": 8080, "includeRequestHeadersInCheck": ["x-word"]}
    return {"accessLogFile": "/dev/stdout", "defaultConfig": {"discoveryAddress": "istiod.istio-system.svc:15012"},
            "extensionProviders": [{"name": "otel", "opentelemetry": {"service": "o.shop.svc.cluster.local", "port": 4317}},
                                   {"name": name, "envoyExtAuthzHttp": asks}]}


def helm_weft(lab, verb, values):
    text = json.dumps(values)
    lab.run("helm", verb, "weft", CHARTS / "weft", "-n", "weft-system", "--create-namespace", "--wait", "--timeout", "2m",
            "-f", "-", input=text)


def ask(lab, path, *options, host="web"):
    done = lab.kubectl("-n", "shop", "exec", "deploy/client", "--", "curl", "-sS", "-m", "5", "-o", "/dev/null", "-w",
                       "%{http_code}", f"http://{host}{path}", *options, check=False)
    return done.stdout


def expect_soon(lab, wanted, path, *options):
    try:
        lab.until(lambda: ask(lab, path, *options) == wanted, f"{wanted} for {path} {options}")
    except Failed as failed:
        raise Failed(f"{failed}: the last answer was {ask(lab, path, *options)}") from None


def install(lab):
    helm_weft(lab, "install", {"mesh": {"istioRootMap": False, "config": provider("guard")}})
    lab.kubectl("create", "namespace", "shop")
    lab.kubectl("label", "namespace", "shop", "istio.io/dataplane-mode=ambient")
    lab.kubectl("apply", "-n", "shop", "-f", ROOT / "examples/kubernetes/shop.yaml")
    guard = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guard", "namespace": "shop", "labels": {"app": "guard"}},
             "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                 {"name": "guard", "image": "python", "command": ["python3", "-u", "-c", AUTHORIZER, "please"],
                  "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}]}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "guard", "namespace": "shop"},
               "spec": {"selector": {"app": "guard"}, "ports": [{"name": "http", "port": 8080}]}}
    lab.until(lambda: lab.kubectl("-n", "shop", "get", "serviceaccount", "default", check=False).returncode == 0, "an account")
    lab.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([guard, service]))
    lab.kubectl("-n", "shop", "rollout", "status", "deployment/web", "deployment/client", "--timeout=60s")
    lab.kubectl("-n", "shop", "wait", "pod/guard", "--for=condition=Ready", "--timeout=60s")
    expect_soon(lab, "200", "/")


def roots_are_where_the_chart_says(lab):
    maps = lab.kubectl("get", "configmaps", "-A", "-o", "name").stdout
    expect("istio-ca-root-cert" not in maps and "weft-ca-root-cert" in maps, f"roots: {maps}")


def containers(lab, name):
    found = json.loads(lab.kubectl("-n", "shop", "get", "pods", "-l", f"gateway.networking.k8s.io/gateway-name={name}", "-o",
                                   "json").stdout)["items"]
    return [[one["name"] for one in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]] for pod in found
            if "deletionTimestamp" not in pod["metadata"]]


def use(lab, name):
    lab.until(lambda: lab.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=60s",
                                  check=False).returncode == 0, f"deployment {name}")
    lab.kubectl("-n", "shop", "wait", "gateway", name, "--for=condition=Programmed", "--timeout=60s")
    lab.kubectl("label", "namespace", "shop", f"istio.io/use-waypoint={name}", "--overwrite")


def server(lab, name):
    """What the admin page of the waypoint's proxy says it is."""
    done = lab.kubectl("-n", "shop", "exec", f"deploy/{name}", "-c", "waypoint", "--", "curl", "-sS",
                       "http://127.0.0.1:15000/server_info", check=False)
    return done.stdout


def policy_holds(lab, word="please"):
    expect_soon(lab, "403", "/", "-X", "DELETE")
    expect_soon(lab, "403", "/asked")
    expect_soon(lab, "200", "/index.html", "-H", f"x-word: {word}")
    expect_soon(lab, "404", "/asked", "-H", f"x-word: {word}")  # allowed; there is no such page


def envoy_by_the_chart(lab):
    lab.run("helm", "install", "waypoint", CHARTS / "waypoint", "-n", "shop", "--set", "proxy=envoy", "--wait")
    use(lab, "waypoint")
    expect(containers(lab, "waypoint") == [["identity", "waypoint"]], f"the pod is {containers(lab, 'waypoint')}")
    lab.kubectl("apply", "-f", "-", input=CUSTOM.replace("PROVIDER", "guard"))
    policy_holds(lab)
    expect('"state": "LIVE"' in server(lab, "waypoint"), f"not Envoy: {server(lab, 'waypoint')[:300]}")


def the_key_is_the_pods_alone(lab):
    """Whose certificate it is; and that its key is in memory, for its user only."""
    certs = lab.kubectl("-n", "shop", "exec", "deploy/waypoint", "-c", "waypoint", "--", "curl", "-sS",
                        "http://127.0.0.1:15000/certs").stdout
    expect("spiffe://cluster.local/ns/shop/sa/waypoint" in certs, f"certificates: {certs[:500]}")
    mode = lab.kubectl("-n", "shop", "exec", "deploy/waypoint", "-c", "identity", "--", "stat", "-c", "%a %u",
                       "/etc/weft/secrets/default.json").stdout.split()
    expect(mode == ["600", "1337"], f"the key's file: {mode}")


def a_change_is_applied_when_the_waypoint_has_it(lab):
    """By the word of a waypoint that cannot answer, and of one that can again."""
    (pod,) = json.loads(lab.kubectl("-n", "shop", "get", "pods", "-l", "gateway.networking.k8s.io/gateway-name=waypoint",
                                    "-o", "json").stdout)["items"]
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]

    def states():
        said = json.loads(lab.run(WEFT, "proxy-status", "-o", "json").stdout)["waypoints"]
        return {one["waypoint"]: (one["status"], *(one["types"][kind] for kind in ("CDS", "LDS", "EDS", "RDS"))) for one in said}
    lab.kubectl("apply", "-f", "-", input=ROUTE.replace("NEW", "a"))
    lab.run(WEFT, "wait", "-n", "shop", "httproute/web", "--timeout", "60s")
    expect(answer_header(lab) == "a", f"applied, and not in force: {answer_header(lab)}")
    # Its routes are in its listeners: it never asks for any.
    expect(states() == {f"shop/{name}": ("SYNCED",) * 4 + ("IGNORED",)}, states())
    (frozen,) = lab.cgroup.glob(f"*/kubepods/pod{uid}/waypoint/cgroup.freeze")
    frozen.write_text("1")
    try:
        lab.kubectl("apply", "-f", "-", input=ROUTE.replace("NEW", "b"))
        done = lab.run(WEFT, "wait", "-n", "shop", "httproute/web", "--timeout", "2s", check=False)
        expect(done.returncode == 3 and done.stderr.endswith(f"waypoint shop/{name}\n"), f"{done.returncode} {done.stderr}")
        expect("STALE" in states()[f"shop/{name}"][1:], states())
        done = lab.run(WEFT, "wait", "--timeout", "1s", check=False)
        expect(done.returncode == 3 and f"waypoint shop/{name} (has version" in done.stderr, f"{done.returncode} {done.stderr}")
    finally:
        frozen.write_text("0")
    lab.run(WEFT, "wait", "-n", "shop", "httproute/web", "--timeout", "60s")
    expect(answer_header(lab) == "b", f"applied, and not in force: {answer_header(lab)}")
    lab.run(WEFT, "wait", "--timeout", "60s")
    text = lab.run(WEFT, "proxy-status").stdout
    expect([line.split()[0] for line in text.splitlines() if "SYNCED SYNCED" in " ".join(line.split())] == [f"shop/{name}"],
           text)


def it_shows_its_configuration(lab):
    """`weft proxy-config` reads stock Envoy's, and shows no key of it."""
    pod = lab.kubectl("-n", "shop", "get", "pods", "-l", "gateway.networking.k8s.io/gateway-name=waypoint", "-o",
                      "jsonpath={.items[0].metadata.name}").stdout
    shown = {what: lab.run(WEFT, "proxy-config", what, "-n", "shop", pod).stdout
             for what in ("cluster", "listener", "endpoint", "route", "secret", "bootstrap", "all")}
    for what, word in (("cluster", "web.shop.svc.cluster.local"), ("listener", "main_internal"), ("endpoint", "HEALTHY"),
                       ("secret", "default"), ("bootstrap", "waypoint~")):
        expect(word in shown[what], f"proxy-config {what} says nothing of {word}: {shown[what][:600]}")
    expect("PRIVATE KEY" not in "".join(shown.values()), "a key is shown")


def a_report_has_what_is_needed_and_no_secret(lab):
    path = lab.folder / "report.tar"
    lab.run(WEFT, "bug-report", "-f", path)
    with tarfile.open(path) as tar:
        files = {name: tar.extractfile(name).read().decode("utf-8", "replace") for name in tar.getnames()}
    controls = [text for name, text in files.items() if name.startswith("control/") and name.endswith(".sync.json")]
    expect(len(controls) == 2 and any("shop/waypoint-" in text for text in controls), f"control's pages: {list(files)}")
    for folder in ("logs", "waypoint", "ztunnel"):
        names = [name for name in files if name.startswith(f"{folder}/")]
        expect(names and all(files[name] for name in names), f"of {folder}: {names}")
    expect(any(name.startswith("waypoint/shop.waypoint-") and "web.shop.svc" in text for name, text in files.items()),
           "no configuration of the waypoint")
    secret = lab.kubectl("-n", "weft-system", "get", "secret", "weft-debug-token", "-o", "jsonpath={.data.token}").stdout
    token = base64.b64decode(secret).decode()
    for name, text in files.items():
        expect("PRIVATE KEY" not in text and token not in text and secret not in text, f"a secret is in {name}")


def answer_header(lab):
    return lab.kubectl("-n", "shop", "exec", "deploy/client", "--", "curl", "-sS", "-m", "5", "-o", "/dev/null", "-w",
                       "%header{x-new}", "http://web/", check=False).stdout


def a_gateway_of_the_stock_class(lab):
    lab.kubectl("apply", "-f", "-", input=STOCK)
    use(lab, "stock")
    expect(containers(lab, "stock") == [["identity", "waypoint"]], f"the pod is {containers(lab, 'stock')}")
    lab.run("helm", "uninstall", "waypoint", "-n", "shop", "--wait")
    lab.until(lambda: not containers(lab, "waypoint"), "the end of the first waypoint")
    policy_holds(lab)


def the_configuration_of_istio(lab):
    """In the ConfigMap `istio`, under `mesh`: read as it is."""
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "weft-system"},
             "data": {"mesh": yaml.safe_dump(provider("other")), "meshNetworks": "networks: {}"}}
    lab.kubectl("apply", "-f", "-", input=json.dumps(there))
    helm_weft(lab, "upgrade", {"mesh": {"istioRootMap": False, "configMap": "istio"}})
    expect_soon(lab, "403", "/asked", "-H", "x-word: please")  # nobody knows "guard" any more
    lab.kubectl("apply", "-f", "-", input=CUSTOM.replace("PROVIDER", "other"))
    policy_holds(lab)
    # Followed: no pod of control's is replaced for it.
    there["data"]["mesh"] = yaml.safe_dump(provider("third"))
    lab.kubectl("apply", "-f", "-", input=json.dumps(there))
    expect_soon(lab, "403", "/asked", "-H", "x-word: please")
    there["data"]["mesh"] = yaml.safe_dump(provider("other"))
    lab.kubectl("apply", "-f", "-", input=json.dumps(there))
    policy_holds(lab)


def tokens_that_nobody_can_check(lab):
    """What checks tokens, and cannot be read: all is refused until it is mended, be there a token or none."""
    tokens = {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
              "metadata": {"name": "tokens", "namespace": "shop"},
              "spec": {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "stock"}],
                       "jwtRules": [{"audiences": ["of-no-issuer"]}]}}
    lab.kubectl("apply", "-f", "-", input=json.dumps(tokens))
    expect_soon(lab, "403", "/index.html", "-H", "x-word: please")
    lab.kubectl("delete", "requestauthentication", "tokens", "-n", "shop")
    policy_holds(lab)


def back_to_ours(lab):
    lab.kubectl("-n", "shop", "patch", "configmap", "proxies", "--type=merge", "-p", '{"data": {"proxy": "weft"}}')
    lab.until(lambda: containers(lab, "stock") == [["waypoint"]], "our waypoint instead")
    use(lab, "stock")
    policy_holds(lab)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def certificate(lab):
    """Of the waypoint's own, as its proxy has it: the serial number, and when it ends."""
    page = lab.kubectl("-n", "shop", "exec", "deploy/stock", "-c", "waypoint", "--", "curl", "-sS",
                       "http://127.0.0.1:15000/certs", check=False).stdout
    for one in json.loads(page or "{}").get("certificates", []):
        for own in one.get("cert_chain", []):
            return own["serial_number"], datetime.datetime.fromisoformat(own["expiration_time"].replace("Z", "+00:00"))
    return None


def the_certificate_is_renewed(lab):
    """Of a life that is over while one looks: Envoy has the next one before, and requests go on."""
    helm_weft(lab, "upgrade", {"mesh": {"istioRootMap": False, "configMap": "istio", "certificateLifetime": "60s"}})
    lab.kubectl("-n", "shop", "rollout", "restart", "deployment/stock")
    use(lab, "stock")
    lab.until(lambda: (certificate(lab) or (0, 0))[0] and certificate(lab)[1] - now() < datetime.timedelta(seconds=90),
              "a certificate of a short life")
    first, ends = certificate(lab)
    lab.until(lambda: now() > ends, "the end of the first certificate")
    policy_holds(lab)
    second, until = certificate(lab)
    expect(second != first and until > ends, f"the certificate is the first one still: {first} {ends}")


# Answers /held when somebody asks for /release, and says on its log when it begins to hold.
HOLDER = """
import http.server, threading
gate = threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/release": gate.set()
        if self.path == "/held":
            print("holds", flush=True)
            gate.wait(120)
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"done")
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def a_request_outlives_the_drain(lab):
    """One that is under way when its waypoint is told to end, which a patch of docs/waypoint.md lets it do."""
    (patch,) = re.findall(r"`(spec: .*preStop.*)`", (ROOT / "docs/waypoint.md").read_text())
    lab.kubectl("-n", "shop", "patch", "configmap", "proxies", "--type=merge", "-p", json.dumps({"data": {"deployment": patch}}))
    lab.until(lambda: "preStop" in lab.kubectl("-n", "shop", "get", "deployment", "stock", "-o", "json").stdout, "the patch")
    use(lab, "stock")
    lab.until(lambda: len(containers(lab, "stock")) == 1, "the end of the pod without it")
    holder = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holder", "namespace": "shop", "labels": {"app": "holder"}},
              "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                  {"name": "holder", "image": "python", "command": ["python3", "-u", "-c", HOLDER],
                   "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}]}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "holder", "namespace": "shop"},
               "spec": {"selector": {"app": "holder"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}
    lab.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([holder, service]))
    lab.kubectl("-n", "shop", "wait", "pod/holder", "--for=condition=Ready", "--timeout=60s")
    lab.until(lambda: ask(lab, "/", host="holder") == "200", "the holder behind the waypoint")
    words = [lab.programs / "bin/kubectl", "-n", "shop", "exec", "deploy/client", "--", "curl", "-sS", "-m", "100", "-w",
             " %{http_code} %header{server}", "http://holder/held"]
    with subprocess.Popen(lab.inside(words), env=lab.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as asking:
        lab.until(lambda: "holds" in lab.kubectl("-n", "shop", "logs", "holder").stdout, "a request under way")
        (pod,) = json.loads(lab.kubectl("-n", "shop", "get", "pods", "-l", "gateway.networking.k8s.io/gateway-name=stock",
                                        "-o", "json").stdout)["items"]
        lab.kubectl("-n", "shop", "delete", "pod", pod["metadata"]["name"], "--wait=false")
        lab.until(lambda: [containers(lab, "stock")] != [[]] and "deletionTimestamp" in lab.kubectl(
            "-n", "shop", "get", "pod", pod["metadata"]["name"], "-o", "json").stdout, "a waypoint that is to end")
        expect(asking.poll() is None, "the request ended with the order to drain")
        lab.kubectl("-n", "shop", "exec", "holder", "--", "curl", "-sS", "http://127.0.0.1:8080/release")
        said = asking.communicate(timeout=100)[0]
    expect(said.startswith("done 200"), f"the request was lost: {said}")
    lab.until(lambda: lab.kubectl("-n", "shop", "get", "pod", pod["metadata"]["name"], check=False).returncode != 0,
              "the end of the waypoint that drained")
    use(lab, "stock")
    policy_holds(lab)


STEPS = [install, roots_are_where_the_chart_says, envoy_by_the_chart, the_key_is_the_pods_alone,
         a_change_is_applied_when_the_waypoint_has_it, it_shows_its_configuration,
         a_report_has_what_is_needed_and_no_secret,
         a_gateway_of_the_stock_class, the_configuration_of_istio,
         tokens_that_nobody_can_check, a_request_outlives_the_drain,
         the_certificate_is_renewed, back_to_ours, tokens_that_nobody_can_check]


def last_words(lab):
    for where in (("weft-system", "app=weft-control"), ("shop", "gateway.networking.k8s.io/gateway-name")):
        done = subprocess.run(lab.inside([lab.programs / "bin/kubectl", "-n", where[0], "logs", "-l", where[1], "--tail=20",
                                          "--prefix", "--all-containers"]), env=lab.environment(), capture_output=True,
                              text=True, check=False)
        print(done.stdout[-3000:] + done.stderr[-500:])
    print(lab.kubectl("get", "pods", "-A", check=False).stdout)


@exit_code
def main():
    with Lab() as lab:
        for step in STEPS:
            try:
                step(lab)
            except Failed:
                last_words(lab)
                raise
            print(f"ok    {step.__name__.replace('_', ' ')}", flush=True)


if __name__ == "__main__":
    WEFT = pathlib.Path(sys.argv[1]).resolve()
    sys.exit(main())
