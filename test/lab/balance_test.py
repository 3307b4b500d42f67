"""DestinationRules of load balancing and outlier detection, asked of weft-waypoint and of stock Envoy: who is asked, by place,
by age and by health. Four nodes in three regions; both waypoints stand on the first. What is ejected stays so for longer than
the test lasts, so each case has a service, and with it a cluster, of its own; the paths of its requests say who is ill."""
import json
import pathlib
import sys
import tempfile
import time

import waypoints
from features_test import BOTH, ISTIO, many
from harness import expect, main, until
from waypoints import named

NODES = {"near": ("r1", "z1"), "mid": ("r1", "z2"), "far": ("r2", "z3"), "other": ("r3", "z4")}
EJECTS = {"consecutive5xxErrors": 3, "interval": "1s", "baseEjectionTime": "600s", "maxEjectionPercent": 100}
# Whoever is where: without it the nearest alone would be asked.
ANYWHERE = {"simple": "ROUND_ROBIN", "localityLbSetting": {"enabled": False}}


def local(**setting):
    return {"loadBalancer": {"simple": "ROUND_ROBIN", "localityLbSetting": {"enabled": True, **setting}}, "outlierDetection": EJECTS}


def ejecting(**changes):
    return {"loadBalancer": ANYWHERE, "outlierDetection": {**EJECTS, **changes}}


SERVICES = {
    "plain": None,
    "nearest": local(),
    "named": local(failover=[{"from": "r1", "to": "r3"}]),
    "golden": local(failoverPriority=["tier=gold"]),
    "regional": local(failoverPriority=["topology.kubernetes.io/region"]),
    "shared": local(distribute=[{"from": "r1/z1/*", "to": {"r1/z1/*": 20, "r2/*": 80}}]),
    "gateway": ejecting(consecutive5xxErrors=0, consecutiveGatewayErrors=2),
    "capped": ejecting(maxEjectionPercent=34),
    "returning": ejecting(baseEjectionTime="2s"),
    "panicking": ejecting(minHealthPercent=70),
    "steadfast": ejecting(minHealthPercent=0),
    "warming": {"loadBalancer": {"simple": "LEAST_REQUEST", "warmup": {"duration": "600s", "minimumPercent": 1, "aggression": 1}}},
}
# Bytes: whom a connection goes to.
TCP_SERVICES = {
    "loose": {"loadBalancer": ANYWHERE},
    "sticky": {"loadBalancer": {"consistentHash": {"useSourceIp": True}, "localityLbSetting": {"enabled": False}}},
}
# Asked by the waypoint itself whether they are well, outside the mesh and inside it.
CHECK = {"weft.dev/health-check": "http /health every 300ms timeout 5s healthy 2 unhealthy 2"}
CHECKED = {"left": ("bare", None, None), "checked": ("bare", CHECK, {"loadBalancer": ANYWHERE}),
           "hopeful": ("bare", CHECK, ejecting(consecutive5xxErrors=0, minHealthPercent=60)),
           "deaf": ("bare", {"weft.dev/health-check": "tcp port 8081 every 300ms timeout 5s"}, None),
           "tunnelled": ("inner", CHECK, {"loadBalancer": ANYWHERE})}
CLIENTS = [f"client-{number}" for number in range(6)]


def server(ns, name, node, **labels):
    return waypoints.echo(ns, name, {"ages": "yes", **labels}, node=node)


def world():
    objects = [named("v1", "Node", "", name, {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone})
               for name, (region, zone) in NODES.items()]
    for ns in BOTH:
        objects += [waypoints.namespace(ns, **{"istio.io/use-waypoint": "waypoint"}),
                    *waypoints.waypoint(ns, stock=ns == "stock", node="near"),
                    waypoints.pod(ns, "client", ["sleep", "infinity"], {"app": "client"}, node="near")]
        objects += [server(ns, name, name, app="echo", tier="gold" if name == "far" else "iron") for name in NODES]
        for name, policy in SERVICES.items():
            selector = {"ages": "yes"} if name == "warming" else {"app": "echo"}
            objects.append(waypoints.service(ns, name, selector, ("http", 80, 8080)))
            if policy:
                objects.append(named(ISTIO, "DestinationRule", ns, name, spec={"host": name, "trafficPolicy": policy}))
        for name in ("a", "b"):
            objects += [waypoints.echo(ns, f"bare-{name}", {"app": "bare", "istio.io/dataplane-mode": "none"}, node="near"),
                        waypoints.echo(ns, f"inner-{name}", {"app": "inner"}, node="mid")]
        for name, (app, annotations, policy) in CHECKED.items():
            objects.append(waypoints.service(ns, name, {"app": app}, ("http", 80, 8080)))
            if policy:
                objects.append(named(ISTIO, "DestinationRule", ns, name, spec={"host": name, "trafficPolicy": policy}))
            if annotations:  # of the rule, or else of the service
                objects[-1]["metadata"]["annotations"] = annotations
        objects += [waypoints.pod(ns, name, ["sleep", "infinity"], {"app": "client"}, node="near") for name in CLIENTS]
        for name, policy in TCP_SERVICES.items():
            objects += [waypoints.service(ns, name, {"app": "echo"}, ("tcp", 90, 8080)),
                        named(ISTIO, "DestinationRule", ns, name, spec={"host": name, "trafficPolicy": policy})]
    return objects


def servers(seen, status=200):
    """Which servers answered so, and how often."""
    return {server: count for (code, server), count in seen.items() if code == status}


def settle(lab, ns, host, right, target="/x", count=24):
    """Until `count` requests are as they must be: a configuration comes, and a health is found out, in its own time."""
    last = []

    def holds():
        last[:] = [many(lab, ns, target, count, host=host)]
        return right(last[0])
    until(holds, lambda: f"{ns} {host}{target}: {last}", 60)


def stays(lab, ns, host, right, target, rounds=3, count=24):
    for _ in range(rounds):
        seen = many(lab, ns, target, count, host=host)
        expect(right(seen), f"{ns} {host}{target}: {seen}")


def only(*names):
    return lambda seen: set(servers(seen)) == set(names) and set(code for code, _ in seen) == {200}


def test_everybody_without_a_rule(lab):
    for ns in BOTH:
        settle(lab, ns, "plain", only(*NODES), count=60)


def test_the_nearest_place_first_and_the_next_when_it_fails(lab):
    for ns in BOTH:
        settle(lab, ns, "nearest", only("near"))
        settle(lab, ns, "nearest", only("mid"), "/at-500-near")
        settle(lab, ns, "nearest", only("far", "other"), "/at-500-near+mid")
        stays(lab, ns, "nearest", only("far", "other"), "/x")  # the ill may have recovered: nobody knows yet


def test_failover_to_a_region_that_is_named(lab):
    """Two regions are as far by distance; `failover` says which comes next."""
    for ns in BOTH:
        settle(lab, ns, "named", only("other"), "/at-500-near+mid")


def test_failover_priority_by_label(lab):
    for ns in BOTH:
        settle(lab, ns, "golden", only("far"))
        settle(lab, ns, "golden", only("near", "mid", "other"), "/at-500-far")
        settle(lab, ns, "regional", only("near", "mid"))


def test_shares_by_place(lab):
    def shared(seen):
        got = servers(seen)
        return set(got) == {"near", "far"} and 120 <= got["far"] <= 195 and sum(got.values()) == 200
    for ns in BOTH:
        settle(lab, ns, "shared", shared, count=200)


def test_gateway_errors_and_not_others_eject(lab):
    for ns in BOTH:
        settle(lab, ns, "gateway", only(*NODES))
        stays(lab, ns, "gateway", lambda seen: set(servers(seen, 500)) == {"mid"}, "/at-500-mid", rounds=4)
        settle(lab, ns, "gateway", only("near", "far", "other"), "/at-503-mid")


def test_at_most_so_many_are_ejected(lab):
    """A third of four is one: the second ill one stays."""
    def one_left(seen):
        return len(servers(seen, 500)) == 1 and set(servers(seen)) == {"near", "other"}
    for ns in BOTH:
        settle(lab, ns, "capped", one_left, "/at-500-mid+far")
        stays(lab, ns, "capped", one_left, "/at-500-mid+far")


def test_an_ejected_one_comes_back(lab):
    for ns in BOTH:
        settle(lab, ns, "returning", only("near", "far", "other"), "/at-500-mid", count=12)
        settle(lab, ns, "returning", only(*NODES))


def test_panic_when_too_few_are_left(lab):
    """Below minHealthPercent everybody is asked, the ejected too; without it nobody asks them."""
    ill = "/at-500-mid+far+other"
    for ns in BOTH:
        settle(lab, ns, "steadfast", only("near"), ill)
        stays(lab, ns, "steadfast", only("near"), ill)
        settle(lab, ns, "panicking", only(*NODES))
        many(lab, ns, ill, 60, host="panicking")  # each of them often enough to be ejected
        everybody = lambda seen: set(servers(seen, 500)) == {"mid", "far", "other"} and sum(servers(seen).values()) <= 12
        settle(lab, ns, "panicking", everybody, ill)
        stays(lab, ns, "panicking", everybody, ill)


def become(lab, ns, name, status):
    """What a pod says of its health from now on."""
    done = lab.curl(f"{ns}/client", f"http://{lab.address(f'{ns}/{name}-0')}:8080/become-{status}")
    expect(f'"{name}"' in done.stdout, f"{ns}/{name}: {done.stdout} {done.stderr}")


def nobody(seen):
    return set(seen) == {(503, "")}


def test_who_fails_the_checks_gets_no_requests(lab):
    """Outside the mesh, where both waypoints check: one is ill though Kubernetes calls it ready, then both, then none."""
    both = only("bare-a", "bare-b")
    for ns in BOTH:
        for host in ("left", "checked", "hopeful"):
            settle(lab, ns, host, both)
        settle(lab, ns, "deaf", nobody)  # it listens elsewhere
        become(lab, ns, "bare-a", 503)
        settle(lab, ns, "checked", only("bare-b"))
        stays(lab, ns, "checked", only("bare-b"), "/x")
        stays(lab, ns, "left", both, "/x", rounds=1)  # nobody asks for it
        become(lab, ns, "bare-b", 503)
        settle(lab, ns, "checked", nobody)
        settle(lab, ns, "hopeful", both)  # too few are left
        stays(lab, ns, "hopeful", both, "/x")
        become(lab, ns, "bare-a", 302)
        settle(lab, ns, "checked", only("bare-a"))
        become(lab, ns, "bare-b", 200)
        settle(lab, ns, "checked", both)


def test_checks_go_through_tunnels(lab):
    """Ours do; Envoy's cannot, and it asks everybody."""
    both = only("inner-a", "inner-b")
    for ns in BOTH:
        settle(lab, ns, "tunnelled", both)
        become(lab, ns, "inner-a", 503)
    settle(lab, "ours", "tunnelled", only("inner-b"))
    stays(lab, "ours", "tunnelled", only("inner-b"), "/x")
    expect("failed_active_hc" in lab.inside("ours/waypoint-0", "curl", "-sS", "http://127.0.0.1:15000/clusters").stdout, "the admin page says who")
    stays(lab, "stock", "tunnelled", both, "/x")
    said = [line for line in lab.log("control").splitlines() if "weft.dev/health-check" in line]
    expect(any("stock/tunnelled" in line and "checks nobody through a tunnel" in line for line in said), f"control says so: {said}")
    expect(not any("ours/" in line for line in said), f"and nothing of ours: {said}")
    become(lab, "ours", "inner-a", 200)
    settle(lab, "ours", "tunnelled", both)


def connections(lab, where, host, count):
    """Whom each of a client's connections reached, in their order."""
    config = "".join(f'url = "http://{host}:90/x"\n' for _ in range(count))
    done = lab.inside(where, "curl", "-sS", "-m", "20", "-H", "Connection: close", "-K", "-", input=config)
    return [json.loads(line)["server"] for line in done.stdout.splitlines() if line.startswith("{")]


def test_connections_of_one_client_go_to_one_endpoint(lab):
    for ns in BOTH:
        last = {}

        def seen(name, host="sticky", ns=ns, last=last):
            last[name] = connections(lab, f"{ns}/{name}", host, 16)
            return len(last[name]) == 16 and set(last[name])
        for name in CLIENTS[:2]:
            until(lambda name=name: seen(name, "loose") == set(NODES), lambda last=last, ns=ns: f"{ns}, without the rule: {last}", 60)
        chosen = {name: until(lambda name=name: len(seen(name) or ()) == 1 and last[name][0], lambda last=last, ns=ns: f"{ns}: {last}", 60)
                  for name in CLIENTS}
        for name in CLIENTS:
            expect(seen(name) == {chosen[name]}, f"{ns}: {name} is with {chosen[name]}: {last[name]}")
        expect(len(set(chosen.values())) > 1, f"{ns}: all clients are as one: {chosen}")


def test_a_new_endpoint_warms_up(lab):
    """A weight grows with age, up to the window; of two ages the younger gets less. An equal share would be 60."""
    for ns in BOTH:
        settle(lab, ns, "warming", only(*NODES), count=60)
    aged = time.monotonic() + 20
    until(lambda: time.monotonic() > aged, "time passes", 30)
    lab.apply(waypoints.text([server(ns, "fresh", "near") for ns in BOTH]), "fresh.yaml")
    for ns in BOTH:
        until(lambda ns=ns: "fresh" in servers(many(lab, ns, "/x", 100, host="warming")), f"{ns}: it is asked", 60)
        got = servers(many(lab, ns, "/x", 300, host="warming"))
        expect(sum(got.values()) == 300 and got.get("fresh", 0) <= 42, f"{ns}: {got}")


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-balance-") as source:
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "balance", pathlib.Path(source))
