"""weft-waypoint as a waypoint that our control plane configures: what envoy_test.py asks of stock Envoy, and what
only ours does."""
import json
import os
import pathlib
import sys
import tempfile

import envoy_test as stock
from envoy_test import apply, get
from harness import WEFT, expect, main, until, weft

PROGRAM = os.environ.get("WEFT_WAYPOINT") or str(pathlib.Path(WEFT).parent.parent / "waypoint" / "weft-waypoint")


def waypoint(_flags=()):
    """Gateway, Service, and the pod: one process that keeps its own identity."""
    objects = stock.envoy_waypoint()
    objects[-1]["spec"]["containers"][0]["command"] = [PROGRAM, "--log-level", "info"]
    return objects


stock.envoy_waypoint, stock.waypoint = stock.waypoint, waypoint


def test_requests_go_through_the_waypoint(lab):
    until(lambda: get(lab).endswith(" 200"), lambda: f"an answer: {get(lab)}", 30)
    expect(lab.curl("client", "http://web/", "-D", "-").stdout.lower().count("x-envoy-upstream-service-time") == 1,
           "the waypoint answered")


def test_answered_requests_leave_no_error_behind(lab):
    """When the waypoint goes, the connections that it kept end; a reset would be an error in the endpoint's ztunnel."""
    until(lambda: get(lab).endswith(" 200"), lambda: f"an answer: {get(lab)}", 30)

    def carried():
        return [line for line in lab.log("node-2.ztunnel").splitlines()
                if "connection complete" in line and 'direction="inbound"' in line and "/sa/waypoint" in line]

    before = len(carried())
    lab.delete("Pod", "shop/waypoint-0")
    lines = until(lambda: carried()[before:], lambda: f"connections that ended: {carried()}", 20)
    expect(all("\tinfo\t" in line and "error=" not in line for line in lines), f"no error: {lines[:2]}")
    apply(lab, *waypoint(), name="waypoint.yaml")
    until(lambda: get(lab).endswith(" 200"), lambda: f"back: {get(lab)}", 30)


def test_a_change_is_applied_when_the_waypoint_has_it(lab):
    """`weft wait` and `weft proxy-status` know of a waypoint that is behind."""
    def states():
        said = json.loads(weft("proxy-status", "-l", lab.name, "-o", "json").stdout)["waypoints"]
        return {one["waypoint"]: (one["status"], one["types"]["LDS"]) for one in said}
    lab.settled()
    expect(states() == {"shop/waypoint-0": ("SYNCED", "SYNCED")}, states())
    frozen = pathlib.Path(lab.pod("shop/waypoint-0")["cgroup"]) / "cgroup.freeze"
    frozen.write_text("1")
    try:
        late = stock.service("late", {"app": "web"})
        late["metadata"]["labels"] = {"istio.io/use-waypoint": "waypoint"}
        apply(lab, late, name="late.yaml")
        # Until control has read the change, everything is as it was, or behind for another reason.
        done = until(lambda: (said := weft("wait", "-l", lab.name, "--timeout", "300ms", check=False)).returncode and said,
                     lambda: f"a waypoint that is behind: {states()}")
        expect(done.returncode == 3 and "waypoint shop/waypoint-0 (has version" in done.stderr, f"{done.returncode} {done.stderr}")
        expect(states()["shop/waypoint-0"][0] == "STALE", states())
    finally:
        frozen.write_text("0")
    lab.settled()
    expect(states() == {"shop/waypoint-0": ("SYNCED", "SYNCED")}, states())


def test_hostile_paths_are_refused(lab):
    for path in ("/secret/..;x/a", "/a%00", "/..%2fsecret"):
        answer = get(lab, path, "--path-as-is")
        expect(answer.endswith("400"), f"{path}: {answer}")


# h2spec's cases that fail, and why: waypoint/wire/README.md.
H2SPEC_EXPLAINED = {
    "Sends invalid connection preface",
    "closed: Sends a DATA frame after sending RST_STREAM frame",
    "closed: Sends a HEADERS frame after sending RST_STREAM frame",
    "closed: Sends a DATA frame",
    'Sends a DATA frame on the stream that is not in "open" or "half-closed (local)" state',
    "closed: Sends a HEADERS frame",
    "Sends stream identifier that is numerically smaller than previous",
    "Sends PRIORITY frame that depend on itself",
    "Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream",
}


def tool(name):
    """A load tool or checker of `make kubernetes`; None where there is none."""
    path = stock.ENVOY.parent / name
    return str(path) if path.exists() else None


def test_h2spec_inside_a_tunnel(lab):
    if not (spec := tool("h2spec")):
        return
    done = lab.inside("client", spec, "-h", "web.shop.svc.cluster.local", "-p", "80", "-o", "2", "--path", "/a/longer/path")
    failed = {line.split(": ", 1)[1] for line in done.stdout.splitlines() if "×" in line}
    expect("145 tests" in done.stdout, f"every case ran: {done.stdout[-300:]} {done.stderr[-300:]}")
    expect(failed <= H2SPEC_EXPLAINED, f"not explained: {failed - H2SPEC_EXPLAINED}")


def test_grpc_calls_are_balanced_one_by_one(lab):
    if not (fortio := tool("fortio")):
        return
    server = [fortio, "server", "-http-port", "8080", "-grpc-port", "8079", "-redirect-port", "disabled", "-udp-port",
              "disabled", "-tcp-port", "disabled", "-loglevel", "error"]
    grpc = stock.service("grpc", {"app": "grpc"}, 8079, 8079, "grpc")
    grpc["metadata"]["labels"] = {"istio.io/use-waypoint": "waypoint"}
    pods = [stock.pod(f"grpc-{number}", "node-2", server, {"app": "grpc"}, "web", {"tcpSocket": {"port": 8079}})
            for number in (1, 2)]
    apply(lab, grpc, *pods, name="grpc.yaml")
    ping = [fortio, "load", "-grpc", "-ping", "-quiet", "-json", "-", "-qps", "0", "-c", "1"]

    def calls(count):
        done = lab.inside("client", *ping, "-n", str(count), "grpc:8079")
        if done.returncode != 0 or "{" not in done.stdout:
            return {}
        return json.loads(done.stdout[done.stdout.index("{"):])["RetCodes"]

    until(lambda: calls(1) == {"SERVING": 1}, lambda: f"a call is answered: {calls(1)}", 30)
    expect(calls(200) == {"SERVING": 200}, "every call is answered")
    log = (lab.folder() / "logs" / "shop.waypoint-0.log").read_text(errors="replace")
    asked = {line.split('"')[-2] for line in log.splitlines() if "grpc.health" in line or "PingServer" in line}
    expect(len(asked - {"-"}) == 2, f"one connection, both pods: {asked}")


def admin(lab, path):
    return lab.inside("waypoint-0", "curl", "-sS", f"http://127.0.0.1:15000{path}").stdout


def mirrored(lab):
    return int(admin(lab, "/stats?filter=mirror.requests_total").split(": ")[-1] or 0)


def test_mirrors(lab):
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v2", "port": 80}}}
    rule = {"filters": [mirror], "backendRefs": [{"name": "web-v1", "port": 80}]}
    apply(lab, {**stock.ROUTE, "spec": {**stock.ROUTE["spec"], "rules": [rule]}}, name="route.yaml")
    until(lambda: get(lab, "/any").startswith("v1 ") and mirrored(lab) > 0, lambda: admin(lab, "/stats"))
    before = mirrored(lab)
    for number in range(5):
        expect(get(lab, f"/{number}") == f"v1 GET /{number} - - 200", "the answer is the endpoint's")
    until(lambda: mirrored(lab) == before + 5, lambda: f"five copies: {mirrored(lab) - before}")


def test_admin_pages_in_envoys_shape(lab):
    dump = json.loads(admin(lab, "/config_dump?include_eds"))
    kinds = {one["@type"].rsplit(".", 1)[-1]: one for one in dump["configs"]}
    names = {one["cluster"]["name"] for one in kinds["ClustersConfigDump"]["dynamic_active_clusters"]}
    expect("inbound-vip|80|http|web.shop.svc.cluster.local" in names, f"clusters: {names}")
    main_chains = [one["active_state"]["listener"].get("filter_chains", []) for one in
                   kinds["ListenersConfigDump"]["dynamic_listeners"] if one["name"] == "main_internal"]
    expect(main_chains and any("web.shop" in one["name"] for one in main_chains[0]), "listeners as they were sent")
    expect(kinds["EndpointsConfigDump"]["dynamic_endpoint_configs"], "endpoints where asked for")
    secrets = json.dumps(kinds["SecretsConfigDump"])
    expect("certificate_chain" in secrets and "PRIVATE KEY" not in secrets, "secrets without keys")
    rows = json.loads(admin(lab, "/clusters?format=json"))["cluster_statuses"]
    hosts = [host["address"] for row in rows for host in row["host_statuses"]]
    expect(any("envoy_internal_address" in address for address in hosts), f"endpoints: {hosts[:3]}")
    expect("circuit_breakers.default.cx_open" in admin(lab, "/stats?filter=cx_open"), "breakers")
    expect(json.loads(admin(lab, "/certs"))["certificates"][0]["cert_chain"][0]["subject_alt_names"][0]["uri"] ==
           "spiffe://cluster.local/ns/shop/sa/waypoint", "certificates")
    expect(json.loads(admin(lab, "/server_info"))["state"] == "LIVE", "server_info")
    metrics = lab.inside("waypoint-0", "curl", "-sS", "http://127.0.0.1:15020/metrics").stdout
    expect("weft_waypoint_route_duration_milliseconds_bucket" in metrics, "times by route")


test_routes = stock.test_routes
test_weights = stock.test_weights
test_policy = stock.test_policy
test_virtual_services_and_subsets = stock.test_virtual_services_and_subsets
test_bytes_and_ports_without_a_protocol = stock.test_bytes_and_ports_without_a_protocol
test_the_waypoint_speaks_with_its_own_identity = stock.test_the_waypoint_speaks_with_its_own_identity
test_without_the_waypoint_nothing_passes = stock.test_without_the_waypoint_nothing_passes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weft-waypoint-") as source:
        path = pathlib.Path(source, "world.yaml")
        path.write_text("\n---\n".join(json.dumps(one) for one in stock.world()), encoding="utf-8")
        main(globals(), "waypoint", pathlib.Path(source))
