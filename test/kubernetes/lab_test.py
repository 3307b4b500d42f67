#!/usr/bin/env python3
"""Lab nodes: stock manifests, applied by kubectl, become running pods, and leave nothing when they go."""
import json
import pathlib
import sys

from cluster import expect, run_tests
from lab import Lab

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "plums\\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
      - {name: first, image: busybox, command: [sh, -c, "echo $(POD) > /work/who"],
         env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}],
         volumeMounts: [{name: work, mountPath: /work}]}
      containers:
      - name: web
        image: python
        command: [python3, -u, -m, http.server, "8080", --directory, /page]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /index.html, port: http}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /page}, {name: work, mountPath: /work}]
      volumes: [{name: page, configMap: {name: page}}, {name: work, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: each-web}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}}
    spec:
      terminationGracePeriodSeconds: 0
      securityContext: {runAsNonRoot: true, runAsUser: 1234}
      containers:
      - name: each
        image: busybox
        command: [sleep, "1000"]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_RAW]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    metadata: {labels: {app: once}}
    spec:
      restartPolicy: Never
      containers: [{name: once, image: busybox, command: [echo, done]}]
"""

REFUSED = """
apiVersion: v1
kind: Pod
metadata: {name: refused}
spec:
  securityContext: {seccompProfile: {type: Localhost, localhostProfile: absent.json}}
  containers: [{name: refused, image: busybox, command: [sleep, "1"]}]
"""


def pods(lab, app):
    return json.loads(lab.kubectl("get", "pods", "-l", f"app={app}", "-o", "json").stdout)["items"]


def test_become_ready(lab):
    lab.kubectl("apply", "-f", "-", input=MANIFEST)
    lab.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    lab.kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=60s")
    lab.until(lambda: len({one["spec"]["nodeName"] for one in pods(lab, "each")
                           if one["status"]["phase"] == "Running"}) == len(lab.nodes), "a DaemonSet pod on each node")

    def endpoints():
        found = lab.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json").stdout
        return {address for slice_ in json.loads(found)["items"] for one in slice_.get("endpoints") or []
                if one["conditions"]["ready"] for address in one["addresses"]}
    lab.until(lambda: endpoints() == {one["status"]["podIP"] for one in pods(lab, "web")}, "the Service's endpoints")


def test_logs_exec_and_files(lab):
    first, second = pods(lab, "web")
    name = first["metadata"]["name"]
    address = second["status"]["podIP"]
    expect("GET /index.html" in lab.kubectl("logs", name).stdout, "the probe is not in the log")
    got = lab.kubectl("exec", name, "--", "curl", "-sS", "-m", "5", f"http://{address}:8080/index.html").stdout
    expect(got == "plums\n", f"a pod does not reach the other: {got!r}")
    expect(lab.kubectl("exec", name, "--", "cat", "/work/who").stdout == name + "\n", "the init container's file")
    ended = lab.kubectl("exec", name, "--", "sh", "-c", "exit 3", check=False)
    expect(ended.returncode == 3, f"exec's exit code is {ended.returncode}")
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    answer = lab.kubectl("exec", name, "--", "sh", "-c", f'curl -sS -m 5 --cacert {token}/ca.crt -H "Authorization: '
                         f'Bearer $(cat {token}/token)" https://$KUBERNETES_SERVICE_HOST/api/v1/namespaces/default/pods')
    expect("system:serviceaccount:default:default" in answer.stdout, f"the pod's token: {answer.stdout[:300]}")
    expect(lab.kubectl("logs", "job/once").stdout == "done\n", "the log of a job that is done")


def test_services_and_names(lab):
    name = pods(lab, "web")[0]["metadata"]["name"]

    def fetched(url):
        return lab.kubectl("exec", name, "--", "curl", "-sS", "-m", "5", url, check=False).stdout
    for url in ("http://web/index.html", "http://web.default.svc.cluster.local/index.html",
                "http://each-web:8080/index.html", "http://192.168.77.2:30080/index.html"):
        lab.until(lambda url=url: fetched(url) == "plums\n", f"{url} from a pod outside the mesh")
    expect("Could not resolve" in lab.kubectl("exec", name, "--", "curl", "-sS", "http://absent/", check=False).stderr,
           "a name that is not there")


def test_security_contexts_count(lab):
    name = pods(lab, "each")[0]["metadata"]["name"]
    shown = lab.kubectl("exec", name, "--", "cat", "/proc/self/status").stdout
    status = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)
    expect(status["Uid"].split()[0] == "1234", f"runs as {status['Uid']}")
    expect(int(status["CapBnd"], 16) == 1 << 13, f"its capabilities: {status['CapBnd']}")
    expect(status["NoNewPrivs"] == "1", "it may escalate")
    lab.kubectl("apply", "-f", "-", input=REFUSED)

    def waits():
        found = json.loads(lab.kubectl("get", "pod", "refused", "-o", "json").stdout)["status"].get("containerStatuses")
        return found and "seccomp profile absent.json" in found[0]["state"].get("waiting", {}).get("message", "")
    lab.until(waits, "the refusal of a seccomp profile that is not there")
    lab.kubectl("delete", "pod", "refused")


def test_nothing_is_left_of_deleted_pods(lab):
    lab.kubectl("delete", "deployment/web", "daemonset/each", "job/once", "--cascade=foreground", "--timeout=60s")
    lab.until(lambda: not json.loads(lab.kubectl("get", "pods", "-o", "json").stdout)["items"], "the pods' end")
    left = [one.name for one in pathlib.Path("/run/netns").glob(f"{lab.prefix}-pod-*")]
    left += [str(one) for one in lab.cgroup.glob("*/kubepods/*/")]
    left += [str(one) for one in lab.folder.glob("nodes/*/pods/*")]
    left += [str(one) for one in lab.folder.glob("nodes/*/ipam/lab/*.*.*.*")]
    expect(not left, f"left of deleted pods: {left}")


if __name__ == "__main__":
    sys.exit(run_tests([test_become_ready, test_logs_exec_and_files, test_services_and_names, test_security_contexts_count,
                        test_nothing_is_left_of_deleted_pods], Lab))
