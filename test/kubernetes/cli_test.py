#!/usr/bin/env python3
"""The subcommands of weft that ask a cluster, on a real API server without nodes: check, waypoint, analyze,
describe, authz, status, bug-report.

usage: cli_test.py WEFT
"""
import json
import pathlib
import sys
import tarfile

from cluster import Cluster, expect, run_tests

WEFT = ""
SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
"""


def weft(cluster, *words, code=0, **options):
    done = cluster.run(WEFT, *words, check=False, **options)
    expect(done.returncode == code, f"weft {' '.join(map(str, words))}: exit {done.returncode}, not {code}: "
                                    f"{done.stdout}{done.stderr}")
    return done.stdout


def test_check_before_an_installation(cluster):
    text = weft(cluster, "check")
    expect("ok       Kubernetes v1." in text and "ok       every kind that Weft reads is served" in text
           and "this cluster is fit for Weft: weft install" in text, text)
    cluster.kubectl("create", "namespace", "weft-system")
    cluster.kubectl("label", "namespace", "weft-system", "pod-security.kubernetes.io/enforce=restricted")
    text = weft(cluster, "check", code=5)
    expect("fix: kubectl label namespace weft-system pod-security.kubernetes.io/enforce=privileged" in text, text)
    cluster.kubectl("delete", "namespace", "weft-system")


def test_check_names_a_missing_verb(cluster):
    weft(cluster, "install", "--no-wait")
    found = json.loads(weft(cluster, "check", "-o", "json", code=5))
    expect("weft-control and weft-agent may do all that they must" in [one["what"] for one in found], found)
    role = json.loads(cluster.kubectl("get", "clusterrole", "weft-control-weft-system", "-o", "json").stdout)
    for rule in role["rules"]:
        if rule["resources"] == ["tokenreviews"]:
            role["rules"].remove(rule)
    cluster.kubectl("replace", "-f", "-", input=json.dumps(role))
    text = weft(cluster, "check", code=5)
    expect("WRONG    weft-control may not create tokenreviews.authentication.k8s.io: it needs that for: who asks" in text,
           text)
    expect(all(one["fix"] for one in found if one["health"] != "ok"), "a fault without a fix")


def test_waypoints(cluster):
    cluster.kubectl("apply", "-f", "-", input=SHOP)
    made = weft(cluster, "waypoint", "apply", "-n", "shop", "--name", "way", "--for", "all", "--enroll-namespace")
    expect(made == '✅ waypoint shop/way applied\n✅ namespace shop labeled with "istio.io/use-waypoint: way"\n', made)
    generated = weft(cluster, "waypoint", "generate", "-n", "shop", "--name", "other", "-r", "r1")
    cluster.kubectl("apply", "-f", "-", input=generated)
    lines = weft(cluster, "waypoint", "list", "-n", "shop").splitlines()
    expect([line.split() for line in lines] == [["NAME", "REVISION", "TRAFFIC", "TYPE", "PROGRAMMED"],
           ["other", "r1", "service", "Unknown"], ["way", "default", "all", "Unknown"]], lines)
    expect(weft(cluster, "waypoint", "list", "-A").startswith("NAMESPACE"), "-A")
    weft(cluster, "waypoint", "status", "-n", "shop", "--waypoint-timeout", "500ms", code=3)
    weft(cluster, "waypoint", "apply", "-n", "shop", "--name", "none", code=1)
    expect(weft(cluster, "waypoint", "delete", "-n", "shop", "-r", "r1") == "waypoint shop/other deleted\n", "by revision")
    expect(weft(cluster, "waypoint", "delete", "-n", "shop", "--all") == "waypoint shop/way deleted\n", "all")
    expect(weft(cluster, "waypoint", "list", "-n", "shop") == "No waypoints found.\n", "none")


def test_analyze_and_describe(cluster):
    codes = {(one["code"], one["object"]) for one in json.loads(weft(cluster, "analyze", "-n", "shop", "-o", "json", code=5))}
    expect(codes == {("WEFT002", "Service shop/web"), ("WEFT001", "AuthorizationPolicy shop/web"),
                     ("WEFT011", "Service shop/web")}, codes)
    route = ("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: shop}\nspec: "
             "{parentRefs: [{group: '', kind: Service, name: web}], rules: [{backendRefs: [{name: gone, port: 80}]}]}\n")
    text = weft(cluster, "analyze", "-", "--with-cluster", input=route, code=5)
    expect("-:1: error [WEFT009] HTTPRoute shop/r: there is no Service shop/gone" in text, text)
    expect("In the mesh       yes, by its namespace's label" in weft(cluster, "describe", "pod", "web-0", "-n", "shop"), "pod")
    expect("WEFT002" in weft(cluster, "describe", "service", "web", "-n", "shop"), "service")
    expect("ALLOW   web.shop" in weft(cluster, "authz", "check", "web-0", "-n", "shop"), "authz")
    weft(cluster, "describe", "pod", "gone", "-n", "shop", code=1)
    expect("shop       1 of 1" in weft(cluster, "status"), weft(cluster, "status"))


def test_bug_report_has_no_secrets(cluster):
    cluster.kubectl("create", "secret", "generic", "-n", "weft-system", "s", "--from-literal=k=very-secret-value")
    path = cluster.folder / "report.tar"
    weft(cluster, "bug-report", "-f", path)
    weft(cluster, "bug-report", "-f", path, code=1)  # never over what is there
    with tarfile.open(path) as tar:
        names = tar.getnames()
        text = b"".join(tar.extractfile(name).read() for name in names)
    expect({"version.txt", "nodes.json", "weft/deployments.json", "mesh/authorizationpolicies.json", "check.txt",
            "analyze.txt"} <= set(names), names)
    expect(b"very-secret-value" not in text and b"dmVyeS1zZWNyZXQtdmFsdWU" not in text, "a secret is in it")


if __name__ == "__main__":
    WEFT = pathlib.Path(sys.argv[1]).resolve()
    sys.exit(run_tests([test_check_before_an_installation, test_check_names_a_missing_verb, test_waypoints,
                        test_analyze_and_describe, test_bug_report_has_no_secrets], Cluster))
