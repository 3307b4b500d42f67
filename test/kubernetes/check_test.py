#!/usr/bin/env python3
"""`weft check` on a lab node: everything is well, then one thing after another is not. Each has a line of its own
that says what and why, and what to do about it; put right, the line is gone.

usage: check_test.py WEFT
"""
import contextlib
import json
import pathlib
import sys

from cluster import exit_code, expect
from lab import Lab

WEFT = ""
OWN = ["-n", "weft-system"]
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: NAME
  namespace: weft-system
  labels: {LABEL, istio.io/dataplane-mode: none}
  # Somebody's: no DaemonSet takes it for one of its own.
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: UID, controller: true}]
spec:
  terminationGracePeriodSeconds: 0
  schedulingGates: GATES
  containers: [{name: main, image: busybox, command: [sh, -c, COMMAND]}]
"""
# What a program's log says, and what `weft check` makes of it.
SYMPTOMS = [
    ("ztunnel", "weft-ztunnel: io_uring is refused (EPERM)", "io_uring is refused", "seccomp.profile=localhost"),
    ("ztunnel", "this kernel has no io_uring (CONFIG_IO_URING)", "io_uring does not work", "kernel.io_uring_disabled"),
    ("ztunnel", "io_uring is too old: Linux 6.1 or newer is needed", "kernel is too old", "Linux 6.1 or newer"),
    ("weft-agent", "Linux 5.10 is too old: 6.1 or newer is needed", "kernel is too old", "Linux 6.1 or newer"),
    ("weft-agent", "/sys/kernel/btf/vmlinux is missing", "no BTF", "CONFIG_DEBUG_INFO_BTF"),
    ("ztunnel", "cannot give up privileges", "a capability is missing", "privileged"),
    ("weft-agent", "there is no CNI configuration", "no CNI configuration", "install the cluster's CNI"),
    ("weft-control", "pods is forbidden: no", "the API server withholds something", "weft upgrade"),
]


def check(lab, code=5, environment=None):
    done = lab.run(*([*environment] if environment else []), WEFT, "check", "-o", "json", check=False)
    expect(done.returncode == code, f"weft check: exit {done.returncode}, not {code}: {done.stdout}{done.stderr}")
    found = json.loads(done.stdout)
    lines = [one for one in found if one["health"] != "ok"]
    expect(all(one["what"] and one["why"] and one["fix"] for one in lines), f"a line without a reason or a fix: {lines}")
    return lines


def says(lines, what, why="", fix="", health="WRONG"):
    return any(what in one["what"] and why in one["why"] and fix in one["fix"] and one["health"] == health for one in lines)


def expect_line(lab, what, *words, **options):
    code = 0 if options.get("health") == "warning" else 5
    lab.until(lambda: says(lines_of(lab, code), what, *words, **options),
              f"the line {(what, *words)}; there is {lines_of(lab, None)}")


def lines_of(lab, code):
    done = lab.run(WEFT, "check", "-o", "json", check=False)
    return json.loads(done.stdout or "[]") if code is None or done.returncode == code else []


def all_is_well(lab):
    lab.until(lambda: lab.run(WEFT, "check", check=False).returncode == 0, "a mesh that is well")
    expect(not check(lab, 0), f"not all is well: {check(lab, 0)}")
    expect(lab.run(WEFT, "check").stdout.endswith("Weft is as it should be\n"), "nothing says so")


@contextlib.contextmanager
def pod(lab, name, app, command, gates="[]"):
    uid = lab.kubectl(*OWN, "get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}").stdout
    text = POD.replace("NAME", name).replace("LABEL", app if ":" in app else f"app: {app}").replace("UID", uid).replace("GATES", gates)
    lab.kubectl("apply", "-f", "-", input=text.replace("COMMAND", json.dumps(command)))
    yield
    lab.kubectl(*OWN, "delete", "pod", name, "--force", "--grace-period=0")


@contextlib.contextmanager
def applied(lab, manifest):
    lab.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    yield
    lab.kubectl("delete", "-f", "-", input=json.dumps(manifest))


def a_node_with_an_old_kernel(lab):
    with applied(lab, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "old"}}):
        lab.kubectl("patch", "node", "old", "--subresource=status", "--type=merge", "-p", json.dumps(
            {"status": {"nodeInfo": {name: "x" for name in (
                "architecture", "bootID", "containerRuntimeVersion", "kubeProxyVersion", "kubeletVersion", "machineID",
                "operatingSystem", "osImage", "systemUUID")} | {"kernelVersion": "5.10.0-35-amd64"}}}))
        expect_line(lab, "node old runs Linux 5.10.0-35-amd64", "too old", "Linux 6.1 or newer")


def somebody_elses_mesh(lab):
    lab.kubectl("create", "namespace", "istio-system")
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"nodeSelector": {"nobody": "here"}, "containers": [
        {"name": "x", "image": "x"}]}}
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
    of = {"apiVersion": "apps/v1", "spec": spec}
    with applied(lab, {**of, "kind": "Deployment", "metadata": {"name": "istiod", "namespace": "istio-system"}}):
        expect_line(lab, "istiod runs here", "status", "take it off", health="warning")
    with applied(lab, {**of, "kind": "DaemonSet", "metadata": {"name": "istio-cni-node", "namespace": "istio-system"}}):
        expect_line(lab, "istio-cni-node runs here", "two agents", "take Istio's ambient mode off")
    lab.kubectl("delete", "namespace", "istio-system")


def pod_security(lab):
    label = ["label", "namespace", "weft-system", "--overwrite"]
    lab.kubectl(*label, "pod-security.kubernetes.io/enforce=baseline")
    expect_line(lab, 'namespace weft-system enforces pod security "baseline"', "host paths",
                "kubectl label namespace weft-system pod-security.kubernetes.io/enforce=privileged")
    lab.kubectl(*label, "pod-security.kubernetes.io/enforce=privileged")


def a_part_of_another_version(lab):
    lab.kubectl(*OWN, "label", "daemonset", "ztunnel", "app.kubernetes.io/version=9.9", "--overwrite")
    expect_line(lab, "ztunnel is of version 9.9", "this weft is", "weft upgrade", health="warning")
    lab.run(WEFT, "upgrade", "--force-conflicts", "--timeout", "2m")


def a_part_that_is_missing(lab):
    lab.kubectl(*OWN, "delete", "daemonset", "ztunnel")
    expect_line(lab, "ztunnel is not there", "part of Weft is missing", "weft upgrade -n weft-system")
    lab.run(WEFT, "upgrade", "--force-conflicts", "--timeout", "2m")


def an_image_that_is_not_there(lab):
    lab.kubectl(*OWN, "set", "image", "deployment/weft-control", "control=nowhere/unknown:1")
    expect_line(lab, "weft-control", "not all of its pods are ready", "see its pods below")
    expect_line(lab, "Pod weft-system/weft-control", "unknown", "describe pod")
    lab.kubectl(*OWN, "rollout", "undo", "deployment/weft-control")
    lab.kubectl(*OWN, "rollout", "status", "deployment/weft-control", "--timeout=60s")


def what_only_a_runtime_says(lab):
    """Of pods that no node runs, as a kubelet would have written it."""
    for reason, message, fix in (("ImagePullBackOff", "Back-off pulling image", "make images"),
                                 ("CreateContainerError", "cannot load seccomp profile \"weft/ztunnel.json\"",
                                  "weft-agent puts the profile there")):
        with pod(lab, "troubled", "ztunnel", "true", gates="[{name: weft.dev/nobody}]"):
            state = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
                     "state": {"waiting": {"reason": reason, "message": message}}}
            lab.kubectl(*OWN, "patch", "pod", "troubled", "--subresource=status", "--type=merge", "-p",
                        json.dumps({"status": {"containerStatuses": [state]}}))
            expect_line(lab, "Pod weft-system/troubled", reason, fix)
    with pod(lab, "of-a-gateway", "gateway.istio.io/managed: weft.dev-mesh-controller", "exit 3"):
        expect_line(lab, "Pod weft-system/of-a-gateway", "main: ", "describe pod")


def what_a_log_says(lab):
    for number, (app, said, why, fix) in enumerate(SYMPTOMS):
        with pod(lab, f"symptom-{number}", app, f"echo '{said}'; exit 1"):
            expect_line(lab, f"Pod weft-system/symptom-{number}", why, fix)


def a_plugin_that_is_not_chained(lab):
    with pod(lab, "unchained", "weft-agent", "echo 'weft-cni is not in place: no configuration'; sleep 1000"):
        expect_line(lab, "node node-1: weft-cni is not in the CNI chain", "no configuration", "agent.cni.configDir")


def a_mesh_configuration_that_cannot_be_read(lab):
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weft-mesh-config", "namespace": "weft-system"},
             "data": {"mesh": "extensionProviders: text"}}
    lab.kubectl("apply", "-f", "-", input=json.dumps(there))
    expect_line(lab, "the mesh configuration cannot be read", "stays in force", "mesh.configMap")
    lab.kubectl("delete", "configmap", "weft-mesh-config", "-n", "weft-system")
    all_is_well(lab)


def a_caller_who_may_not_install(lab):
    lab.run(WEFT, "uninstall")
    config = json.loads(lab.kubeconfig.read_text())
    lab.kubectl("create", "serviceaccount", "guest", "-n", "default")
    lab.kubectl("create", "clusterrolebinding", "guest", "--clusterrole=view", "--serviceaccount=default:guest")
    lab.kubectl("create", "clusterrole", "nodes", "--verb=get,list", "--resource=nodes,namespaces")
    lab.kubectl("create", "clusterrolebinding", "guest-nodes", "--clusterrole=nodes", "--serviceaccount=default:guest")
    config["users"][0]["user"] = {"token": lab.kubectl("create", "token", "guest", "-n", "default").stdout.strip()}
    path = lab.folder / "guest.kubeconfig"
    path.write_text(json.dumps(config))
    found = check(lab, 5, environment=["env", f"KUBECONFIG={path}"])
    for what in ("you may not create deployments", "you may not create clusterroles", "you may not delete daemonsets"):
        expect(says(found, what, "installing needs it", "cluster-admin"), f"no line {what}: {found}")
    expect(not check(lab, 0), "somebody who may is told he may not")


def kinds_that_are_missing(lab):
    lab.kubectl("delete", "crd", "virtualservices.networking.istio.io")
    expect_line(lab, "kinds are missing", "VirtualService", "apply the CRDs", health="warning")
    lab.kubectl("delete", "crd", "authorizationpolicies.security.istio.io")
    expect_line(lab, "kinds are missing", "AuthorizationPolicy, ", "apply the CRDs")


def nodes_that_are_missing(lab):
    lab.children["node-1"].kill()
    lab.children.pop("node-1").wait()
    lab.kubectl("delete", "node", "node-1")
    lab.until(lambda: says(lines_of(lab, None), "there are no nodes", "nothing can run", "add a node", health="warning"),
              "the line of no nodes")


STEPS = [a_node_with_an_old_kernel, somebody_elses_mesh, pod_security, a_part_of_another_version, a_part_that_is_missing,
         an_image_that_is_not_there, what_only_a_runtime_says, what_a_log_says, a_plugin_that_is_not_chained,
         a_mesh_configuration_that_cannot_be_read]
LAST = [a_caller_who_may_not_install, kinds_that_are_missing, nodes_that_are_missing]


@exit_code
def main():
    with Lab(nodes=1) as lab:
        lab.run(WEFT, "install", "--timeout", "2m")
        lab.kubectl(*OWN, "create", "configmap", "owner")
        for step in STEPS:
            all_is_well(lab)
            step(lab)
            print(f"ok    {step.__name__.replace('_', ' ')}", flush=True)
        all_is_well(lab)
        for step in LAST:
            step(lab)
            print(f"ok    {step.__name__.replace('_', ' ')}", flush=True)


if __name__ == "__main__":
    WEFT = pathlib.Path(sys.argv[1]).resolve()
    sys.exit(main())
