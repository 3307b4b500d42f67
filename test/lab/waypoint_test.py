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


test_routes = stock.test_routes
test_weights = stock.test_weights
test_policy = stock.test_policy
test_the_waypoint_speaks_with_its_own_identity = stock.test_the_waypoint_speaks_with_its_own_identity
test_without_the_waypoint_nothing_passes = stock.test_without_the_waypoint_nothing_passes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weft-waypoint-") as source:
        path = pathlib.Path(source, "world.yaml")
        path.write_text("\n---\n".join(json.dumps(one) for one in stock.world()), encoding="utf-8")
        main(globals(), "waypoint", pathlib.Path(source))
