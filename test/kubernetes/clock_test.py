#!/usr/bin/env python3
"""Two replicas of weft-control on a real API server, one of them with a clock that is an hour off, ahead and behind:
one writes at a time, what either signs is valid now for everybody else, and a token counts when the API server
says so, whatever their clocks say.

    test/kubernetes/clock_test.py WEFT_CONTROL CONTROL_CALLER CLOCK_OFF_LIBRARY
"""
import contextlib
import os
import pathlib
import subprocess
import sys

from callers_test import DENIED, UNAUTHENTICATED, expired, name_in, pod, token_of, OBJECTS
from cluster import Cluster, exit_code, expect
from control import NAMESPACE, Caller, Control, install_roles
from writer_test import Bench

HOUR = 3600


@contextlib.contextmanager
def clock(library, seconds):
    """What is started within has a clock that is that far ahead."""
    words = {"LD_PRELOAD": str(library), "CLOCK_OFF": str(seconds), "ASAN_OPTIONS": "verify_asan_link_order=0"}
    before = dict(os.environ)
    os.environ.update(words)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Callers:
    """Who asks the replicas for certificates; with the clock of this machine."""

    def __init__(self, cluster, program):
        self.cluster, self.caller = cluster, Caller(program, cluster)
        _, self.csr = self.caller.csr("web")
        self.ztunnel = token_of(cluster, NAMESPACE, "ztunnel", "ztunnel-1")

    def ask(self, control, roots, token, account="web"):
        return self.caller.ask("certificate", control, roots, token, self.csr,
                               f"spiffe://cluster.local/ns/shop/sa/{account}")

    def check(self, control, roots):
        """The server's certificate and the one that it gives are valid now; tokens count, and do not, as always."""
        answer = self.ask(control, roots, self.ztunnel)
        expect(answer["status"] == 0 and name_in(answer["chain"]) == "spiffe://cluster.local/ns/shop/sa/web",
               f"no certificate: {answer}")
        leaf, root = self.cluster.folder / "clock-leaf.pem", self.cluster.folder / "clock-root.pem"
        leaf.write_text(answer["chain"][0])
        root.write_text(answer["chain"][-1])
        done = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", root, leaf], capture_output=True, text=True,
                              check=False)
        expect(done.returncode == 0, f"what it signed is not valid now: {done.stdout} {done.stderr}")
        late = subprocess.run(["openssl", "x509", "-noout", "-checkend", str(20 * HOUR), "-in", leaf], check=False,
                              capture_output=True)
        expect(late.returncode == 0, "what it signed ends early")
        answer = self.ask(control, roots, expired(self.cluster, self.ztunnel))
        expect(answer["status"] == UNAUTHENTICATED and "expired" in answer["message"], f"an expired token: {answer}")
        expect(self.ask(control, roots, self.ztunnel, "cart")["status"] == DENIED, "somebody else's certificate")
        expect("a caller was refused" in control.log(), "the refusal is not written down")


def one_is_off(cluster, program, callers, library, seconds):
    kubeconfig = cluster.folder / "control.kubeconfig"
    with contextlib.ExitStack() as stack:
        with clock(library, seconds):
            off = stack.enter_context(Control(program, kubeconfig, pod=f"weft-control-off-{seconds}"))
        cluster.until(off.writes, "a writer whose clock is off")
        right = stack.enter_context(Control(program, kubeconfig, pod=f"weft-control-right-{seconds}"))
        bench = Bench(cluster, [off, right])
        for one in bench.replicas:
            cluster.until(one.is_ready, "a replica")
        roots = []

        def has_roots():
            roots[:] = [bench.roots("shop")]
            return roots[0] != ""
        cluster.until(has_roots, "the roots in a namespace")
        for one in bench.replicas:
            callers.check(one, roots[0])
        name = f"policy{seconds}".replace("-", "-behind-")
        bench.apply_policy(name, "80")
        bench.expect_condition("authorizationpolicy", name, "ZtunnelAccepted", "True", "Accepted")
        looks = off.metric("weft_control_plans_total")
        cluster.until(lambda: off.metric("weft_control_plans_total") >= looks + 2, "further looks")
        expect(bench.writer() is off, "the Lease went from one to the other for a clock's sake")
        off.kill()
        bench.replicas = [right]
        cluster.until(right.writes, "the other writes")
        bench.apply_policy(name, "http")
        bench.expect_condition("authorizationpolicy", name, "ZtunnelAccepted", "False", "Invalid")


@exit_code
def main():
    program, caller, library = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    with contextlib.ExitStack() as stack:
        # The API server's own certificate must have begun for a clock that is behind.
        with clock(library, -2 * HOUR):
            cluster = stack.enter_context(Cluster())
        install_roles(cluster)
        cluster.kubectl("apply", "-f", "-", input=OBJECTS)
        pods = [pod("ztunnel-1", NAMESPACE, "ztunnel", "node-1"), pod("web-0", "shop", "web", "node-1")]
        cluster.kubectl("apply", "-f", "-", input="".join(pods))
        callers = Callers(cluster, caller)
        for seconds in (HOUR, -HOUR):
            one_is_off(cluster, program, callers, library, seconds)
            print(f"a clock that is off by {seconds} s: passed", flush=True)


if __name__ == "__main__":
    sys.exit(main())
