"""The connections that a DestinationRule asks for, of weft-waypoint and of stock Envoy: which HTTP they speak, how they are
kept alive, and how many retries there may be at once. Each case has a service of its own."""
import pathlib
import re
import secrets
import sys
import tempfile

import waypoints
from features_test import BOTH, ISTIO, many
from harness import expect, main, until
from waypoints import named

HERE = pathlib.Path(__file__).resolve().parent
UPGRADE = {"h2UpgradePolicy": "UPGRADE"}
POOLS = {
    "usual": None,
    "upgraded": {"connectionPool": {"http": UPGRADE}},
    "same": {"connectionPool": {"http": {"useClientProtocol": True}}},
    "pinged": {"connectionPool": {"http": {**UPGRADE, "http2KeepAlive": {"interval": "1s", "timeout": "5s"}}}},
    "mute": {"connectionPool": {"http": {**UPGRADE, "http2KeepAlive": {"interval": "1s", "timeout": "1s"}}}},
    "bare": {"connectionPool": {"tcp": {"tcpKeepalive": {"time": "20s", "interval": "5s", "probes": 3}}}},
    "brief": {"connectionPool": {"http": {**UPGRADE, "idleTimeout": "1s"}}},
    "single": {"connectionPool": {"http": {**UPGRADE, "maxRequestsPerConnection": 1}}},
    "aged": {"connectionPool": {"tcp": {"maxConnectionDuration": "1s"}, "http": UPGRADE}},
    "free": None,
    "budget": {"retryBudget": {"percent": 0, "minRetryConcurrency": 1}},
}
ENDING = ("brief", "single", "aged")
BEHIND = {"usual": "spoken", "upgraded": "spoken", "same": "spoken", "free": "echo", "budget": "echo"}


def server(ns, name, *flags, **labels):
    return waypoints.pod(ns, f"{name}-0", [sys.executable, "-u", HERE / "pool_server.py", "8080", *flags], {"app": name, **labels},
                         ready={"tcpSocket": {"port": 8080}})


def world():
    objects = []
    for ns in BOTH:
        objects += [waypoints.namespace(ns, **{"istio.io/use-waypoint": "waypoint"}), *waypoints.waypoint(ns, stock=ns == "stock"),
                    waypoints.pod(ns, "client", ["sleep", "infinity"], {"app": "client"}), waypoints.echo(ns, "echo", {"app": "echo"}),
                    server(ns, "spoken"), server(ns, "pinged"), server(ns, "mute", "mute"),
                    *(server(ns, name) for name in ENDING),
                    server(ns, "bare", **{"istio.io/dataplane-mode": "none"})]  # its connections are the waypoint's own
        for name, policy in POOLS.items():
            objects.append(waypoints.service(ns, name, {"app": BEHIND.get(name, name)}, ("http", 80, 8080)))
            if policy:
                objects.append(named(ISTIO, "DestinationRule", ns, name, spec={"host": name, "trafficPolicy": policy}))
        objects += [named(ISTIO, "VirtualService", ns, name, spec={"hosts": [name], "http": [
            {"route": [{"destination": {"host": name}}], "retries": {"attempts": 1, "retryOn": "5xx"}}]}) for name in ("free", "budget")]
    return objects


def spoken(lab, ns, host, *options):
    return lab.curl(f"{ns}/client", f"http://{host}/", *options).stdout


def count(lab, ns, pod, word):
    log = lab.folder() / "logs" / f"{ns}.{pod}.log"
    return log.read_text("utf-8", "replace").count(word) if log.exists() else 0


def test_which_http_is_spoken(lab):
    for host, to_old, to_new in (("usual", "h1", "h1"), ("upgraded", "h2", "h2"), ("same", "h1", "h2")):
        for options, wanted in (((), to_old), (("--http2-prior-knowledge",), to_new)):
            for ns in BOTH:
                until(lambda ns=ns: spoken(lab, ns, host, *options) == wanted,
                      lambda ns=ns: f"{ns} {host} {options}: {spoken(lab, ns, host, *options)!r}", 30)


def test_connections_of_http2_are_pinged(lab):
    for ns in BOTH:
        until(lambda ns=ns: spoken(lab, ns, "pinged") == "h2", f"{ns}: it is answered", 30)
        begun = count(lab, ns, "pinged-0", "ping")
        gone = count(lab, ns, "pinged-0", "gone")
        until(lambda ns=ns: count(lab, ns, "pinged-0", "ping") >= begun + 3, f"{ns}: three pings", 30)
        expect(spoken(lab, ns, "pinged") == "h2" and count(lab, ns, "pinged-0", "gone") == gone, f"{ns}: who answers is kept")


def test_who_answers_no_ping_is_left(lab):
    for ns in BOTH:
        until(lambda ns=ns: spoken(lab, ns, "mute") == "h2", f"{ns}: it is answered", 30)
        until(lambda ns=ns: count(lab, ns, "mute-0", "ping") and count(lab, ns, "mute-0", "gone"), f"{ns}: the connection ends", 30)
        until(lambda ns=ns: spoken(lab, ns, "mute") == "h2", f"{ns}: on another connection", 30)


def test_connections_end_as_asked(lab):
    """When nobody asks for a second; after one request; a second after they began."""
    for host in ENDING:
        for ns in BOTH:
            until(lambda ns=ns, host=host: spoken(lab, ns, host) == "h2", f"{ns} {host}: it is answered", 30)
            gone = count(lab, ns, f"{host}-0", "gone")
            expect(spoken(lab, ns, host) == "h2", f"{ns} {host}: it is answered again")
            until(lambda ns=ns, host=host, gone=gone: count(lab, ns, f"{host}-0", "gone") > gone, f"{ns} {host}: the connection ends", 30)
            expect(spoken(lab, ns, host) == "h2", f"{ns} {host}: on another connection")


def test_tcp_keepalive(lab):
    """The kernel's own timer of the waypoint's connection, in the seconds that were asked for."""
    for ns in BOTH:
        def timer(ns=ns):
            if spoken(lab, ns, "bare") != "h1":
                return None
            address = lab.address(f"{ns}/bare-0")
            seen = lab.inside(f"{ns}/waypoint-0", "ss", "-tnoH", "dst", f"{address}:8080").stdout
            return re.search(r"timer:\(keepalive,(\d+)(?:\.\d+)?sec", seen)
        expect(int(until(timer, f"{ns}: a timer", 30)[1]) <= 20, f"{ns}: of the rule")


def test_retry_budget(lab):
    """Ten fail at once, and each may be tried once more; with a budget of one at a time hardly any is."""
    for host, least, most in (("free", 20, 20), ("budget", 11, 15)):
        for ns in BOTH:
            until(lambda ns=ns: set(many(lab, ns, "/x", 2, host=host)) == {(200, "echo")}, f"{ns} {host}: it is answered", 30)

            def tried(ns=ns):
                mark = f"/mark-{secrets.token_hex(4)}"
                many(lab, ns, f"{mark}/delay-1/status-503", 10, host=host, at_once=True)
                return count(lab, ns, "echo-0", mark)
            until(lambda: least <= tried() <= most, lambda ns=ns: f"{ns} {host}: asked {tried()} times", 60)


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-pools-") as source:
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "pools", pathlib.Path(source))
