"""DestinationRules of load balancing and outlier detection, asked of weft-waypoint and of stock Envoy: who is asked, by place,
by age and by health. Three nodes in two regions; both waypoints stand on the first."""
import collections
import pathlib
import sys
import tempfile
import time

import waypoints
from features_test import BOTH, Case, ask, many
from harness import expect, main, until
from waypoints import named

ISTIO = "networking.istio.io/v1"
NODES = {"near": ("r1", "z1"), "mid": ("r1", "z2"), "far": ("r2", "z3")}
EJECTS = {"consecutive5xxErrors": 3, "interval": "1s", "baseEjectionTime": "60s", "maxEjectionPercent": 100}


def world():
    objects = [named("v1", "Node", "", name, {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone})
               for name, (region, zone) in NODES.items()]
    for ns in BOTH:
        objects += [waypoints.namespace(ns, **{"istio.io/use-waypoint": "waypoint"}),
                    *waypoints.waypoint(ns, stock=ns == "stock", node="near"),
                    waypoints.pod(ns, "client", ["sleep", "infinity"], {"app": "client"}, node="near"),
                    waypoints.service(ns, "echo", {"app": "echo"}, ("http", 80, 8080))]
        objects += [waypoints.echo(ns, name, {"app": "echo", "at": name, "tier": "gold" if name == "far" else "iron"}, node=name)
                    for name in NODES]
    return objects


def rule(ns, **policy):
    return named(ISTIO, "DestinationRule", ns, "case", spec={"host": "echo", "trafficPolicy": policy})


def local(**setting):
    return {"loadBalancer": {"simple": "ROUND_ROBIN", "localityLbSetting": {"enabled": True, **setting}}, "outlierDetection": EJECTS}


# Whoever is where: without it the nearest alone would be asked.
ANYWHERE = {"simple": "ROUND_ROBIN", "localityLbSetting": {"enabled": False}}


def servers(seen):
    """Which servers answered 200, and how often."""
    return {server: count for (status, server), count in seen.items() if status == 200}


def settle(lab, ns, right, target="/x", count=20):
    """Until `count` requests are as they must be: a configuration comes, and a health is found out, in its own time."""
    last = []

    def holds():
        last[:] = [many(lab, ns, target, count)]
        return right(last[0])
    until(holds, lambda: f"{ns} {target}: {last}", 40)


def only(*names):
    return lambda seen: set(servers(seen)) == set(names) and set(code for code, _ in seen) == {200}


def spoil(ns, at, status=500):
    """The echo of a place, answering nothing but errors."""
    bad = waypoints.echo(ns, at, {"app": "echo", "at": at, "tier": "gold" if at == "far" else "iron"}, node=at)
    bad["spec"]["containers"][0]["command"][2] = waypoints.ECHO.replace("status, size, extra = 200", f"status, size, extra = {status}")
    return bad


class Spoiled:
    """While it lasts, the echoes of these places answer errors."""

    def __init__(self, lab, *places, status=500):
        self.lab, self.places, self.status = lab, places, status

    def put(self, make):
        self.lab.apply(waypoints.text([make(ns, at) for ns in BOTH for at in self.places]), "pods.yaml")

    def __enter__(self):
        self.put(lambda ns, at: spoil(ns, at, self.status))
        self.ready()

    def ready(self):
        def all_run():
            return all(one["phase"] == "Running" and one.get("ready", True) for one in self.lab.record()["pods"])
        until(all_run, "pods run again", 30)
        self.lab.settled()

    def __exit__(self, *_):
        self.put(lambda ns, at: waypoints.echo(ns, at, {"app": "echo", "at": at, "tier": "gold" if at == "far" else "iron"}, node=at))
        self.ready()


def test_everybody_without_a_rule(lab):
    for ns in BOTH:
        until(lambda ns=ns: ask(lab, ns, "/")[0] == 200, lambda ns=ns: ask(lab, ns, "/"), 40)
        settle(lab, ns, only("near", "mid", "far"), count=40)


def test_the_nearest_place_first_and_the_next_when_it_fails(lab):
    with Case(lab, lambda ns: [rule(ns, **local())]):
        for ns in BOTH:
            settle(lab, ns, only("near"))
        with Spoiled(lab, "near"):
            for ns in BOTH:
                settle(lab, ns, only("mid"))
        with Spoiled(lab, "near", "mid"):
            for ns in BOTH:
                settle(lab, ns, only("far"))
    # a rule of its own forgets who was ejected
    for ns in BOTH:
        settle(lab, ns, only("near", "mid", "far"), count=40)


def test_failover_to_a_region_that_is_named(lab):
    """Both others are as far by distance; `failover` says which region comes next."""
    with Case(lab, lambda ns: [rule(ns, **local(failover=[{"from": "r1", "to": "r2"}]))]), Spoiled(lab, "near", "mid"):
        for ns in BOTH:
            settle(lab, ns, only("far"))


def test_failover_priority_by_label(lab):
    with Case(lab, lambda ns: [rule(ns, **local(failoverPriority=["tier=gold"]))]):
        for ns in BOTH:
            settle(lab, ns, only("far"))
        with Spoiled(lab, "far"):
            for ns in BOTH:
                settle(lab, ns, only("near", "mid"))
    with Case(lab, lambda ns: [rule(ns, **local(failoverPriority=["topology.kubernetes.io/region"]))]):
        for ns in BOTH:
            settle(lab, ns, only("near", "mid"))


def test_shares_by_place(lab):
    with Case(lab, lambda ns: [rule(ns, **local(distribute=[{"from": "r1/z1/*", "to": {"r1/z1/*": 20, "r2/*": 80}}]))]):
        for ns in BOTH:
            def shared(seen):
                got = servers(seen)
                return set(got) == {"near", "far"} and 120 <= got["far"] <= 195 and sum(got.values()) == 200
            settle(lab, ns, shared, count=200)


def test_gateway_errors_and_not_others_eject(lab):
    with Case(lab, lambda ns: [rule(ns, loadBalancer=ANYWHERE, outlierDetection={
            **EJECTS, "consecutive5xxErrors": 0, "consecutiveGatewayErrors": 2})]):
        with Spoiled(lab, "mid", status=500):
            for ns in BOTH:
                settle(lab, ns, lambda seen: sum(count for (code, _), count in seen.items() if code == 500) == 10, count=30)
                seen = collections.Counter()
                for _ in range(3):
                    seen += many(lab, ns, "/x", 30)
                expect(sum(count for (code, _), count in seen.items() if code == 500) == 30, f"{ns}: a 500 is no gateway's error: {seen}")
        with Spoiled(lab, "mid", status=503):
            for ns in BOTH:
                settle(lab, ns, only("near", "far"))


def test_at_most_so_many_are_ejected(lab):
    """A third of three is one: the second bad one stays."""
    with Case(lab, lambda ns: [rule(ns, loadBalancer=ANYWHERE, outlierDetection={**EJECTS, "maxEjectionPercent": 34})]), \
            Spoiled(lab, "mid", "far"):
        for ns in BOTH:
            def one_left(seen):
                bad = sum(count for (code, _), count in seen.items() if code == 500)
                return bad == 15 and sum(servers(seen).values()) == 15
            settle(lab, ns, one_left, count=30)


def test_an_ejected_one_comes_back(lab):
    with Case(lab, lambda ns: [rule(ns, loadBalancer=ANYWHERE, outlierDetection={**EJECTS, "baseEjectionTime": "2s"})]):
        with Spoiled(lab, "mid"):
            for ns in BOTH:
                settle(lab, ns, only("near", "far"))
                settle(lab, ns, lambda seen: any(code == 500 for code, _ in seen))
        for ns in BOTH:
            settle(lab, ns, only("near", "mid", "far"), count=30)


def test_panic_when_too_few_are_left(lab):
    """Below minHealthPercent everybody is asked, the ejected too; without it nobody is asked for them."""
    for least, codes in ((70, {200, 500}), (0, {200})):
        with Case(lab, lambda ns, least=least: [rule(ns, loadBalancer=ANYWHERE, outlierDetection={
                **EJECTS, "minHealthPercent": least})]), Spoiled(lab, "mid", "far"):
            for ns in BOTH:
                # enough to eject both, then what is asked for in the end
                many(lab, ns, "/x", 30)
                settle(lab, ns, lambda seen, codes=codes: set(code for code, _ in seen) == codes, count=30)
                if least:
                    for _ in range(3):
                        seen = many(lab, ns, "/x", 30)
                        expect(sum(servers(seen).values()) <= 14, f"{ns}: everybody is asked: {seen}")


def test_a_new_endpoint_warms_up(lab):
    """A weight grows with age, up to the window; of two ages the younger gets less. An equal share would be 75."""
    with Case(lab, lambda ns: [rule(ns, loadBalancer={"simple": "LEAST_REQUEST", "warmup": {
            "duration": "600s", "minimumPercent": 1, "aggression": 1}})]):
        for ns in BOTH:
            settle(lab, ns, only("near", "mid", "far"), count=40)
        aged = time.monotonic() + 20
        until(lambda: time.monotonic() > aged, "time passes", 30)
        lab.apply(waypoints.text([waypoints.echo(ns, "fresh", {"app": "echo", "at": "fresh"}, node="near") for ns in BOTH]), "fresh.yaml")
        try:
            for ns in BOTH:
                until(lambda ns=ns: "fresh" in servers(many(lab, ns, "/x", 60)), f"{ns}: it is asked", 40)
                got = servers(many(lab, ns, "/x", 300))
                expect(sum(got.values()) == 300 and 0 < got.get("fresh", 0) <= 55, f"{ns}: {got}")
        finally:
            for ns in BOTH:
                lab.delete("Pod", f"{ns}/fresh-0")


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-balance-") as source:
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "balance", pathlib.Path(source))
