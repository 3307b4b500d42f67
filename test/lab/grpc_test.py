"""gRPC through a waypoint, between a client and a server that nobody here wrote (test/grpc): calls of every kind while the
configuration changes all the time, and none of them ends otherwise than it asked to. WEFT_SOAK: for how many seconds
(`make soak`)."""
import itertools
import json
import os
import pathlib
import subprocess
import tempfile
import time

import waypoints
from harness import DEADLINE, WEFT, expect, main, until

SECONDS = int(os.environ.get("WEFT_SOAK", "25"))
PORT = ("grpc", 7070, 7070)
CLIENT = str(waypoints.GRPC_CLIENT)


def world():
    objects = [waypoints.namespace("mesh", **{"istio.io/use-waypoint": "waypoint"}), *waypoints.waypoint("mesh"),
               waypoints.service("mesh", "grpc", {"app": "grpc"}, PORT),
               waypoints.pod("mesh", "client", ["sleep", "infinity"], {"app": "client"})]
    for version in ("v1", "v2"):
        labels = {"app": "grpc", "version": version}
        objects += [waypoints.grpc_echo("mesh", f"grpc-{version}", labels), waypoints.service("mesh", f"grpc-{version}", labels, PORT)]
    return objects


def calls(lab, *options):
    done = lab.inside("client", CLIENT, "call", "grpc:7070", *options)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_calls_are_balanced_one_by_one(lab):
    until(lambda: calls(lab)[0]["code"] == 0, lambda: calls(lab), 30)
    until(lambda: {one["server"] for one in calls(lab, "-n", "40")} == {"grpc-v1", "grpc-v2"}, "one connection reaches both")


def test_statuses_pass_and_refusals_are_mapped(lab):
    for code in (3, 5, 16):
        said = calls(lab, "-s", str(code))[0]
        expect(said["code"] == code and said["message"].startswith("as asked"), f"status {code}: {said}")
    late = calls(lab, "-d", "200", "-w", "3000")[0]
    expect(late["code"] == 4, f"a deadline: {late}")
    target = [{"group": "", "kind": "Service", "name": "grpc"}]
    lab.apply(waypoints.text([waypoints.named("security.istio.io/v1", "AuthorizationPolicy", "mesh", "no", spec={
        "targetRefs": target, "action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/weft.test.Echo/Unary"]}}]}]})]), "no.yaml")
    until(lambda: calls(lab)[0]["code"] == 7, lambda: f"PERMISSION_DENIED: {calls(lab)}")
    lab.delete("AuthorizationPolicy", "mesh/no")
    until(lambda: calls(lab)[0]["code"] == 0, "allowed again")


def changes():
    """Configurations without end; each answers the calls."""
    parent, service = {"parentRefs": [{"group": "", "kind": "Service", "name": "grpc"}]}, {"group": "", "kind": "Service", "name": "grpc"}
    for turn in itertools.count():
        weight = turn % 5
        yield waypoints.named("gateway.networking.k8s.io/v1", "GRPCRoute", "mesh", "soak", spec={**parent, "rules": [
            {"matches": [{"method": {"service": "weft.test.Echo", "method": "Up"}}], "backendRefs": [{"name": "grpc-v1", "port": 7070}]},
            {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-turn", "value": str(turn)}]}}],
             "backendRefs": [{"name": "grpc-v1", "port": 7070, "weight": 1 + weight}, {"name": "grpc-v2", "port": 7070, "weight": 5 - weight}]}]})
        yield waypoints.named("networking.istio.io/v1", "DestinationRule", "mesh", "soak", spec={
            "host": f"grpc-v{1 + turn % 2}", "trafficPolicy": {"loadBalancer": {"simple": ("ROUND_ROBIN", "RANDOM", "LEAST_REQUEST")[turn % 3]}}})
        yield waypoints.named("security.istio.io/v1", "AuthorizationPolicy", "mesh", "soak", spec={
            "targetRefs": [service], "action": "DENY", "rules": [{"to": [{"operation": {"paths": [f"/nothing-{turn}"]}}]}]})
        yield "GRPCRoute" if turn % 3 == 2 else "AuthorizationPolicy"  # gone for a while


def test_nothing_fails_while_the_configuration_changes(lab):
    soak = subprocess.Popen([WEFT, "lab", "exec", "-l", lab.name, "client", "--", CLIENT, "soak", "grpc:7070", str(24 * 3600), "3"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect(soak.stdout.readline().strip() == "begun", "calls are under way")
    end, made = time.monotonic() + SECONDS, 0
    for change in changes():
        if time.monotonic() > end or soak.poll() is not None:
            break
        if isinstance(change, str):
            lab.delete(change, "mesh/soak")
        else:
            lab.apply(waypoints.text([change]), "soak.yaml")
        made += 1
        lab.settled()
    soak.stdin.close()
    try:
        soak.wait(60 + DEADLINE)
    finally:
        soak.kill()
    said = json.loads(soak.stdout.read().strip().splitlines()[-1])
    expect(said["failed"] == 0, f"after {made} changes: {said}")
    expect(len(said["calls"]) == 8 and min(said["calls"].values()) > 0, f"calls of every kind: {said}")
    expect(set(said["servers"]) == {"grpc-v1", "grpc-v2"} and made >= 5, f"{made} changes: {said}")
    print(f"      {sum(said['calls'].values())} calls, {made} changes, 0 failed", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weft-grpc-") as source:
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "grpc", pathlib.Path(source))
