#!/usr/bin/env python3
"""weft-control on a real API server: what is applied is served, a server that dies takes nothing with
it, a verb that RBAC withholds is named, a CRD that comes late is picked up.

    test/kubernetes/control_test.py WEFT_CONTROL
"""
import json
import pathlib
import sys

from cluster import Cluster, exit_code, expect
from control import NAMESPACE, Control

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, nodeName: node-1, containers: [{name: web, image: web}]}
"""
RUNNING = {"status": {"phase": "Running", "podIP": "10.244.1.5", "podIPs": [{"ip": "10.244.1.5"}],
                      "conditions": [{"type": "Ready", "status": "True"}]}}
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: policy, namespace: shop}
spec: {action: ALLOW, rules: [{to: [{operation: {ports: ["PORT"]}}]}]}
"""
READER = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: ["", discovery.k8s.io, security.istio.io, telemetry.istio.io, networking.istio.io, gateway.networking.k8s.io],
   resources: [RESOURCES], verbs: [list, watch]}
- {apiGroups: ["", coordination.k8s.io], resources: [secrets, configmaps, leases],
   verbs: [get, list, watch, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: default}]
"""


def serves_what_is_applied(cluster, control):
    cluster.until(control.is_ready, "weft-control")
    cluster.kubectl("apply", "-f", "-", input=SHOP)
    cluster.kubectl("patch", "pod", "web-0", "-n", "shop", "--subresource=status", "--type=merge", "-p",
                    json.dumps(RUNNING))
    name = "Kubernetes//Pod/shop/web-0"
    cluster.until(lambda: name in control.served("workloads"), "the pod's workload")
    workload = control.served("workloads")[name]
    expect(workload["addresses"] == ["10.244.1.5"] and workload["serviceAccount"] == "web"
           and workload["services"]["shop/web.shop.svc.cluster.local"]["ports"][0]["targetPort"] == 8080,
           f"the workload is not what was applied: {workload}")
    # What the CRD allows and nobody can honour: closed when it never was good, else as it was.
    cluster.kubectl("apply", "-f", "-", input=POLICY.replace("PORT", "http"))
    cluster.until(lambda: control.served("policies").get("shop/policy", {}).get("action") == "DENY",
                  "a policy that never was good closes")
    expect("is not a port" in control.get("/debug/problems"), "a policy that cannot be honoured is not said")
    cluster.kubectl("apply", "-f", "-", input=POLICY.replace("PORT", "80"))
    cluster.until(lambda: "is not a port" not in control.get("/debug/problems"), "the mended policy")
    good = control.served("policies")
    expect(good["shop/policy"].get("action") != "DENY", "a mended policy still denies")
    cluster.kubectl("apply", "-f", "-", input=POLICY.replace("PORT", "http"))
    cluster.until(lambda: "is not a port" in control.get("/debug/problems"), "the broken policy")
    expect(control.served("policies") == good, "the last good version did not stay")


MESH_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": NAMESPACE}}
GUARD = "extensionProviders: [{name: guard, envoyExtAuthzHttp: {service: guard.shop.svc.cluster.local, port: 80}}]"
CUSTOM = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}], action: CUSTOM,
       provider: {name: guard}, rules: [{}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"""


def mesh_config(cluster, text):
    cluster.kubectl("apply", "-f", "-", input=json.dumps(MESH_MAP | {"data": {"mesh": text}}))


def asks_whom(cluster):
    """The policy's status: accepted, or that nobody knows its provider."""
    policy = json.loads(cluster.kubectl("get", "authorizationpolicy", "ask", "-n", "shop", "-o", "json").stdout)
    for one in policy.get("status", {}).get("conditions", []):
        if one["type"] == "WaypointAccepted":
            return one["status"]
    return None


def follows_the_mesh_configuration(cluster, program):
    """A changed ConfigMap counts at once and is a version of its own; one that cannot be read, or is read by nobody,
    changes nothing; one that never was good here lets nobody in."""
    cluster.kubectl("apply", "-f", "-", input=CUSTOM)
    with Control(program, cluster.kubeconfig, "--mesh-config-map", "istio") as control:
        cluster.until(control.is_ready, "weft-control without a mesh configuration")
        cluster.until(lambda: asks_whom(cluster) == "False", "a provider that nobody knows")
        before = control.metric("weft_control_snapshot_version")
        mesh_config(cluster, GUARD)
        cluster.until(lambda: asks_whom(cluster) == "True", "a provider that came while control ran")
        expect(control.metric("weft_control_snapshot_version") > before, "another configuration is no other version")
        mesh_config(cluster, "extensionProviders: text")
        cluster.until(lambda: (control.metric("weft_control_mesh_config_errors") or 0) > 0,
                      "a metric that says what is wrong")
        problems = control.get("/debug/problems")
        expect(f"ConfigMap {NAMESPACE}/istio" in problems and "what was good before stays in force" in problems, problems)
        expect(f"ConfigMap {NAMESPACE}/istio" in control.log(), "the log does not say what is wrong")
        expect(asks_whom(cluster) == "True", "the last good mesh configuration did not stay")
        with Control(program, cluster.kubeconfig, "--mesh-config-map", "istio", pod="weft-control-1") as newer:
            cluster.until(newer.is_ready, "weft-control that begins with a broken mesh configuration")
            expect("never good here" in newer.get("/debug/problems"), newer.get("/debug/problems"))
        mesh_config(cluster, "{}")
        cluster.until(lambda: asks_whom(cluster) == "False", "a provider that left")
        expect(control.metric("weft_control_mesh_config_errors") == 0, "a mended configuration is still wrong")
        mesh_config(cluster, GUARD)
        cluster.until(lambda: asks_whom(cluster) == "True", "the provider again")
        cluster.kubectl("delete", "configmap", "istio", "-n", NAMESPACE)
        cluster.until(lambda: asks_whom(cluster) == "False", "nobody is known without the ConfigMap")


def status_message(cluster):
    policy = json.loads(cluster.kubectl("get", "authorizationpolicy", "policy", "-n", "shop", "-o", "json").stdout)
    return "".join(one["message"] for one in policy.get("status", {}).get("conditions", [])
                   if one["observedGeneration"] == policy["metadata"]["generation"])


def restarts_closed(cluster, program):
    """What was good of an object is known to nobody after a restart: what an object that cannot be read meant to close
    is closed, and its status says so."""
    with Control(program, cluster.kubeconfig, pod="weft-control-1") as control:
        cluster.until(control.is_ready, "weft-control after a restart")
        closed = control.served("policies").get("shop/policy", {})
        expect(closed.get("action") == "DENY", f"a policy is forgotten: {closed}")
        cluster.until(lambda: "never good here: all that it selects is denied" in status_message(cluster),
                      "a status that says that it is closed")
        cluster.kubectl("apply", "-f", "-", input=POLICY.replace("PORT", "80"))
        cluster.until(lambda: control.served("policies").get("shop/policy", {}).get("action") != "DENY", "the mended policy")


TOKENS = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}],
       jwtRules: [{audiences: [of-no-issuer]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside, namespace: shop}
spec: {host: outside.example, trafficPolicy: {tls: {mode: SIMPLE}, proxyProtocol: {version: V1}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine, namespace: shop}
spec: {address: 192.0.2.7, weight: 4294967295}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hosts, namespace: shop}
spec: {hosts: [hosts.example, no/host.example], addresses: [192.0.2.8], resolution: STATIC, ports: [{number: 80, name: http}]}
"""


def says_what_stands_for_it(cluster, program):
    """What checks tokens, asks for TLS or says where others are, and cannot be read by a control that has just begun: it
    closes, and says so."""
    def message(kind, name):
        status = json.loads(cluster.kubectl("get", kind, name, "-n", "shop", "-o", "json").stdout).get("status", {})
        return "".join(one["message"] for one in status.get("conditions", []))

    cluster.kubectl("apply", "-f", "-", input=TOKENS)
    with Control(program, cluster.kubeconfig) as control:
        cluster.until(control.is_ready, "weft-control")
        cluster.until(lambda: "HTTP to what it is for is denied" in message("requestauthentication", "tokens"), "tokens")
        cluster.until(lambda: "do not call its host" in message("destinationrule", "outside"), "the rule")
        cluster.until(lambda: "to its address are refused" in message("workloadentry", "machine"), "the machine")
        cluster.until(lambda: "hosts and addresses are refused" in message("serviceentry", "hosts"), "the hosts")
        expect(control.served("workloads").get("Kubernetes/networking.istio.io/WorkloadEntry/shop/machine"), "the machine's address is unknown")
    cluster.kubectl("delete", "-f", "-", input=TOKENS)


def outlives_the_api_server(cluster, control):
    before = control.served("workloads")
    cluster.kill_api_server()
    expect(control.is_ready() and control.served("workloads") == before, "it was lost with the API server")
    cluster.restart_api_server()
    expect(control.served("workloads") == before, "a server that came back empty-handed was believed")
    cluster.kubectl("delete", "pod", "web-0", "-n", "shop", "--force", "--grace-period=0")
    cluster.until(lambda: not control.served("workloads"), "news after the API server came back")


def names_a_verb_that_is_withheld(cluster, program):
    resources = ["namespaces", "nodes", "pods", "services", "serviceaccounts", "endpointslices", "'*'"]
    # '*' last: once without it, every kind of the CRDs is withheld.
    role = READER.replace("RESOURCES", ", ".join(resources[:-1]))
    cluster.kubectl("apply", "-f", "-", input=role)
    kubeconfig = cluster.config_with_token("reader", cluster.kubectl("create", "token", "reader").stdout.strip())
    with Control(program, kubeconfig) as control:
        cluster.until(lambda: "403 Forbidden" in control.get("/ready"), "a refusal that is named")
        cluster.until(lambda: "authorizationpolicies.security.istio.io is forbidden" in control.log(),
                      "a line of the log that names the kind")
        expect(not control.served("workloads"), "something is served before everything is known")
        cluster.kubectl("apply", "-f", "-", input=READER.replace("RESOURCES", resources[-1]))
        cluster.until(control.is_ready, "weft-control with the verb")


def picks_up_a_late_crd(program):
    with Cluster(crds=False) as cluster, Control(program, cluster.kubeconfig) as control:
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.until(control.is_ready, "weft-control without CRDs")
        cluster.kubectl("apply", "--server-side", "-f", cluster.programs / "crds" / "istio")
        cluster.wait_for_crds()
        cluster.kubectl("create", "namespace", "shop")
        cluster.kubectl("apply", "-f", "-", input=POLICY.replace("PORT", "80"))
        cluster.until(lambda: "shop/policy" in control.served("policies"), "a policy of a late CRD")


@exit_code
def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with Cluster() as cluster:
        cluster.kubectl("create", "namespace", NAMESPACE)
        with Control(program, cluster.kubeconfig) as control:
            serves_what_is_applied(cluster, control)
            outlives_the_api_server(cluster, control)
        restarts_closed(cluster, program)
        follows_the_mesh_configuration(cluster, program)
        says_what_stands_for_it(cluster, program)
        names_a_verb_that_is_withheld(cluster, program)
    picks_up_a_late_crd(program)


if __name__ == "__main__":
    sys.exit(main())
