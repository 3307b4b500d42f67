#!/usr/bin/env python3
"""Who may have what from weft-control, on a real API server: tokens that it vouches for, certificates of our
own authority, and everybody else, who is refused and written down.

    test/kubernetes/callers_test.py WEFT_CONTROL CONTROL_CALLER
"""
import base64
import json
import pathlib
import subprocess
import sys
import time

from cluster import Cluster, exit_code, expect
from control import NAMESPACE, Caller, Control, install_roles

# Pods of nodes that are not there would be removed.
OBJECTS = """
apiVersion: v1
kind: Node
metadata: {name: node-1}
---
apiVersion: v1
kind: Node
metadata: {name: node-2}
---
apiVersion: v1
kind: Node
metadata: {name: node-3}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cart, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ztunnel, namespace: weft-system}
"""
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: NS}
spec: {serviceAccountName: ACCOUNT, nodeName: NODE, containers: [{name: main, image: none}]}
"""
UNAVAILABLE, DENIED, UNAUTHENTICATED = 14, 7, 16


def pod(name, ns, account, node):
    return POD.replace("NAME", name).replace("NS", ns).replace("ACCOUNT", account).replace("NODE", node)


def token_of(cluster, ns, account, name=None, audience="istio-ca"):
    words = ["create", "token", account, "-n", ns] + (["--audience", audience] if audience else [])
    if name:
        uid = cluster.kubectl("get", "pod", name, "-n", ns, "-o", "jsonpath={.metadata.uid}").stdout
        words += ["--bound-object-kind", "Pod", "--bound-object-name", name, "--bound-object-uid", uid]
    return cluster.kubectl(*words).stdout.strip()


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(cluster, claims, key="sa.key"):
    """A token of the cluster's own key, whatever it claims."""
    text = encoded(b'{"alg":"RS256"}') + "." + encoded(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", cluster.folder / key], input=text.encode(),
                               check=True, capture_output=True).stdout
    return text + "." + encoded(signature)


def expired(cluster, token):
    claims = json.loads(decoded(token.split(".")[1]))
    return signed(cluster, claims | {"iat": int(time.time()) - 7200, "nbf": int(time.time()) - 7200,
                                     "exp": int(time.time()) - 3600})


def name_in(chain):
    text = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=chain[0], check=True,
                          capture_output=True, text=True).stdout
    return text.split("URI:", 1)[1].strip()


class Bench:
    def __init__(self, cluster, control, caller):
        self.cluster, self.control, self.caller = cluster, control, caller
        self.key, self.csr = caller.csr("anybody")
        self.roots = cluster.kubectl("get", "configmap", "weft-ca-root-cert", "-n", "shop", "-o",
                                     "jsonpath={.data.root-cert\\.pem}").stdout
        self.ztunnel = token_of(cluster, NAMESPACE, "ztunnel", "ztunnel-1")

    def certificate(self, token, account=None, shows=None):
        words = [self.csr] + ([f"spiffe://cluster.local/ns/shop/sa/{account}"] if account else [])
        return self.caller.ask("certificate", self.control, self.roots, token, *words, shows=shows)

    def resources(self, token, node, shows=None):
        return self.caller.ask("resources", self.control, self.roots, token, node, shows=shows)

    def refused(self, ask, status, text, line):
        """With that status and text, each time, and written down in a line: the log takes five of a kind a second
        and counts the others, so it may have to be asked again."""
        def is_written():
            answer = ask()
            expect(answer["status"] == status and text in answer.get("message", text), f"not {status} {text!r}: {answer}")
            return any(line in one and text in one and "peer" in one for one in self.control.log().splitlines())
        self.cluster.until(is_written, f"a line of the log that says {line!r} and {text!r}")


def a_node_has_its_pods(bench):
    answer = bench.certificate(bench.ztunnel, "web")
    expect(answer["status"] == 0 and name_in(answer["chain"]) == "spiffe://cluster.local/ns/shop/sa/web",
           f"no certificate for a pod of the node: {answer}")
    expect(answer["chain"][-1] == bench.roots, "the roots in the answer are not those in the ConfigMap")
    certificate = bench.cluster.folder / "web.crt"
    certificate.write_text(answer["chain"][0])
    expect(bench.resources(bench.ztunnel, "node-1")["resources"] > 0, "a node is served nothing")
    bench.refused(lambda: bench.certificate(bench.ztunnel, "cart"), DENIED, "no pod of shop/cart runs on node-1",
                  "certificate refused")
    bench.refused(lambda: bench.resources(bench.ztunnel, "node-2"), DENIED, "the token is of another node: node-1",
                  "discovery stream refused")
    return certificate


def a_pod_has_itself(bench, certificate):
    token = token_of(bench.cluster, "shop", "web", "web-0", audience="weft-ca")
    expect(name_in(bench.certificate(token)["chain"]) == "spiffe://cluster.local/ns/shop/sa/web",
           "a pod's token is not its certificate")
    bench.refused(lambda: bench.certificate(token, "cart"), DENIED, "may not impersonate shop/cart", "certificate refused")
    bench.refused(lambda: bench.resources(token, "node-1"), DENIED, "the node's id is not a waypoint's",
                  "discovery stream refused")
    # The same by the certificate of its connection.
    shows = (certificate, bench.key)
    answer = bench.certificate(None, shows=shows)
    expect(answer["status"] == 0 and name_in(answer["chain"]) == "spiffe://cluster.local/ns/shop/sa/web",
           f"a client certificate is not its account: {answer}")
    expect(bench.certificate(None, "cart", shows)["status"] == DENIED, "a certificate impersonates another")
    expect(bench.resources(None, "node-1", shows)["status"] == DENIED, "a certificate is a node")
    stranger = bench.cluster.folder / "stranger.crt"
    subprocess.run(["openssl", "req", "-x509", "-key", bench.key, "-subj", "/CN=x", "-days", "1", "-addext",
                    "subjectAltName=URI:spiffe://cluster.local/ns/shop/sa/web", "-out", stranger], check=True,
                   capture_output=True)
    expect(bench.certificate(None, shows=(stranger, bench.key))["status"] != 0, "somebody else's authority counts")


def everybody_else_has_nothing(bench):
    cluster = bench.cluster
    before = bench.control.metric("weft_control_unauthenticated_total")
    bench.refused(lambda: bench.certificate(expired(cluster, bench.ztunnel), "web"), UNAUTHENTICATED, "expired",
                  "a caller was refused")
    claims = json.loads(decoded(bench.ztunnel.split(".")[1]))
    bench.refused(lambda: bench.certificate(signed(cluster, claims, "admin.key.rsa"), "web"), UNAUTHENTICATED,
                  "the API server does not accept the token", "a caller was refused")
    bench.refused(lambda: bench.certificate(token_of(cluster, NAMESPACE, "ztunnel", "ztunnel-1", "vault"), "web"),
                  UNAUTHENTICATED, "the API server does not accept the token", "a caller was refused")
    bench.refused(lambda: bench.certificate(token_of(cluster, NAMESPACE, "ztunnel"), "web"), DENIED, "is not bound to a pod",
                  "a caller was refused")
    bench.refused(lambda: bench.certificate(None, "web"), UNAUTHENTICATED, "no bearer token", "a caller was refused")
    bench.refused(lambda: bench.certificate("not-a-token", "web"), UNAUTHENTICATED, "not that of a service account",
                  "a caller was refused")
    expect(bench.control.metric("weft_control_unauthenticated_total") >= before + 6, "not all were counted")
    # A token ends with its pod.
    gone = token_of(cluster, NAMESPACE, "ztunnel", "ztunnel-3")
    cluster.kubectl("delete", "pod", "ztunnel-3", "-n", NAMESPACE, "--force", "--grace-period=0")
    expect(bench.certificate(gone, "web")["status"] == UNAUTHENTICATED, "a deleted pod's token counts")


def without_the_api_server(bench):
    unknown = token_of(bench.cluster, NAMESPACE, "ztunnel", "ztunnel-2")
    bench.cluster.kill_api_server()
    expect(bench.certificate(bench.ztunnel, "web")["status"] == 0, "a known token does not count any more")
    bench.refused(lambda: bench.certificate(unknown, "cart"), UNAVAILABLE, "create tokenreviews.authentication.k8s.io",
                  "a caller was refused")
    bench.cluster.restart_api_server()
    bench.cluster.until(lambda: bench.certificate(unknown, "cart")["status"] == 0, "a token asked about again")


@exit_code
def main():
    program, caller = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    with Cluster() as cluster:
        kubeconfig = install_roles(cluster)
        cluster.kubectl("apply", "-f", "-", input=OBJECTS)
        pods = [pod(f"ztunnel-{n}", NAMESPACE, "ztunnel", f"node-{n}") for n in (1, 2, 3)]
        pods += [pod("web-0", "shop", "web", "node-1"), pod("cart-0", "shop", "cart", "node-2")]
        cluster.kubectl("apply", "-f", "-", input="".join(pods))
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out",
                        cluster.folder / "admin.key.rsa"], check=True, capture_output=True)
        with Control(program, kubeconfig) as control:
            cluster.until(control.is_ready, "weft-control")
            cluster.until(lambda: cluster.kubectl("get", "configmap", "weft-ca-root-cert", "-n", "shop",
                                                  check=False).returncode == 0, "the roots in a namespace")
            bench = Bench(cluster, control, Caller(caller, cluster))
            certificate = a_node_has_its_pods(bench)
            a_pod_has_itself(bench, certificate)
            everybody_else_has_nothing(bench)
            without_the_api_server(bench)


if __name__ == "__main__":
    sys.exit(main())
