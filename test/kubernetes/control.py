"""weft-control on a test cluster, for the tests in this folder."""
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.error
import urllib.request

from cluster import ROOT, Failed, die_with_parent, free_ports

NAMESPACE = "weft-system"
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def install_roles(cluster):
    """The roles of our chart, and the path of a kubeconfig of control's service account."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    roles = cluster.run(cluster.programs / "bin" / "helm", "template", "weft", ROOT / "charts" / "weft", "-n", NAMESPACE,
                        "-s", "templates/control-rbac.yaml").stdout
    cluster.kubectl("apply", "-f", "-", input=roles)
    token = cluster.kubectl("create", "token", "weft-control", "-n", NAMESPACE).stdout.strip()
    return cluster.config_with_token("control", token)


class Control:
    """One weft-control, which reads `kubeconfig`, in a folder of its own."""

    def __init__(self, program, kubeconfig, *words, pod="weft-control-0"):
        self.grpc, self.port = free_ports(2)
        self.kubeconfig = kubeconfig
        self.folder = tempfile.TemporaryDirectory(prefix="weft-control-")  # pylint: disable=consider-using-with
        self.state = pathlib.Path(self.folder.name)
        with open(self.state / "log", "wb") as log:
            self.child = subprocess.Popen(  # pylint: disable=consider-using-with
                [program, "--kubernetes", "--kubeconfig", kubeconfig, "--state", self.state / "state",
                 "--listen", f"127.0.0.1:{self.grpc}", "--debug-listen", f"127.0.0.1:{self.port}",
                 "--namespace", NAMESPACE, "--pod-name", pod, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        killed = self.child.poll() == -9
        self.child.terminate()
        try:
            if self.child.wait(20) != 0 and kind is None and not killed:
                raise Failed(f"weft-control ended badly: {self.log()[-1500:]}")
        finally:
            if kind is not None:
                print(self.log()[-3000:])
            self.folder.cleanup()

    def kill(self):
        """As a node that loses its power does."""
        self.child.kill()
        self.child.wait()

    def log(self):
        return (self.state / "log").read_text("utf-8")

    def get(self, page, method="GET"):
        if self.child.poll() is not None:
            raise Failed(f"weft-control ended: {self.log()[-1500:]}")
        token = self.state / "state" / "debug-token"
        return self.get_with(token.read_text("utf-8").strip() if token.exists() else "", page, method)

    def get_with(self, token, page, method="GET"):
        headers = {"Authorization": f"Bearer {token}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}{page}",
                                                               headers=headers, method=method), timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.read().decode()
        except OSError:
            return ""

    def json(self, page):
        return json.loads(self.get(page) or "{}")

    def is_ready(self):
        return self.get("/ready") == "ready\n"

    def writes(self):
        return self.json("/debug/replica").get("writes", False)

    def served(self, page):
        """By name, what is served."""
        return {one["name"]: one["resource"] for one in json.loads(self.get(f"/debug/{page}") or "[]")}

    def metric(self, name):
        for line in self.get("/metrics").splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None


class Caller:
    """A data plane's side of port 15012: weft's `control_caller`."""

    def __init__(self, program, cluster):
        self.program, self.folder = program, cluster.folder

    def csr(self, name):
        """The paths of a new key and of a signing request without a name."""
        key, csr = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", csr, "-subj", "/"], check=True, capture_output=True)
        return key, csr

    def ask(self, what, control, roots, token, *words, shows=None):
        """The answer. `token`: text, or None; `shows`: the files of a certificate and its key."""
        root_file, token_file = self.folder / "ask-roots", self.folder / "ask-token"
        root_file.write_text(roots)
        token_file.write_text(token or "")
        environment = dict(os.environ)
        if shows:
            environment |= {"WEFT_CERTIFICATE": str(shows[0]), "WEFT_KEY": str(shows[1])}
        done = subprocess.run([self.program, what, str(control.grpc), root_file, token_file if token else "-", *words],
                              env=environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise Failed(f"control_caller: {done.returncode} {done.stderr[-500:]}")
        return json.loads(done.stdout)
