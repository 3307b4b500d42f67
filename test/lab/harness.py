"""What the lab tests share: a lab of their own, programs inside its pods, certificates, waiting.

A test file holds functions named test_…, each taking the Lab; `main` brings one lab up for the file,
runs them in their order and takes the lab down, whatever happens. A test says what it expects with
`expect`, and waits for conditions with `until`, never for time to pass.
"""
import atexit
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHOP = ROOT / "examples" / "shop"
WEFT = os.environ.get("WEFT", str(ROOT / "build" / "cli" / "weft"))
SANITIZED = bool(os.environ.get("WEFT_SANITIZED"))  # what is freed is kept: memory says nothing then
DEADLINE = float(os.environ.get("WEFT_TEST_DEADLINE", "10"))  # seconds; sanitizers take longer
SLOWNESS = DEADLINE / 10  # how much longer: what every limit in seconds is multiplied by


class Failed(Exception):
    """An expectation did not hold."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


def until(find, what, seconds=None):
    """What `find` returns once it is true, within DEADLINE or `seconds` of a program that is not sanitized."""
    deadline = time.monotonic() + (seconds * SLOWNESS if seconds else DEADLINE)
    while True:
        found = find()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"not in time: {what() if callable(what) else what}")
        time.sleep(0.01)


def weft(*words, check=True, **options):
    done = subprocess.run([WEFT, *words], capture_output=True, text=True, check=False, **options)
    if check and done.returncode != 0:
        raise Failed(f"weft {' '.join(words)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


class Lab:
    """A lab with a name of its own, made from a folder of manifests."""

    def __init__(self, name, folder=SHOP, *flags, check=True):
        self.name = f"{name}-{os.getpid()}"
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="weft-test-"))
        atexit.register(self.down)
        self.up = weft("lab", "up", str(folder), "--name", self.name, *flags, check=check)

    def down(self):
        if self.scratch.exists():
            weft("lab", "down", self.name, check=False)
            shutil.rmtree(self.scratch, ignore_errors=True)

    def record(self):
        return json.loads(weft("lab", "status", "-l", self.name, "-o", "json").stdout)

    def folder(self):
        return pathlib.Path("/run/weft/lab") / self.name

    def pod(self, name):
        return next(one for one in self.record()["pods"] if name in (one["name"], f"{one['ns']}/{one['name']}"))

    def address(self, pod, family=0):
        return self.pod(pod)["addresses"][family]

    def pid(self, program):
        return next(one["pid"] for one in self.record()["programs"] if one["name"] == program)

    def log(self, name):
        return (self.folder() / "logs" / f"{name}.log").read_text("utf-8", "replace")

    def inside(self, where, *command, **options):
        return weft("lab", "exec", "-l", self.name, where, "--", *command, check=False, **options)

    def python(self, where, code, *arguments, **options):
        return self.inside(where, sys.executable, "-c", code, *arguments, timeout=60 * SLOWNESS, **options)

    def spawn(self, where, code, *arguments):
        """A Python program inside a pod, after its first line of output, which is returned too."""
        child = subprocess.Popen([WEFT, "lab", "exec", "-l", self.name, where, "--", sys.executable, "-uc",
                                  code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        atexit.register(child.kill)
        return child, child.stdout.readline().strip()

    def curl(self, where, url, *options):
        return self.inside(where, "curl", "-sS", "-m", f"{5 * SLOWNESS:g}", *options, url)

    def apply(self, text, name="test.yaml"):
        path = self.scratch / name
        path.write_text(text, encoding="utf-8")
        weft("lab", "apply", "-l", self.name, str(path))

    def delete(self, kind, name, check=True):
        weft("lab", "delete", "-l", self.name, kind, name, check=check)

    def settled(self):
        weft("wait", "-l", self.name, "--timeout", f"{20 * SLOWNESS:g}s")

    def metrics(self, node):
        return self.inside(node, "curl", "-sS", "-m", f"{5 * SLOWNESS:g}", "http://127.0.0.1:15020/metrics").stdout

    def works(self, what="the mesh still works"):
        """web reaches cart: nothing else noticed."""
        answer = self.curl("web", "http://cart/")
        expect("plum" in answer.stdout, f"{what}: {answer.stderr.strip() or answer.stdout[:200]}")


class Authority:
    """Makes certificates with openssl: from the lab's root, or from one of its own."""

    def __init__(self, folder, root=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if root is None:
            self.key, self.root = self.folder / "root.key", self.folder / "root.pem"
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                         "-keyout", str(self.key), "-out", str(self.root), "-days", "2", "-subj", "/O=other")
        else:
            self.key, self.root = root / "root-key.pem", root / "root-cert.pem"

    @staticmethod
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    def issue(self, name, san, starts="20200101000000Z", ends="20400101000000Z", usage="clientAuth,serverAuth"):
        """Path of a PEM file that holds a key and its certificate. `san` None: no name at all."""
        key, request = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        config, leaf = self.folder / f"{name}.cnf", self.folder / f"{name}.crt"
        database = self.folder / f"{name}.db"
        database.write_text("")
        config.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}\nnew_certs_dir={self.folder}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\norganizationName=optional\n"
            f"[x]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
            + (f"subjectAltName=critical,{san}\n" if san else ""))
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                     str(key), "-out", str(request), "-subj", "/O=test")
        self.openssl("ca", "-batch", "-config", str(config), "-extensions", "x", "-in", str(request), "-out",
                     str(leaf), "-cert", str(self.root), "-keyfile", str(self.key), "-startdate", starts,
                     "-enddate", ends, "-notext")
        both = self.folder / f"{name}.pem"
        both.write_text(key.read_text() + leaf.read_text())
        return str(both)


def identity(ns, account, domain="cluster.local"):
    return f"URI:spiffe://{domain}/ns/{ns}/sa/{account}"


def kept_logs(lab):
    """The logs of a lab whose test failed, beside the build's own."""
    target = pathlib.Path(tempfile.gettempdir()) / f"weft-lab-logs-{lab.name}"
    shutil.copytree(lab.folder() / "logs", target, dirs_exist_ok=True)
    return target


def stop_on_signal(number, _):
    sys.exit(128 + number)


def run(tests, lab=None):
    """Runs each, says how it went. The exit code."""
    failed = 0
    for test in tests:
        name = test.__name__.removeprefix("test_").replace("_", " ")
        start = time.monotonic()
        try:
            test(lab) if lab else test()
            print(f"ok    {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except (Failed, subprocess.SubprocessError, OSError, ValueError, KeyError, StopIteration) as error:
            failed += 1
            place = traceback.extract_tb(error.__traceback__)[1]
            print(f"FAIL  {name}, line {place.lineno}: {str(error)[-600:]}", flush=True)
    return failed


def main(namespace, name, folder=SHOP, *flags):
    if os.geteuid() != 0:
        print("needs root: it makes network namespaces")
        sys.exit(77)  # skipped
    signal.signal(signal.SIGTERM, stop_on_signal)
    wanted = sys.argv[1:]
    tests = [value for key, value in namespace.items()
             if key.startswith("test_") and (not wanted or any(word in key for word in wanted))]
    lab = Lab(name, folder, *flags)
    try:
        failed = run(tests, lab)
        if failed:
            print(f"logs: {kept_logs(lab)}")
    finally:
        lab.down()
    sys.exit(1 if failed else 0)
