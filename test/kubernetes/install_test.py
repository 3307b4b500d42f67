#!/usr/bin/env python3
"""`weft install`, `upgrade` and `uninstall` on a real API server: the same objects as Helm's, a plan that
tells the truth, values that are kept, conflicts that are not passed over, nothing left.

usage: install_test.py WEFT
"""
import json
import pathlib
import sys

import yaml

from charts_test import VARIANTS, helm, sets
from cluster import ROOT, Cluster, expect, run_tests

WEFT = ""


def weft(cluster, *words, check=True):
    return cluster.run(WEFT, *words, check=check)


def install(cluster, command, *words, check=True):
    return weft(cluster, command, *([] if command == "uninstall" else ["--no-wait"]), *words, check=check)


def key(one):
    return one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]


def of_release(cluster):
    """Everything with the release's labels, by key."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
    found = cluster.kubectl("get", ",".join(kinds), "-A", "-l", "app.kubernetes.io/part-of=weft", "-o", "json").stdout
    return {key(one): one for one in json.loads(found)["items"] if one["kind"] not in (
        "Event", "Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints")}


def todo(plan):
    """What a plan would do, but for what it keeps."""
    rows = [line.split() for line in plan.splitlines()]
    return sorted(" ".join((row[0], row[1], row[-1])) for row in rows if row[0] in ("create", "change", "remove"))


def test_makes_what_helm_makes(cluster):
    for values in VARIANTS["weft"]:
        theirs = {key(one): one for one in yaml.safe_load_all(
            helm(cluster, "template", "weft", ROOT / "charts/weft", "-n", "weft-system", *sets(values)).stdout) if one}
        text = weft(cluster, "install", "--dry-run", "-o", "json", *sets(values)).stdout
        ours = {key(one): one for one in json.loads(text.replace(
            '"app.kubernetes.io/managed-by": "weft"', '"app.kubernetes.io/managed-by": "Helm"'))["items"]}
        extra = {("Namespace", None, "weft-system"), ("ConfigMap", "weft-system", "weft-release")}
        expect(set(ours) ^ set(theirs) == extra, f"{values}: {set(ours) ^ set(theirs)}")
        for name, one in theirs.items():
            expect(ours[name] == one, f"{values}: {name}: Helm has {json.dumps(one)}, we {json.dumps(ours[name])}")


def test_yaml_is_what_json_is(cluster):
    as_yaml = list(yaml.safe_load_all(weft(cluster, "install", "--dry-run", "-o", "yaml").stdout))
    expect(as_yaml == json.loads(weft(cluster, "install", "--dry-run", "-o", "json").stdout)["items"], "they differ")


def test_install_upgrade_uninstall(cluster):
    plan = install(cluster, "install", "--dry-run", "--set", "control.replicas=1").stdout
    expect("create Namespace weft-system" in todo(plan) and not of_release(cluster), f"the dry run: {plan}")
    done = install(cluster, "install", "--set", "control.replicas=1").stdout
    expect(todo(done) == todo(plan), "the plan of the dry run is another")
    made = {(kind, name) for kind, _, name in of_release(cluster)}
    expect({f"create {kind} {name}" for kind, name in made} == set(todo(plan)) - {"create Namespace weft-system"},
           f"{made} is not {plan}")
    again = install(cluster, "install", check=False)
    expect(again.returncode == 1 and "use weft upgrade" in again.stderr, again.stderr)
    expect(not todo(install(cluster, "upgrade", "--dry-run").stdout), "the values of before are not kept")
    plan = install(cluster, "upgrade", "--set", "mesh.logFormat=json", "--set", "networkPolicy.enabled=false").stdout
    expect(todo(plan) == ["change ConfigMap weft-release", "change DaemonSet ztunnel", "change Deployment weft-control",
                          "remove NetworkPolicy weft-control", "remove NetworkPolicy ztunnel"], plan)
    deployment = of_release(cluster)["Deployment", "weft-system", "weft-control"]
    expect(deployment["spec"]["replicas"] == 1, "an upgrade forgets values")
    expect(todo(install(cluster, "upgrade", "--dry-run", "--reset-values").stdout).count("create NetworkPolicy ztunnel") == 1,
           "--reset-values")
    slip = install(cluster, "upgrade", "--set", "control.replicsa=3", check=False)
    expect(slip.returncode == 1 and "control.replicsa: there is no such value" in slip.stderr, slip.stderr)
    plan = install(cluster, "uninstall", "--dry-run").stdout
    expect(len(todo(plan)) == len(of_release(cluster)), plan)
    install(cluster, "uninstall")
    expect(not of_release(cluster), f"left: {list(of_release(cluster))}")
    expect(cluster.kubectl("get", "namespace", "weft-system", check=False).returncode == 0, "the namespace is gone")
    expect(install(cluster, "uninstall", check=False).returncode == 1, "a second uninstall")
    expect(install(cluster, "upgrade", check=False).returncode == 1, "an upgrade of nothing")


def test_conflicts_are_not_passed_over(cluster):
    install(cluster, "install")
    cluster.kubectl("scale", "-n", "weft-system", "deployment/weft-control", "--replicas=5")
    refused = install(cluster, "upgrade", "--set", "control.replicas=3", check=False)
    expect(refused.returncode == 1 and "--force-conflicts" in refused.stderr, refused.stderr)
    expect(of_release(cluster)["Deployment", "weft-system", "weft-control"]["spec"]["replicas"] == 5, "it was changed")
    install(cluster, "upgrade", "--set", "control.replicas=3", "--force-conflicts")
    expect(of_release(cluster)["Deployment", "weft-system", "weft-control"]["spec"]["replicas"] == 3, "--force-conflicts")
    install(cluster, "uninstall", "--purge")


def test_waits_and_says_what_hinders(cluster):
    """There are no nodes: nothing can run."""
    slow = weft(cluster, "install", "-n", "mesh", "--timeout", "3s", check=False)
    expect(slow.returncode == 3 and "Deployment mesh/weft-control: 0 of 2 ready" in slow.stderr
           and "Pod mesh/weft-control-" in slow.stderr, f"{slow.returncode}: {slow.stderr}")
    weft(cluster, "uninstall", "-n", "mesh", "--no-wait")
    cluster.kubectl("delete", "pods", "-n", "mesh", "--all", "--force", "--grace-period=0")


def test_leaves_helm_its_own(cluster):
    helm(cluster, "install", "weft", ROOT / "charts/weft", "-n", "theirs", "--create-namespace")
    for command in ("install", "upgrade", "uninstall"):
        refused = install(cluster, command, "-n", "theirs", check=False)
        expect(refused.returncode == 1 and "use helm upgrade" in refused.stderr, f"{command}: {refused.stderr}")
    helm(cluster, "uninstall", "weft", "-n", "theirs")
    expect(not of_release(cluster), f"left: {list(of_release(cluster))}")


if __name__ == "__main__":
    WEFT = pathlib.Path(sys.argv[1]).resolve()
    sys.exit(run_tests([test_makes_what_helm_makes, test_yaml_is_what_json_is, test_install_upgrade_uninstall,
                        test_conflicts_are_not_passed_over, test_waits_and_says_what_hinders, test_leaves_helm_its_own], Cluster))
