#!/usr/bin/env python3
"""A waypoint's Gateway on a real API server: its parts are made, put back when somebody changes them, changed by
parameters, written once, and gone with it.

    test/kubernetes/waypoints_test.py WEFT_CONTROL
"""
import json
import pathlib
import sys

from cluster import Cluster, Failed, exit_code, expect
from control import Control, install_roles

GATEWAY = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"""
PARAMETERS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: parameters, namespace: shop}
data:
  deployment: |
    spec: {template: {spec: {nodeSelector: {disk: DISK}}}}
  horizontalPodAutoscaler: |
    spec: {minReplicas: 2, maxReplicas: 4}
"""
KINDS = ("serviceaccount", "service", "deployment", "horizontalpodautoscaler", "poddisruptionbudget")


class Bench:
    def __init__(self, cluster, control):
        self.cluster, self.control = cluster, control

    def get(self, kind, name="waypoint"):
        found = self.cluster.kubectl("get", kind, name, "-n", "shop", "-o", "json", check=False)
        return json.loads(found.stdout) if found.returncode == 0 else None

    def change(self, kind, patch, name="waypoint"):
        self.cluster.kubectl("patch", kind, name, "-n", "shop", "--type=merge", "-p", json.dumps(patch))

    def until(self, find, what):
        try:
            self.cluster.until(find, what)
        except Failed as failed:
            raise Failed(f"{failed}: {self.control.json('/debug/replica').get('problems')}") from None

    def pod(self):
        return self.get("deployment")["spec"]["template"]["spec"]


def makes_the_parts(bench):
    bench.cluster.kubectl("apply", "-f", "-", input=GATEWAY)
    for kind in KINDS:
        bench.until(lambda kind=kind: bench.get(kind), f"the {kind}")
    uid = bench.get("gateway")["metadata"]["uid"]
    for kind in KINDS:
        owners = bench.get(kind)["metadata"]["ownerReferences"]
        expect([one["uid"] for one in owners] == [uid], f"{kind}: not its Gateway's: {owners}")
    expect(bench.get("service")["spec"]["clusterIP"], "the Service has no address")
    bench.until(lambda: bench.get("gatewayclass", "istio-waypoint"), "the class for stock manifests")


def nothing_is_written_twice(bench):
    control = bench.control

    def rests():
        written, plans = control.metric("weft_control_writes_total"), control.metric("weft_control_plans_total")
        bench.until(lambda: control.metric("weft_control_plans_total") >= plans + 3, "three more looks")
        return control.metric("weft_control_writes_total") == written
    # the first looks may still be followed by statuses
    expect(rests() or rests(), "something is written although nothing has changed")


def what_others_change_comes_back(bench):
    image = bench.pod()["containers"][0]["image"]
    bench.change("deployment", {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}})
    bench.until(lambda: bench.pod()["serviceAccountName"] == "waypoint", "a Deployment that was changed")
    expect(bench.pod()["containers"][0]["image"] == image, "another image")
    bench.change("service", {"spec": {"selector": {"gateway.networking.k8s.io/gateway-name": "other"}}})
    bench.until(lambda: bench.get("service")["spec"]["selector"]["gateway.networking.k8s.io/gateway-name"] == "waypoint",
                "a Service that was changed")
    bench.cluster.kubectl("delete", "poddisruptionbudget", "waypoint", "-n", "shop")
    bench.until(lambda: bench.get("poddisruptionbudget"), "a PodDisruptionBudget that was deleted")
    # What is not ours stays.
    bench.change("deployment", {"metadata": {"labels": {"somebody": "else"}}})
    bench.change("gateway", {"spec": {"infrastructure": {"labels": {"team": "a"}}}})
    bench.until(lambda: bench.get("deployment")["metadata"]["labels"].get("team") == "a", "a label of the Gateway")
    expect(bench.get("deployment")["metadata"]["labels"].get("somebody") == "else", "somebody else's label is gone")


def parameters_change_a_part(bench):
    reference = {"group": "", "kind": "ConfigMap", "name": "parameters"}
    bench.change("gateway", {"spec": {"infrastructure": {"parametersRef": reference}}})
    bench.until(lambda: "there is no ConfigMap shop/parameters" in " ".join(bench.control.json("/debug/replica")["problems"]),
                "parameters that are missing are named")
    bench.cluster.kubectl("apply", "-f", "-", input=PARAMETERS.replace("DISK", "fast"))
    bench.until(lambda: bench.pod().get("nodeSelector") == {"disk": "fast"}, "parameters of the Deployment")
    bench.until(lambda: bench.get("horizontalpodautoscaler")["spec"]["maxReplicas"] == 4, "parameters of the autoscaler")
    bench.cluster.kubectl("apply", "-f", "-", input=PARAMETERS.replace("DISK", "slow"))
    bench.until(lambda: bench.pod().get("nodeSelector") == {"disk": "slow"}, "parameters that changed")


def what_is_somebody_elses_is_left_alone(bench):
    bench.cluster.kubectl("create", "service", "clusterip", "taken", "--tcp=80", "-n", "shop")
    bench.cluster.kubectl("apply", "-f", "-", input=GATEWAY.split("---")[1].replace("name: waypoint", "name: taken"))
    bench.until(lambda: "Gateway shop/taken" in " ".join(bench.control.json("/debug/replica")["problems"]), "it is named")
    expect(bench.get("service", "taken")["spec"]["ports"][0]["port"] == 80, "a Service was taken over")
    expect(bench.get("deployment", "taken") is None, "it was deployed")
    bench.cluster.kubectl("delete", "gateway", "taken", "-n", "shop")


def the_parts_go_with_the_gateway(bench):
    bench.cluster.kubectl("delete", "gateway", "waypoint", "-n", "shop")
    for kind in KINDS:
        bench.until(lambda kind=kind: bench.get(kind) is None, f"the {kind} is gone")


@exit_code
def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with Cluster() as cluster:
        with Control(program, install_roles(cluster)) as control:
            cluster.until(control.is_ready, "weft-control")
            cluster.until(control.writes, "the Lease")
            bench = Bench(cluster, control)
            for step in (makes_the_parts, nothing_is_written_twice, what_others_change_comes_back,
                         parameters_change_a_part, nothing_is_written_twice, what_is_somebody_elses_is_left_alone,
                         the_parts_go_with_the_gateway):
                step(bench)


if __name__ == "__main__":
    sys.exit(main())
