#!/usr/bin/env python3
"""A real Kubernetes API server for tests: etcd, kube-apiserver and kube-controller-manager on loopback,
with the Gateway API and Istio CRDs, and no nodes.

    test/kubernetes/cluster.py                 starts one, says how to use it, and stops it on Ctrl-C
    test/kubernetes/cluster.py run COMMAND …   runs a command with KUBECONFIG set, and stops it

Or from Python: `with Cluster() as cluster: cluster.kubectl("apply", "-f", path)`. The programs come from
`make kubernetes`; Missing says so. Everything lives in one temporary folder, and dies with its starter.
"""
import contextlib
import ctypes
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SERVICE_RANGE = "10.96.0.0/16,fd00:10:96::/112"
API_SERVICE = "10.96.0.1"
READY_WITHIN = 60  # seconds
SKIPPED = 77
CRDS = ["gateway-experimental", "istio"]


class Missing(Exception):
    """The programs are not there; the text says what to run."""


class Failed(Exception):
    """Something did not start, or a command failed."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


def exit_code(main):
    """Makes main() answer what its program exits with: 0 for None, and what Missing and Failed mean."""
    @functools.wraps(main)
    def answered(*words, **options):
        try:
            return main(*words, **options) or 0
        except Missing as missing:
            print(missing)
            return SKIPPED
        except (Failed, subprocess.SubprocessError) as problem:
            print(f"FAIL  {pathlib.Path(sys.argv[0]).name}: {problem}", flush=True)
            return 1
    return answered


@exit_code
def run_tests(tests, start):
    """Runs them on one start(), until one fails: then it says what the programs said."""
    began = time.monotonic()
    with start() as running:
        print(f"ready after {time.monotonic() - began:.1f} s", flush=True)
        for test in tests:
            since = time.monotonic()
            try:
                test(running)
            except (Failed, subprocess.SubprocessError):
                print(running.last_words(), flush=True)
                raise
            print(f"ok    {test.__name__.removeprefix('test_').replace('_', ' ')} ({time.monotonic() - since:.1f} s)", flush=True)


def programs():
    """The folder with bin/ and crds/ that `make kubernetes` filled for this checkout."""
    found = subprocess.run([ROOT / "tools" / "fetch-kubernetes", "--where"], capture_output=True, text=True,
                           check=False)
    if found.returncode != 0:
        raise Missing(found.stderr.strip())
    return pathlib.Path(found.stdout.strip())


def free_ports(count):
    """Ports below those that the kernel gives to outgoing connections: nobody takes one by chance."""
    with contextlib.ExitStack() as held:
        ports = []
        while len(ports) < count:
            port = random.randrange(20000, 32768)
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Cluster:
    """One control plane. `netns` runs it in that network namespace, on `address` as well as loopback;
    then kubectl runs there too. Its end fails if something of it is left."""

    def __init__(self, netns=None, address="127.0.0.1", crds=True):
        self.programs = programs()
        self.netns, self.address, self.crds = netns, address, crds
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-kubernetes-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.children = {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            expect(not self.left(), f"left behind: {self.left()}")

    def left(self):
        """Names of what this made that is still there."""
        found = subprocess.run(["pgrep", "-af", str(self.folder)], capture_output=True, text=True, check=False).stdout
        return found.splitlines() + [str(one) for one in [self.folder] if one.exists()]

    def last_words(self):
        """What its programs said last, for whoever looks for a fault."""
        return "".join(f"--- {name}\n{self.log(name)[-1500:]}\n" for name in self.children)

    def start(self):
        etcd, peer, self.port = free_ports(3) if not self.netns else (2379, 2380, 443)
        self.url = f"https://127.0.0.1:{self.port}"
        self.write_credentials()
        self.spawn("etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync",
                   "--listen-client-urls", f"http://127.0.0.1:{etcd}", "--advertise-client-urls",
                   f"http://127.0.0.1:{etcd}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                   "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster",
                   f"default=http://127.0.0.1:{peer}", "--log-level", "warn")
        self.spawn_api_server(etcd)
        self.until(self.is_ready, "kube-apiserver")
        self.spawn("kube-controller-manager", "--kubeconfig", self.kubeconfig, "--leader-elect=false",
                   "--service-account-private-key-file", self.folder / "sa.key", "--root-ca-file",
                   self.folder / "ca.crt", "--secure-port=0", "--controllers=*,-nodelifecycle",
                   "--allocate-node-cidrs=true", "--cluster-cidr=10.244.0.0/16", "--node-cidr-mask-size=24",
                   "--service-cluster-ip-range", SERVICE_RANGE.split(",", maxsplit=1)[0])
        if self.crds:
            folders = [word for name in CRDS for word in ("-f", self.programs / "crds" / name)]
            self.kubectl("apply", "--server-side", *folders)
            self.wait_for_crds()
        self.until(lambda: self.kubectl("get", "serviceaccount", "default", check=False).returncode == 0,
                   "the controller manager")

    def spawn_api_server(self, etcd):
        self.spawn("kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{etcd}",
                   "--bind-address", "0.0.0.0" if self.netns else "127.0.0.1", "--secure-port", self.port,
                   "--advertise-address", self.address if self.netns else "127.0.0.1",
                   "--endpoint-reconciler-type", "lease" if self.netns else "none",
                   "--authorization-mode=Node,RBAC", "--token-auth-file", self.folder / "tokens.csv",
                   "--client-ca-file", self.folder / "ca.crt", "--tls-cert-file", self.folder / "server.crt",
                   "--tls-private-key-file", self.folder / "server.key", "--cert-dir", self.folder,
                   "--service-account-key-file", self.folder / "sa.pub",
                   "--service-account-signing-key-file", self.folder / "sa.key",
                   "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                   "--service-cluster-ip-range", SERVICE_RANGE, "--allow-privileged=true",
                   # New nodes would be tainted until a controller, which is off here, clears them.
                   "--disable-admission-plugins=TaintNodesByCondition",
                   "--kubelet-client-certificate", self.folder / "admin.crt",
                   "--kubelet-client-key", self.folder / "admin.key",
                   "--kubelet-preferred-address-types=InternalIP", "--profiling=false")

    def kill_api_server(self):
        server = self.children.pop("kube-apiserver")
        server.kill()
        server.wait()

    def restart_api_server(self):
        """After kill_api_server(): the same etcd, the same port."""
        words = self.children["etcd"].args
        self.spawn_api_server(words[words.index("--listen-client-urls") + 1].rsplit(":", 1)[1])
        self.until(self.is_ready, "kube-apiserver, again")

    def config_with_token(self, name, token, url=None):
        """The path of a kubeconfig of whoever has `token`."""
        config = json.loads(self.config_for(url or self.url))
        config["users"][0]["user"] = {"token": token}
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def config_with_url(self, name, url):
        """The path of the administrator's kubeconfig for a server elsewhere."""
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(self.config_for(url))
        return path

    def write_credentials(self):
        def openssl(*words):
            subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=self.folder)

        def issue(name, subject, extension):
            (self.folder / f"{name}.cnf").write_text(extension)
            openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                    "-days", "2", "-extfile", f"{name}.cnf", "-out", f"{name}.crt")

        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test-cluster")
        issue("server", "/CN=kube-apiserver",
              "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
              f"DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:{API_SERVICE},IP:{self.address}\n")
        issue("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth\n")
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "sa.key")
        openssl("pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")
        self.token = os.urandom(16).hex()
        (self.folder / "tokens.csv").write_text(f"{self.token},admin,admin,system:masters\n")
        self.kubeconfig.write_text(self.config_for(self.url))
        self.kubeconfig.chmod(0o600)

    def config_for(self, url):
        """A kubeconfig (JSON is YAML) of an administrator."""
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": url, "certificate-authority": str(self.folder / "ca.crt")}}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}]})

    def inside(self, words):
        """The command, in the control plane's network namespace."""
        words = [str(word) for word in words]
        return ["nsenter", f"--net=/run/netns/{self.netns}", "--", *words] if self.netns else words

    def spawn(self, program, *words):
        with open(self.folder / f"{program}.log", "wb") as log:
            self.children[program] = subprocess.Popen(  # pylint: disable=consider-using-with
                self.inside([self.programs / "bin" / program, *words]), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=die_with_parent)

    def is_ready(self):
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        if self.netns:
            return self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=2, context=context) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def wait_for_crds(self):
        """Until all are served. kubectl alone gives up at one that has no conditions yet."""
        self.until(lambda: self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s",
                                        check=False).returncode == 0, "what the CRDs define")

    def until(self, condition, what):
        deadline = time.monotonic() + READY_WITHIN
        while not condition():
            for name, child in self.children.items():
                if child.poll() is not None:
                    raise Failed(f"{name} ended: {self.log(name)[-1500:]}")
            if time.monotonic() > deadline:
                raise Failed(f"{what} is not ready after {READY_WITHIN} s; logs in {self.folder}")
            time.sleep(0.02)

    def log(self, program):
        return (self.folder / f"{program}.log").read_text("utf-8", "replace")

    def environment(self):
        path = f"{self.programs / 'bin'}:{os.environ.get('PATH', '')}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def run(self, *words, check=True, **options):
        """A command with KUBECONFIG set and kubectl and helm in PATH."""
        done = subprocess.run(self.inside(words), env=self.environment(), capture_output=True, text=True,
                              check=False, **options)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(map(str, words))}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done

    def kubectl(self, *words, **options):
        return self.run(self.programs / "bin" / "kubectl", *words, **options)

    def stop(self):
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            child = self.children.pop(name, None)
            if child is not None:
                child.kill()  # what it holds is about to be removed
                child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@exit_code
def hold(start, usage):
    """What these files are as programs: starts one; runs the command after `run` in it and answers as that
    does, or says usage(it, seconds) and waits for Ctrl-C."""
    words = sys.argv[1:]
    if words and (words[0] != "run" or len(words) == 1):
        print(sys.modules["__main__"].__doc__)
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    began = time.monotonic()
    with start() as running:
        if words:
            return subprocess.run(running.inside(words[1:]), env=running.environment(), check=False).returncode
        print(f"ready after {time.monotonic() - began:.1f} s:\n\n{usage(running)}\n\nCtrl-C ends it.", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(hold(Cluster, lambda cluster: (
        f"    export KUBECONFIG={cluster.kubeconfig}\n    {cluster.programs}/bin/kubectl get crds")))
