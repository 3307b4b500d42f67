#!/usr/bin/env python3
"""The authority of a mesh on a real API server: a root that is replaced while two replicas sign with it and
nothing that is valid is ever distrusted; a plugged-in authority, and one that is broken.

    test/kubernetes/authority_test.py WEFT_CONTROL CONTROL_CALLER
"""
import base64
import json
import pathlib
import re
import subprocess
import sys
import time

from cluster import Cluster, Failed, exit_code, expect
from control import NAMESPACE, Caller, Control, install_roles

LIFETIME, WAIT = 4, 6  # seconds
ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: default}
"""


def openssl(*words, text=None, folder=None):
    done = subprocess.run(["openssl", *map(str, words)], input=text, capture_output=True, text=True, check=False,
                          cwd=folder)
    if done.returncode != 0:
        raise Failed(f"openssl {' '.join(map(str, words))}: {done.stderr[-500:]}")
    return done.stdout


def blocks(pem):
    return re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", pem, re.S)


def field(certificate, which):
    return openssl("x509", "-noout", f"-{which}", text=certificate).split("=", 1)[1].strip()


class Bench:
    def __init__(self, cluster, replicas, caller):
        self.cluster, self.replicas, self.caller = cluster, replicas, caller
        self.key, self.csr = caller.csr("web")
        self.token = cluster.kubectl("create", "token", "web", "--audience", "istio-ca").stdout.strip()

    def roots(self):
        return self.cluster.kubectl("get", "configmap", "istio-ca-root-cert", "-n", "default", "-o",
                                    "jsonpath={.data.root-cert\\.pem}", check=False).stdout

    def chain(self, replica):
        answer = self.caller.ask("certificate", replica, self.roots(), self.token, self.csr)
        expect(answer["status"] == 0, f"a certificate is refused: {answer}")
        return answer["chain"]

    def writer(self):
        return next((one for one in self.replicas if one.writes()), None)


def rotates_without_an_outage(bench):
    cluster = bench.cluster
    for one in bench.replicas:
        cluster.until(one.is_ready, "a replica")
    cluster.until(bench.writer, "a writer")
    cluster.until(lambda: bench.roots() != "", "the roots in a namespace")
    first = bench.roots()
    expect(len(blocks(first)) == 1, "there is not one root")
    idle = next(one for one in bench.replicas if one is not bench.writer())
    said = idle.get("/debug/ca/rotate", "POST")  # any replica may be asked
    expect('"state": "settled"' in said or "next root" in said, f"a rotation was refused: {said}")
    samples, states, waited = [], [], set()
    deadline = time.monotonic() + 90
    while "settled" not in states[-1:] or len(states) < 3:
        expect(time.monotonic() < deadline, f"the rotation does not end: {states}")
        page = bench.writer().json("/debug/ca") if bench.writer() else {}
        state = page.get("state")
        waited |= {one["who"] for one in page.get("waitingFor", [])}
        if state and state not in states[-1:]:
            states.append(state)
        for one in bench.replicas:
            chain = bench.chain(one)
            samples.append((time.monotonic(), field(chain[0], "issuer"),
                            {field(root, "subject") for root in blocks(chain[-1])}))
    expect(states[-3:] == ["trusting the next root", "retiring the previous root", "settled"],
           f"not the steps of a rotation: {states}")
    expect("certificates that are not known here" in waited, f"it does not say what it waits for: {waited}")
    for at, issuer, _ in samples:
        for other, _, trusted in samples:
            if abs(at - other) < LIFETIME:  # both certificates were valid at a time
                expect(issuer in trusted, f"{issuer} was not trusted by everybody who had a certificate")
    expect(len({issuer for _, issuer, _ in samples}) == 2, "the new root never signed")
    cluster.until(lambda: len(blocks(bench.roots())) == 1 and bench.roots() != first, "the previous root is retired")
    # Our own server shows a certificate of the new root by now: the caller trusts nothing else.
    expect(bench.chain(bench.replicas[0])[-1] == bench.roots(), "a certificate of another root")


def leaves_what_a_newer_version_wrote(bench, rotate):
    """Two versions of weft-control side by side: in the Secret that both write, what this one does not know stays."""
    cluster, roots = bench.cluster, bench.roots()
    cluster.kubectl("patch", "secret", "weft-ca", "-n", NAMESPACE, "--type=merge", "-p", json.dumps(
        {"metadata": {"annotations": {"weft.dev/ca-future": "yes"}},
         "data": {"future.pem": base64.b64encode(b"of a newer version").decode()}}))

    def secret():
        return json.loads(cluster.kubectl("get", "secret", "weft-ca", "-n", NAMESPACE, "-o", "json").stdout)
    for one in bench.replicas:
        cluster.until(lambda one=one: one.json("/debug/ca")["resourceVersion"] == secret()["metadata"]["resourceVersion"],
                      "a replica that has read it")
        expect(one.json("/debug/ca")["state"] == "settled" and not one.json("/debug/ca")["problem"], "it is a problem")
    expect(bench.roots() == roots, "another root")
    rotate(bench)
    after = secret()
    expect(base64.b64decode(after["data"].get("future.pem", "")) == b"of a newer version"
           and after["metadata"]["annotations"].get("weft.dev/ca-future") == "yes", f"it is gone: {after['metadata']}")


def waits_for_acknowledgements(bench):
    """A namespace that cannot be given the next root is named, and nothing signs with that root before it has it."""
    cluster = bench.cluster
    cluster.kubectl("create", "namespace", "full")
    cluster.kubectl("create", "quota", "none", "-n", "full", "--hard=count/configmaps=0")
    cluster.until(lambda: cluster.kubectl("get", "quota", "none", "-n", "full", "-o",
                                          "jsonpath={.status.hard}", check=False).stdout != "", "a quota")
    for name in ("istio-ca-root-cert", "weft-ca-root-cert"):
        cluster.kubectl("delete", "configmap", name, "-n", "full", "--ignore-not-found")
    old = field(bench.chain(bench.replicas[0])[0], "issuer")
    bench.replicas[0].get("/debug/ca/rotate", "POST")
    cluster.until(lambda: bench.writer() and bench.writer().json("/debug/ca")["state"] == "trusting the next root",
                  "the next root is trusted")
    began = time.monotonic()
    while time.monotonic() < began + WAIT + 5:  # it would have gone on by now
        page = bench.writer().json("/debug/ca") if bench.writer() else None
        if page:
            expect(page["state"] == "trusting the next root", f"nobody is waited for: {page}")
        time.sleep(0.5)
    expect("namespace full" in {one["who"] for one in page["waitingFor"]}, f"it is not named: {page['waitingFor']}")
    expect(bench.writer().metric("weft_control_ca_waiting") >= 1, "it is not counted")
    expect("waits for an acknowledgement" in bench.writer().log(), "it is not in the log")
    expect(field(bench.chain(bench.replicas[0])[0], "issuer") == old, "the next root signs")
    cluster.kubectl("delete", "quota", "none", "-n", "full")
    for state in ("retiring the previous root", "settled"):
        cluster.until(lambda state=state: bench.writer() and bench.writer().json("/debug/ca")["state"] == state,
                      f"the rotation goes on: {state}")
    expect(field(bench.chain(bench.replicas[0])[0], "issuer") != old, "the next root does not sign")


def make_intermediate(folder):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "plug-root.key", "-out", "plug-root.pem",
            "-days", "2", "-subj", "/O=Example/CN=Offline root", folder=folder)
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "plug.key", "-out", "plug.csr", "-subj",
            "/O=Example/CN=Intermediate", folder=folder)
    (folder / "plug.cnf").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
                                     "subjectKeyIdentifier=hash\n")
    openssl("x509", "-req", "-in", "plug.csr", "-CA", "plug-root.pem", "-CAkey", "plug-root.key", "-CAcreateserial",
            "-days", "1", "-extfile", "plug.cnf", "-out", "plug.pem", folder=folder)
    texts = {name: (folder / name).read_text() for name in ("plug.pem", "plug.key", "plug-root.pem")}
    return {"ca-cert.pem": texts["plug.pem"], "ca-key.pem": texts["plug.key"], "root-cert.pem": texts["plug-root.pem"],
            "cert-chain.pem": texts["plug.pem"] + texts["plug-root.pem"]}


def plug_in(cluster, files):
    data = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": NAMESPACE}, "data": data}))


def takes_a_plugged_in_authority(bench):
    cluster = bench.cluster
    files = make_intermediate(cluster.folder)
    plug_in(cluster, files)
    cluster.until(lambda: bench.roots() == files["root-cert.pem"], "the plugged-in root in a namespace")
    for one in bench.replicas:
        cluster.until(lambda one=one: one.json("/debug/ca")["pluggedIn"], "a replica with the plugged-in authority")
    served = []

    def is_served():
        answer = bench.caller.ask("certificate", bench.replicas[1], bench.roots(), bench.token, bench.csr)
        served[:] = answer["chain"]
        return answer["status"] == 0
    cluster.until(is_served, "a server certificate under the plugged-in root")
    expect(len(served) == 3 and served[1] == files["ca-cert.pem"] and served[2] == files["root-cert.pem"],
           "not leaf, intermediate, root")
    (cluster.folder / "leaf.pem").write_text(served[0])
    openssl("verify", "-CAfile", "plug-root.pem", "-untrusted", "plug.pem", "leaf.pem", folder=cluster.folder)
    expect("plugged in" in bench.replicas[0].get("/debug/ca/rotate", "POST"), "a plugged-in root is rotated")
    # One that is broken is said, and the last good one stays.
    plug_in(cluster, files | {"ca-key.pem": (cluster.folder / "plug-root.key").read_text()})
    for one in bench.replicas:
        cluster.until(lambda one=one: "not an authority's certificate and its key" in one.json("/debug/ca")["problem"],
                      "a broken authority that is said")
        expect(bench.chain(one)[1] == files["ca-cert.pem"], "the last good authority does not stay")
    with Control(sys.argv[1], bench.replicas[0].kubeconfig, pod="weft-control-c") as fresh:
        cluster.until(lambda: "cacerts" in fresh.get("/ready"), "a new replica that says what is wrong")
        expect(not fresh.is_ready(), "a broken authority is replaced by another")


@exit_code
def main():
    program, caller = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    words = ["--certificate-lifetime", f"{LIFETIME}s", "--rotation-wait", f"{WAIT}s"]
    with Cluster() as cluster:
        kubeconfig = install_roles(cluster)
        cluster.kubectl("apply", "-f", "-", input=ACCOUNT)
        with Control(program, kubeconfig, *words, pod="weft-control-a") as one, \
                Control(program, kubeconfig, *words, pod="weft-control-b") as two:
            bench = Bench(cluster, [one, two], Caller(caller, cluster))
            cluster.until(lambda: all(one.is_ready() for one in bench.replicas) and bench.roots(), "two replicas and roots")
            leaves_what_a_newer_version_wrote(bench, rotates_without_an_outage)
            waits_for_acknowledgements(bench)
            takes_a_plugged_in_authority(bench)


if __name__ == "__main__":
    sys.exit(main())
