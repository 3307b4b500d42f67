#!/usr/bin/env python3
"""The test cluster itself: it takes stock manifests, derives endpoints' objects, and leaves nothing."""
import json
import sys

from cluster import Cluster, expect, run_tests

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {action: DENY, rules: [{to: [{operation: {ports: ["81"]}}]}]}
"""


def test_takes_stock_manifests(cluster):
    cluster.kubectl("apply", "-f", "-", input=MANIFEST)

    def count(kind):
        found = cluster.kubectl("get", kind, "-l", "app=web" if kind == "pods" else "kubernetes.io/service-name=web",
                                "-o", "json")
        return len(json.loads(found.stdout)["items"])

    cluster.until(lambda: count("pods") == 2, "the Deployment's pods")
    cluster.until(lambda: count("endpointslices") == 1, "the Service's EndpointSlice")
    refused = cluster.kubectl("apply", "-f", "-", input=MANIFEST.replace("action: DENY", "action: PERHAPS"), check=False)
    expect(refused.returncode != 0 and "PERHAPS" in refused.stderr, "a policy that its CRD forbids is taken")


if __name__ == "__main__":
    sys.exit(run_tests([test_takes_stock_manifests], Cluster))
