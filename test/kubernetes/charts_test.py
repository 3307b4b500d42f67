#!/usr/bin/env python3
"""The charts: helm lint, every kind they can make against the schemas of a real API server (kubeconform
-strict) and its own validation, and values that must be refused."""
import json
import subprocess
import sys

import yaml

from cluster import ROOT, Cluster, expect, run_tests
from schemas import locations, write_schemas

CHARTS = ROOT / "charts"
# Together they make every object that the charts can make.
VARIANTS = {
    "weft": [[], ["podMonitor.enabled=true", "podMonitor.labels.team=mesh", "control.istiodAlias=true",
                  "image.pullSecrets[0]=key", "image.tag=v9", "ztunnel.extraEnv.A=b", "control.serverNames[0]=mesh.example",
                  "control.nodeSelector.disk=fast", "control.tolerations[0].operator=Exists",
                  "control.extraArgs[0]=--log-level=debug", "mesh.config.extensionProviders[0].name=a"],
             ["seccomp.profile=unconfined", "networkPolicy.enabled=false", "mesh.configMap=istio",
              "mesh.istioRootMap=false", "waypoint.envoyImage=r/envoy:v1@sha256:0"]],
    "waypoint": [[], ["name=w", "for=all", "revision=r1", "labels.a=b", "annotations.c=d", "allowedNamespaces=Selector",
                      "namespaceSelector.matchLabels.x=y", "parameters.deployment.spec.replicas=2"],
                 ["proxy=envoy"]],
}
# What a value must not be: nothing is made of a slip of the pen.
REFUSED = {
    "weft": ["control.replicsa=2", "control.replicas=0", "mesh.unknownDestinations=allow", "seccomp.profile=none",
             "image.registry=", "image.registry=Docker.io/x y", "ztunnel.workers=many", "mesh.trustDomain=a/b",
             "mesh.configMap=A", "mesh.config=text", "mesh.istioRootMap=no-thanks", "mesh.config.a=b,mesh.configMap=istio",
             "waypoint.image=x", "waypoint.envoyImage="],
    "waypoint": ["for=everything", "name=none", "name=A", "size=3", "parameters.role=x", "proxy=nginx"],
}
KINDS = {"ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "Deployment", "Gateway", "NetworkPolicy",
         "PodDisruptionBudget", "PodMonitor", "Role", "RoleBinding", "Service", "ServiceAccount"}


def helm(cluster, *words, check=True):
    return cluster.run(cluster.programs / "bin/helm", *words, check=check)


def sets(values):
    return [word for value in values for word in ("--set", value)]


def rendered(cluster):
    """(chart, values, manifests) of each variant."""
    for chart, variants in VARIANTS.items():
        for values in variants:
            yield chart, values, helm(cluster, "template", "it", CHARTS / chart, "-n", "mesh", *sets(values)).stdout


def test_lint(cluster):
    for chart in VARIANTS:
        helm(cluster, "lint", "--strict", CHARTS / chart)


def test_every_kind_conforms(cluster):
    folder = cluster.folder / "schemas"
    write_schemas(cluster, folder)
    kinds = set()

    def conforms(manifests):
        return subprocess.run([cluster.programs / "bin/kubeconform", "-strict", "-summary", *locations(folder), "-"],
                              input=manifests, capture_output=True, text=True, check=False)
    for chart, values, manifests in rendered(cluster):
        done = conforms(manifests)
        expect(done.returncode == 0 and "Skipped: 0" in done.stdout, f"{chart} {values}: {done.stdout}{done.stderr}")
        kinds |= {one["kind"] for one in yaml.safe_load_all(manifests) if one}
    expect(kinds == KINDS, f"kinds that the test does not expect, or that no variant makes: {kinds ^ KINDS}")
    # The check can fail: a field that is not there, and one of the wrong type.
    good = next(rendered(cluster))[2]
    for was, is_ in (("maxUnavailable: 1\n", "maxUnavailible: 1\n"), ("replicas: 2", "replicas: two")):
        expect(was in good and conforms(good.replace(was, is_)).returncode != 0, f"not refused: {is_.strip()}")


def test_the_server_takes_them(cluster):
    for namespace in ("mesh", "istio-system"):
        cluster.kubectl("create", "namespace", namespace)
    for chart, values, manifests in rendered(cluster):
        known = [one for one in yaml.safe_load_all(manifests) if one and one["kind"] != "PodMonitor"]
        done = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", check=False,
                               input=json.dumps({"apiVersion": "v1", "kind": "List", "items": known}))
        expect(done.returncode == 0, f"{chart} {values}: {done.stderr}")
        expect("Warning" not in done.stderr, f"{chart} {values}: {done.stderr}")


def test_bad_values_are_refused(cluster):
    for chart, values in REFUSED.items():
        for value in values:
            done = helm(cluster, "template", "it", CHARTS / chart, "-n", "mesh", "--set", value, check=False)
            expect(done.returncode != 0, f"{chart} takes {value}")


def test_every_verb_has_a_reason(cluster):
    text = helm(cluster, "template", "it", CHARTS / "weft", "-n", "mesh").stdout
    rules = sum(len(one.get("rules", [])) for one in yaml.safe_load_all(text) if one)
    lines = text.splitlines()
    reasons = sum(1 for above, line in zip(lines, lines[1:])
                  if line.startswith("- apiGroups:") and above.startswith("# ") and len(above) > 10)
    expect(rules == reasons > 10, f"{rules} rules, {reasons} with a reason")
    expect("*" not in [word for one in yaml.safe_load_all(text) if one for rule in one.get("rules", [])
                       for word in rule["verbs"] + rule["resources"] + rule["apiGroups"]], "a wildcard in a role")


if __name__ == "__main__":
    sys.exit(run_tests([test_lint, test_every_kind_conforms, test_the_server_takes_them, test_bad_values_are_refused,
                        test_every_verb_has_a_reason], Cluster))
