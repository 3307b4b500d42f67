"""Endpoints outside the mesh, asked by weft-waypoint and by stock Envoy: by a name, in plaintext, by TLS that proves who the
server is, by TLS that proves who asks. What does not hold is a 503, and nothing is ever asked in plaintext instead. Ours is
configured by state-of-the-world discovery here, where every other test has delta."""
import json
import pathlib
import sys
import tempfile

import waypoints
from features_test import BOTH, Case
from harness import Authority, expect, main, until
from telemetry_test import control
from waypoints import named

ISTIO = "networking.istio.io/v1"
HOST = "api.example"
CERTIFICATES = None  # made in main: a folder

# One server: 8080 in plaintext, 8443 by TLS, 8444 by TLS for those with a certificate; 8088 in plaintext too, for those who should
# not come: what came there is counted. Says what it saw.
SERVER = """
import http.server, json, socketserver, ssl, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        if self.server.server_address[1] == 8088: came["requests"] += 1
        tls = isinstance(self.connection, ssl.SSLSocket)
        peer = self.connection.getpeercert() if tls else None
        body = json.dumps({"port": self.server.server_address[1], "host": self.headers["host"], "path": self.path,
                           "came": came, "sni": names.get(self.connection) if tls else None,
                           "peer": [value for _, value in (peer or {}).get("subjectAltName", ())]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
names, came = {}, {"connections": 0, "requests": 0}
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    context = None
    def get_request(self):
        one, address = self.socket.accept()
        if self.server_address[1] == 8088: came["connections"] += 1
        if self.context is None: return one, address
        return self.context.wrap_socket(one, server_side=True, do_handshake_on_connect=False), address
    def handle_error(self, *words): pass
def secure(port, roots=None):
    server = Server(("", port), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(sys.argv[1])
    server.context.sni_callback = lambda socket, name, _: names.__setitem__(socket, name)
    if roots:
        server.context.verify_mode = ssl.CERT_REQUIRED
        server.context.load_verify_locations(roots)
    threading.Thread(target=server.serve_forever, daemon=True).start()
secure(8443)
secure(8444, sys.argv[2])
threading.Thread(target=Server(("", 8088), Handler).serve_forever, daemon=True).start()
Server(("", 8080), Handler).serve_forever()
"""


def world():
    outside = waypoints.pod("away", "api-0", [sys.executable, "-uc", SERVER, CERTIFICATES.leaf, CERTIFICATES.root], {"app": "api"},
                            ready={"tcpSocket": {"port": 8080}})
    objects = [named("v1", "Namespace", "", "away"), outside,
               waypoints.service("away", "api", {"app": "api"}, ("http", 80, 8080), ("http-counted", 88, 8088))]
    for ns in BOTH:
        objects += [waypoints.namespace(ns, **{"istio.io/use-waypoint": "waypoint"}), *waypoints.waypoint(ns, stock=ns == "stock", flags=["--delta-xds", "false"]),
                    waypoints.pod(ns, "client", ["sleep", "infinity"], {"app": "client"})]
    return objects


def entry(ns, target, address=None):
    """The host behind the waypoint; its one endpoint is outside, by name (or by `address`)."""
    where = "240.240.1.1" if ns == "ours" else "240.240.1.2"
    return named(ISTIO, "ServiceEntry", ns, "api", {"istio.io/use-waypoint": "waypoint"}, spec={
        "hosts": [HOST], "addresses": [where], "resolution": "STATIC" if address else "DNS", "location": "MESH_EXTERNAL",
        "exportTo": ["."], "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": target}],
        "endpoints": [{"address": address or "api.away.svc.cluster.local"}]})


def secured(ns, **tls):
    return named(ISTIO, "DestinationRule", ns, "api", spec={"host": HOST, "trafficPolicy": {"tls": tls}})


def get(lab, ns, path="/"):
    """(status, what the server saw)."""
    where = "240.240.1.1" if ns == "ours" else "240.240.1.2"
    done = lab.curl(f"{ns}/client", f"http://{where}{path}", "-H", f"Host: {HOST}", "-w", "\n%{http_code}")
    body, _, code = done.stdout.rpartition("\n")
    try:
        return int(code or 0), json.loads(body)
    except ValueError:
        return int(code or 0), body


def all_get(lab, wanted, path="/x", **saw):
    for ns in BOTH:
        until(lambda ns=ns: get(lab, ns, path)[0] == wanted, lambda ns=ns: f"{ns}: wanted {wanted}: {get(lab, ns, path)}", 40)
        status, seen = get(lab, ns, path)
        expect(status == wanted, f"{ns}: {status} {seen}")
        for name, value in saw.items():
            expect(seen[name] == value, f"{ns}: {name}: {seen}")


def simple(**more):
    return {"mode": "SIMPLE", "sni": HOST, "caCertificates": CERTIFICATES.root, **more}


class Outside(Case):
    """As Case, and nothing is asked before the test does."""

    def __enter__(self):
        self.lab.apply(waypoints.text([one for ns in BOTH for one in self.objects[ns]]), "case.yaml")
        self.lab.settled()
        return self


def test_by_name_and_by_address_in_plaintext(lab):
    with Outside(lab, lambda ns: [entry(ns, 8080)]):
        all_get(lab, 200, port=8080, host=HOST, sni=None)
    with Outside(lab, lambda ns: [entry(ns, 8080, lab.address("away/api-0"))]):
        all_get(lab, 200, port=8080, host=HOST, path="/x")


def test_by_tls(lab):
    with Outside(lab, lambda ns: [entry(ns, 8443), secured(ns, **simple())]):
        all_get(lab, 200, port=8443, sni=HOST, peer=[])
    # without a name of its own the host's is asked for
    with Outside(lab, lambda ns: [entry(ns, 8443), secured(ns, mode="SIMPLE", caCertificates=CERTIFICATES.root)]):
        all_get(lab, 200, sni=HOST)


def test_a_server_that_does_not_prove_who_it_is(lab):
    nowhere = simple(caCertificates="/nowhere.pem")
    for tls in (simple(subjectAltNames=["other.example"]), simple(caCertificates=CERTIFICATES.other), nowhere):
        # Envoy would refuse a cluster without roots, and keep the last: nobody asks it for one.
        asked = ("ours",) if tls is nowhere else BOTH
        with Outside(lab, lambda ns, tls=tls, asked=asked: [entry(ns, 8443), secured(ns, **tls)] if ns in asked else []):
            for ns in asked:
                until(lambda ns=ns: get(lab, ns)[0] == 503, lambda ns=ns: f"{ns} {tls}: {get(lab, ns)}", 40)
                for _ in range(5):
                    expect(get(lab, ns)[0] == 503, f"{ns}: never anything else")


def test_plaintext_is_no_tls(lab):
    with Outside(lab, lambda ns: [entry(ns, 8080), secured(ns, **simple())]):
        all_get(lab, 503)


def test_by_mutual_tls(lab):
    own = {"mode": "MUTUAL", "clientCertificate": CERTIFICATES.client + ".crt", "privateKey": CERTIFICATES.client + ".key"}
    with Outside(lab, lambda ns: [entry(ns, 8444), secured(ns, **simple(**own))]):
        all_get(lab, 200, port=8444, sni=HOST, peer=["client.example"])
    with Outside(lab, lambda ns: [entry(ns, 8444), secured(ns, **simple())]):  # who shows nothing
        all_get(lab, 503)


def came(lab):
    """What has come to the server's counted port by now."""
    return json.loads(lab.curl("away/api-0", "http://127.0.0.1:8080/").stdout)["came"]


def test_istio_mutual_is_never_plaintext(lab):
    pod = "api.away.svc.cluster.local"  # of the cluster, not of the mesh
    by_route = lambda ns: named(ISTIO, "VirtualService", ns, "api", spec={
        "hosts": [HOST], "http": [{"route": [{"destination": {"host": pod, "port": {"number": 88}}}]}]})
    ways = {"by name": lambda ns: [entry(ns, 8088)], "by address": lambda ns: [entry(ns, 8088, lab.address("away/api-0"))],
            "a pod's": lambda ns: [entry(ns, 8080), by_route(ns)]}
    for way, made in ways.items():
        with Outside(lab, made):
            all_get(lab, 200, port=8088)
        for ns in BOTH:  # what was sent for the case without the rule is gone
            until(lambda ns=ns: get(lab, ns)[0] != 200, lambda ns=ns, way=way: f"{ns} {way}: {get(lab, ns)}", 40)
        before = came(lab)
        rule = lambda ns, host=pod if way == "a pod's" else HOST: named(ISTIO, "DestinationRule", ns, "mutual", spec={
            "host": host, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}})
        with Outside(lab, lambda ns, made=made, rule=rule: [rule(ns), *made(ns)]):
            for ns in BOTH:
                until(lambda ns=ns: get(lab, ns)[0] == 503, lambda ns=ns, way=way: f"{ns} {way}: {get(lab, ns)}", 40)
                for _ in range(5):
                    expect(get(lab, ns)[0] == 503, f"{ns} {way}: never anything else")
                until(lambda ns=ns: [one for one in control(lab, "problems")["problems"] if one["object"] == f"DestinationRule {ns}/mutual"
                                     and "ISTIO_MUTUAL: no tunnel leads to" in one["message"]], lambda: f"{control(lab, 'problems')}", 20)
            expect(came(lab) == before, f"{way}: in plaintext: {before} and then {came(lab)}")


def test_what_is_behind_another_waypoint_is_asked_through_it(lab):
    """Each namespace's waypoint stands before a host outside that the other's sends to: what it denies is denied to all."""
    def make(ns):
        other = BOTH[1 - BOTH.index(ns)]
        behind = named(ISTIO, "ServiceEntry", ns, "behind", {"istio.io/use-waypoint": "waypoint"}, spec={
            "hosts": [f"behind.{ns}.example"], "addresses": ["240.240.2.1" if ns == "ours" else "240.240.2.2"], "resolution": "DNS",
            "location": "MESH_EXTERNAL", "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}],
            "endpoints": [{"address": "api.away.svc.cluster.local"}]})
        deny = named("security.istio.io/v1", "AuthorizationPolicy", ns, "behind", spec={
            "targetRefs": [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": "behind"}], "action": "DENY",
            "rules": [{"to": [{"operation": {"paths": ["/no"]}}]}]})
        there = named(ISTIO, "VirtualService", ns, "api", spec={
            "hosts": [HOST], "http": [{"route": [{"destination": {"host": f"behind.{other}.example"}}]}]})
        return [entry(ns, 8443), behind, deny, there]
    with Outside(lab, make):
        all_get(lab, 200, port=8080, path="/x")
        answers = [get(lab, ns, "/no")[0] for ns in BOTH]
        expect(answers == [403, 403], f"the other waypoint's policy is passed by: {answers}")


class Certificates:
    def __init__(self, folder):
        ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs")
        self.root, self.other = str(ours.root), str(theirs.root)
        self.leaf = ours.issue("api", f"DNS:{HOST}")
        self.client = ours.issue("client", "DNS:client.example").removesuffix(".pem")
        for path in (folder, folder / "ours", folder / "theirs"):
            path.chmod(0o755)


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-outside-") as source:
        CERTIFICATES = Certificates(pathlib.Path(source))
        shown = pathlib.Path(source, "manifests")
        shown.mkdir()
        (shown / "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "outside", shown)
