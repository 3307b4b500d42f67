#!/usr/bin/env python3
"""The subcommands of weft that ask a cluster, on a real API server without nodes: check, waypoint, analyze,
describe, authz, status, bug-report.

usage: cli_test.py WEFT
"""
import json
import pathlib
import sys
import tarfile

import yaml

from cluster import Cluster, expect, run_tests
from faults import Faults

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

# Every fault that weft analyze looks for, each once; the object says which.
FAULTS = """
apiVersion: v1
kind: Namespace
metadata: {name: faults, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: edge}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-effect-001, namespace: faults}
spec: {selector: {matchLabels: {app: web}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: absent-waypoint-002, namespace: faults, labels: {istio.io/use-waypoint: gone}}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: unready-waypoint-003, namespace: faults, labels: {istio.io/use-waypoint: way}}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: faults}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: edge}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata:
  name: not-admitted-004
  namespace: faults
  labels: {istio.io/use-waypoint: way, istio.io/use-waypoint-namespace: edge}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: pods, namespace: faults, labels: {istio.io/waypoint-for: workload}}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: other-traffic-005, namespace: faults, labels: {istio.io/use-waypoint: pods}}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: port-name-006, namespace: faults}
spec: {selector: {app: web}, ports: [{name: htp, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: no-pods-007, namespace: faults}
spec: {selector: {app: nobody}, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a-008, namespace: faults}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: b-008, namespace: faults}
spec: {mtls: {mode: PERMISSIVE}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: no-backend-009, namespace: faults}
spec:
  parentRefs: [{group: "", kind: Service, name: unready-waypoint-003}]
  rules: [{backendRefs: [{name: gone, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: no-grant-010, namespace: edge}
spec:
  parentRefs: [{group: "", kind: Service, name: unready-waypoint-003, namespace: faults}]
  rules: [{backendRefs: [{name: unready-waypoint-003, namespace: faults, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: no-endpoints-011, namespace: faults}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host-network-012, namespace: faults, labels: {istio.io/dataplane-mode: ambient}}
spec: {hostNetwork: true, containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: faults, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
---
# What its CRD allows, and nobody can honour.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: unread-013, namespace: faults}
spec: {rules: [{to: [{operation: {ports: [http]}}]}]}
"""

# Nothing can be made of these.
UNREAD = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: unread, namespace: faults}
spec: {action: MAYBE}
---
apiVersion: v1
kind: Service
metadata: {name: unread, namespace: faults}
spec: {ports: [{name: http, port: many}]}
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


def test_check_names_a_server_that_is_too_old(cluster):
    with Faults(cluster) as faults:
        kubeconfig = cluster.config_with_url("old", faults.url)
        faults.answer_from_an_old_cache("^GET /version$")
        for minor, is_old in (("27", True), ("27+", True), ("28", False), ("35", False)):
            said = {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.9"}
            faults.remembered["/version"] = json.dumps(said).encode()
            done = cluster.run("env", f"KUBECONFIG={kubeconfig}", WEFT, "check", "-o", "json", check=False)
            (line,) = [one for one in json.loads(done.stdout) if one["what"] == f"Kubernetes v1.{minor}.9"]
            wanted = ("WRONG", "too old", "1.28 or newer") if is_old else ("ok", "", "")
            expect((line["health"], line["why"], line["fix"]) == wanted, f"1.{minor}: {line}")
            expect(done.returncode == 5 if is_old else "too old" not in done.stdout, f"1.{minor}: exit {done.returncode}")


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
    weft(cluster, "waypoint", "status", "-n", "shop", "-w", "--waypoint-timeout", "500ms", code=3)
    at_once = weft(cluster, "waypoint", "status", "-n", "shop", "--wait=false").splitlines()
    expect([line.split() for line in at_once] == [["NAME", "STATUS", "TYPE", "REASON", "MESSAGE"],
           ["other", "Unknown", "Programmed", *at_once[1].split()[3:]],
           ["way", "Unknown", "Programmed", *at_once[2].split()[3:]]], at_once)
    # A namespace keeps the waypoint that it uses, unless that is said to be replaced.
    enroll = ["waypoint", "apply", "-n", "shop", "--name", "next", "--enroll-namespace"]
    weft(cluster, *enroll, code=1)
    expect('"istio.io/use-waypoint: next"' in weft(cluster, *enroll, "--overwrite"), "--overwrite")
    weft(cluster, "waypoint", "delete", "-n", "shop", "next", "--all", code=1)
    expect(weft(cluster, "waypoint", "delete", "-n", "shop", "next") == "waypoint shop/next deleted\n", "by name")
    weft(cluster, "waypoint", "delete", "-n", "shop", "next", code=1)
    weft(cluster, "waypoint", "delete", "-n", "shop", code=1)
    cluster.kubectl("label", "namespace", "shop", "istio.io/use-waypoint=way", "--overwrite")
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
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        pod = read(weft(cluster, "describe", "pod", "web-0", "-n", "shop", "-o", output))
        expect(pod["inMesh"].startswith("yes") and pod["services"] == ["web"]
               and pod["policies"][0]["name"] == "web.shop", pod)
        service = read(weft(cluster, "describe", "service", "web", "-n", "shop", "-o", output))
        expect("WEFT002" in [one["code"] for one in service["findings"]], service)
        policies = read(weft(cluster, "authz", "check", "web-0", "-n", "shop", "-o", output))
        expect(policies[0]["action"] == "ALLOW" and policies[0]["rules"] == ["to methods GET"], policies)
    expect("shop       1 of 1" in weft(cluster, "status"), weft(cluster, "status"))


def test_every_fault_is_found(cluster):
    """In files before they are applied, and on the cluster; with a fix for each. What files cannot know, whether
    pods are ready, only there."""
    def found(*words, **options):
        list_ = json.loads(weft(cluster, "analyze", "-o", "json", *words, code=5, **options))
        expect(all(one["fix"] for one in list_), f"a finding without a fix: {list_}")
        return {f"{one['code'][4:]} {one['object'].rsplit('/', 1)[1]}" for one in list_
                if " faults/" in one["object"] or " edge/" in one["object"]}
    expected = {f"{name[-3:]} {name}" for name in (
        "no-effect-001", "absent-waypoint-002", "unready-waypoint-003", "not-admitted-004", "other-traffic-005",
        "port-name-006", "no-pods-007", "b-008", "no-backend-009", "no-grant-010", "no-endpoints-011",
        "host-network-012", "unread-013")}
    files = found("-", input=FAULTS)
    expect(expected - files == {"003 unready-waypoint-003"}, f"not in files: {expected - files}; {files}")
    unread = json.loads(weft(cluster, "analyze", "-", "-o", "json", input=UNREAD, code=5))
    expect({(one["code"], one["object"], bool(one["fix"])) for one in unread} ==
           {("WEFT013", "AuthorizationPolicy faults/unread", True), ("WEFT013", "Service faults/unread", True)}, unread)
    cluster.kubectl("apply", "-f", "-", input=FAULTS)
    there = found("-A")
    expect(expected <= there, f"not on the cluster: {expected - there}; {there}")
    # No pod is ready on a cluster without nodes, so every Service lacks endpoints, and nothing else is said.
    extra = {one for one in there - expected if not one.startswith("011 ")}
    expect(not extra, f"said beside that: {extra}")


def test_completion_in_a_shell(cluster):
    def offered(*words):
        script = (f"source <({WEFT} completion bash); COMP_WORDS=(weft {' '.join(words)}); COMP_CWORD={len(words)}; _weft; "
                  "echo ${COMPREPLY[@]}")
        return cluster.run("bash", "-c", script).stdout.split()
    expect(offered("way") == ["waypoint"] and offered("waypoint", "ap") == ["apply"], f"{offered('way')}")
    expect(offered("waypoint", "apply", "--enr") == ["--enroll-namespace"], offered("waypoint", "apply", "--enr"))
    expect("proxy-status" in offered("proxy-") and not offered("nothing-like-it"), offered("proxy-"))


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
    sys.exit(run_tests([test_check_before_an_installation, test_check_names_a_server_that_is_too_old,
                        test_check_names_a_missing_verb, test_waypoints,
                        test_analyze_and_describe, test_every_fault_is_found,
                        test_completion_in_a_shell, test_bug_report_has_no_secrets], Cluster))
