"""weft-waypoint as a waypoint that our control plane configures: what envoy_test.py asks of stock Envoy, and what
only ours does."""
import json
import os
import pathlib
import sys
import tempfile

import envoy_test as stock
from envoy_test import apply, get
from harness import WEFT, expect, main, until

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
