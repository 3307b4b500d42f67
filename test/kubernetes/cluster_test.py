#!/usr/bin/env python3
"""The test cluster itself: it takes stock manifests, derives endpoints' objects, and leaves nothing."""
import json
import pathlib
import subprocess
import sys
import time

from cluster import SKIPPED, Cluster, Failed, Missing

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


def expect(condition, what):
    if not condition:
        raise Failed(what)


def test(cluster):
    cluster.kubectl("apply", "-f", "-", input=MANIFEST)

    def count(kind):
        found = cluster.kubectl("get", kind, "-l", "app=web" if kind == "pods" else "kubernetes.io/service-name=web",
                                "-o", "json")
        return len(json.loads(found.stdout)["items"])

    cluster.until(lambda: count("pods") == 2, "the Deployment's pods")
    cluster.until(lambda: count("endpointslices") == 1, "the Service's EndpointSlice")
    refused = cluster.kubectl("apply", "-f", "-", input=MANIFEST.replace("action: DENY", "action: PERHAPS"), check=False)
    expect(refused.returncode != 0 and "PERHAPS" in refused.stderr, "a policy that its CRD forbids is taken")


def main():
    began = time.monotonic()
    try:
        with Cluster() as cluster:
            print(f"ready after {time.monotonic() - began:.1f} s", flush=True)
            folder = cluster.folder
            test(cluster)
    except Missing as missing:
        print(missing)
        return SKIPPED
    except Failed as failed:
        print(f"FAIL  {failed}")
        return 1
    left = subprocess.run(["pgrep", "-af", str(folder)], capture_output=True, text=True, check=False).stdout
    if left or pathlib.Path(folder).exists():
        print(f"FAIL  left behind: {left or folder}")
        return 1
    print(f"ok    ({time.monotonic() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
