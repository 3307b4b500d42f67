#!/usr/bin/env python3
"""Two replicas of weft-control on a real API server: one writes, the other goes on when it is gone; what is
written is right, comes back when somebody changes it, and is written once.

    test/kubernetes/writer_test.py WEFT_CONTROL
"""
import base64
import json
import pathlib
import sys
import time

from cluster import Cluster, Failed, exit_code, expect
from control import NAMESPACE, Control, install_roles

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weft-waypoint}
spec: {controllerName: weft.dev/mesh-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 80}]
  rules: [{backendRefs: [{name: web, port: 80}, {name: nowhere, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: others, namespace: shop}
spec: {gatewayClassName: somebody-else, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: NAME, namespace: shop}
spec: {action: ALLOW, rules: [{to: [{operation: {ports: ["PORT"]}}]}]}
"""


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: away, namespace: shop}
spec: {hosts: [away.example], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}
"""


class Bench:
    def __init__(self, cluster, replicas):
        self.cluster, self.replicas = cluster, replicas

    def get(self, *words):
        return json.loads(self.cluster.kubectl("get", *words, "-o", "json").stdout)

    def condition(self, kind, name, of_type):
        """The condition, and whether it is about the object as it is now."""
        found = self.get(kind, name, "-n", "shop")
        for one in found.get("status", {}).get("conditions", []):
            if one["type"] == of_type:
                return {**one, "current": one.get("observedGeneration", 0) == found["metadata"].get("generation", 0)}
        return {}

    def expect_condition(self, kind, name, of_type, status, reason):
        def holds():
            one = self.condition(kind, name, of_type)
            return one and one["status"] == status and one["reason"] == reason and one["current"]
        try:
            self.cluster.until(holds, f"{kind} {name}: {of_type} {status} {reason}")
        except Failed as failed:
            raise Failed(f"{failed}: {self.get(kind, name, '-n', 'shop').get('status')}") from None

    def apply_policy(self, name, port):
        self.cluster.kubectl("apply", "-f", "-", input=POLICY.replace("NAME", name).replace("PORT", port))

    def writer(self):
        writers = [one for one in self.replicas if one.writes()]
        expect(len(writers) <= 1, "two replicas write")
        return writers[0] if writers else None

    def roots(self, ns, name="istio-ca-root-cert"):
        found = self.cluster.kubectl("get", "configmap", name, "-n", ns, "-o", "jsonpath={.data.root-cert\\.pem}",
                                     check=False)
        return found.stdout if found.returncode == 0 else ""


def replicas_agree(bench):
    for one in bench.replicas:
        bench.cluster.until(one.is_ready, "a replica")
    bench.cluster.until(bench.writer, "a writer")
    first, second = (one.json("/debug/ca") for one in bench.replicas)
    expect(first == second and first["state"] == "settled", f"the replicas have two roots: {first} {second}")


def status_says_what_is_in_force(bench):
    bench.cluster.kubectl("apply", "-f", "-", input=SHOP)
    bench.apply_policy("ports", "80")
    bench.expect_condition("authorizationpolicy", "ports", "ZtunnelAccepted", "True", "Accepted")
    bench.apply_policy("ports", "http")
    bench.expect_condition("authorizationpolicy", "ports", "ZtunnelAccepted", "False", "Invalid")
    bench.apply_policy("ports", "81")
    bench.expect_condition("authorizationpolicy", "ports", "ZtunnelAccepted", "True", "Accepted")
    bench.expect_condition("gatewayclass", "weft-waypoint", "Accepted", "True", "Accepted")
    bench.expect_condition("gateway", "waypoint", "Accepted", "True", "Accepted")
    bench.expect_condition("gateway", "waypoint", "Programmed", "False", "AddressNotAssigned")
    listeners = bench.get("gateway", "waypoint", "-n", "shop")["status"]["listeners"]
    expect([one["name"] for one in listeners] == ["mesh"], f"not its listeners: {listeners}")
    bench.expect_condition("service", "web", "istio.io/WaypointBound", "False", "WaypointIsNotReady")
    bench.cluster.kubectl("label", "service", "web", "-n", "shop", "istio.io/use-waypoint-")
    bench.cluster.until(lambda: not bench.condition("service", "web", "istio.io/WaypointBound"),
                        "a condition that is taken back")
    parents = []

    def has_parent():
        parents[:] = bench.get("httproute", "split", "-n", "shop").get("status", {}).get("parents", [])
        said = {one["type"]: one["reason"] for parent in parents for one in parent["conditions"]}
        return said == {"Accepted": "Accepted", "ResolvedRefs": "BackendNotFound", "ResolvedWaypoints": "WaypointMissing"}
    bench.cluster.until(has_parent, "the status of a route")
    expect(len(parents) == 1 and parents[0]["controllerName"] == "weft.dev/gateway-controller", f"not ours: {parents}")
    others = bench.get("gateway", "others", "-n", "shop")["status"]["conditions"]
    expect(all(one["reason"] == "Pending" for one in others), f"somebody else's Gateway was written to: {others}")


def hosts_get_addresses(bench):
    bench.cluster.kubectl("apply", "-f", "-", input=ENTRY)
    found = []

    def has_both():
        found[:] = [one["value"] for one in bench.get("serviceentry", "away", "-n", "shop").get("status", {}).get(
            "addresses", [])]
        return len(found) == 2
    bench.cluster.until(has_both, "the addresses of a ServiceEntry")
    expect(found[0].startswith("240.240.") and found[1].startswith("2001:2::"), f"not addresses of ours: {found}")
    for one in bench.replicas:
        bench.cluster.until(lambda one=one: found == [
            address["address"] for address in one.served("services").get("shop/away.example", {}).get("addresses", [])],
                            "a replica that serves the allocated addresses")


def a_version_is_the_same_everywhere(bench):
    """What `resourceVersion` says of an object, every replica says of what it serves."""
    bench.apply_policy("ports", "82")
    version = bench.get("authorizationpolicy", "ports", "-n", "shop")["metadata"]["resourceVersion"]
    page = "/debug/applied?kind=AuthorizationPolicy&namespace=shop&name=ports&resourceVersion="
    for one in bench.replicas:
        bench.cluster.until(lambda one=one: one.json(page + version)["known"], "a replica that knows the version")
        expect(not one.json(f"{page}{int(version) + 10**9}")["known"], "a version that is not there yet is known")
    token = json.loads(bench.cluster.kubectl("get", "secret", "weft-debug-token", "-n", NAMESPACE, "-o", "json").stdout)
    for one in bench.replicas:
        expect(one.get_with(base64.b64decode(token["data"]["token"]).decode(), "/debug/sync").startswith("{"),
               "a replica does not take the shared token")
        expect("bearer token" in one.get_with("wrong", "/debug/sync"), "any token is taken")


def nothing_is_written_twice(bench):
    writer = bench.writer()
    policy = bench.get("authorizationpolicy", "ports", "-n", "shop")  # changed last; its status may be under way

    def is_reported():
        status = bench.get("authorizationpolicy", "ports", "-n", "shop").get("status", {})
        return any(one.get("observedGeneration") == policy["metadata"]["generation"]
                   for one in status.get("conditions", []))

    def looks(count):
        plans = writer.metric("weft_control_plans_total")
        bench.cluster.until(lambda: writer.metric("weft_control_plans_total") >= plans + count, "further looks")

    bench.cluster.until(is_reported, "the status of what changed last")
    looks(1)
    written = [one.metric("weft_control_writes_total") for one in bench.replicas]
    looks(2)
    expect([one.metric("weft_control_writes_total") for one in bench.replicas] == written,
           "something is written although nothing has changed")
    idle = next(one for one in bench.replicas if one is not writer)
    expect(idle.metric("weft_control_writes_total") == 0, "the other replica writes too")


def does_not_quarrel(bench):
    """Whoever takes its condition away again and again sees it come back later each time."""
    came_back, end = 0, time.monotonic() + 8
    while time.monotonic() < end:
        if bench.condition("authorizationpolicy", "ports", "ZtunnelAccepted"):
            came_back += 1
            bench.cluster.kubectl("patch", "authorizationpolicy", "ports", "-n", "shop", "--subresource=status",
                                  "--type=merge", "-p", '{"status":{"conditions":[]}}')
    expect(2 <= came_back <= 6, f"in 8 seconds it came back {came_back} times")
    bench.expect_condition("authorizationpolicy", "ports", "ZtunnelAccepted", "True", "Accepted")


def leaves_what_a_newer_version_wrote(bench):
    """Two versions of weft-control side by side: a condition that this one does not know stays, and is no reason to
    write again."""
    bench.cluster.kubectl("patch", "authorizationpolicy", "ports", "-n", "shop", "--subresource=status", "--type=json", "-p",
                          json.dumps([{"op": "add", "path": "/status/conditions/-", "value": {
                              "type": "FutureAccepted", "status": "True", "reason": "Accepted", "message": "of a newer version",
                              "lastTransitionTime": "2026-01-01T00:00:00Z"}}]))
    nothing_is_written_twice(bench)
    for port, status, reason in (("http", "False", "Invalid"), ("81", "True", "Accepted")):
        bench.apply_policy("ports", port)
        bench.expect_condition("authorizationpolicy", "ports", "ZtunnelAccepted", status, reason)
        expect(bench.condition("authorizationpolicy", "ports", "FutureAccepted")["message"] == "of a newer version",
               "what this version does not know is gone")


def what_others_change_comes_back(bench):
    cluster = bench.cluster
    cluster.until(lambda: bench.roots("shop") != "", "the roots in a namespace")
    roots = bench.roots("shop")
    expect(roots == bench.roots("shop", "weft-ca-root-cert") and roots.startswith("-----BEGIN CERT"), "not the roots")
    cluster.kubectl("patch", "configmap", "istio-ca-root-cert", "-n", "shop", "--type=merge", "-p",
                    '{"data":{"root-cert.pem":"nonsense"}}')
    cluster.until(lambda: bench.roots("shop") == roots, "roots that were changed")
    cluster.kubectl("delete", "configmap", "istio-ca-root-cert", "-n", "shop")
    cluster.until(lambda: bench.roots("shop") == roots, "roots that were deleted")
    cluster.kubectl("create", "namespace", "later")
    cluster.until(lambda: bench.roots("later") == roots, "the roots in a new namespace")
    bench.cluster.kubectl("patch", "gateway", "waypoint", "-n", "shop", "--subresource=status", "--type=merge", "-p",
                          '{"status":{"conditions":[]}}')
    bench.expect_condition("gateway", "waypoint", "Programmed", "False", "AddressNotAssigned")
    # The root's Secret is put back as it was: nobody signs with a root that nobody else knows.
    cluster.kubectl("delete", "secret", "weft-ca", "-n", NAMESPACE)
    cluster.until(lambda: cluster.kubectl("get", "secret", "weft-ca", "-n", NAMESPACE, check=False).returncode == 0,
                  "the root's Secret")
    for one in bench.replicas:
        bench.cluster.until(lambda one=one: one.json("/debug/ca")["resourceVersion"] == bench.get(
            "secret", "weft-ca", "-n", NAMESPACE)["metadata"]["resourceVersion"], "the Secret that was put back")
    expect(bench.roots("later") == roots, "another root")


def the_other_goes_on(bench):
    writer = bench.writer()
    other = next(one for one in bench.replicas if one is not writer)
    served = other.served("policies")
    writer.kill()
    bench.replicas = [other]
    expect(other.is_ready() and other.served("policies") == served, "something was lost with a replica")
    bench.apply_policy("later", "80")
    bench.expect_condition("authorizationpolicy", "later", "ZtunnelAccepted", "True", "Accepted")
    expect(bench.writer() is other, "nobody writes")


def names_a_verb_that_is_withheld(bench):
    role = bench.get("clusterrole", f"weft-control-{NAMESPACE}")
    for rule in role["rules"]:
        if "authorizationpolicies/status" in rule["resources"]:
            rule["verbs"] = ["get"]
    bench.cluster.kubectl("replace", "-f", "-", input=json.dumps(role))
    bench.apply_policy("forbidden", "80")
    writer = bench.writer()
    bench.cluster.until(lambda: "patch authorizationpolicies.security.istio.io shop/forbidden: 403 Forbidden" in writer.log(),
                        "a refused write that is named")
    expect("403 Forbidden" in " ".join(writer.json("/debug/replica")["problems"]), "the debug page does not name it")
    expect(writer.metric("weft_control_writes_failed_total") < 5, "it is asked for again and again")


@exit_code
def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with Cluster() as cluster:
        kubeconfig = install_roles(cluster)
        with Control(program, kubeconfig, pod="weft-control-a") as one, \
                Control(program, kubeconfig, pod="weft-control-b") as two:
            bench = Bench(cluster, [one, two])
            replicas_agree(bench)
            status_says_what_is_in_force(bench)
            hosts_get_addresses(bench)
            a_version_is_the_same_everywhere(bench)
            nothing_is_written_twice(bench)
            leaves_what_a_newer_version_wrote(bench)
            does_not_quarrel(bench)
            what_others_change_comes_back(bench)
            the_other_goes_on(bench)
            names_a_verb_that_is_withheld(bench)


if __name__ == "__main__":
    sys.exit(main())
