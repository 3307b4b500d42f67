#!/usr/bin/env python3
"""weft-control behind a faulty API server (faults.py): what is known stays in force, nothing goes back in time,
everything that happened meanwhile is there afterwards, and the server is not hammered.

    test/kubernetes/faults_test.py WEFT_CONTROL
"""
import base64
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

from cluster import Cluster, exit_code, expect
from control import NAMESPACE, Control
from faults import Faults

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: NAME, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]}
---
"""
POLICIES = "authorizationpolicies"


class Bench:
    def __init__(self, cluster, faults, control):
        self.cluster, self.faults, self.control = cluster, faults, control

    def apply(self, *names):
        self.cluster.kubectl("apply", "-f", "-", input="".join(POLICY.replace("NAME", name) for name in names))

    def delete(self, name):
        self.cluster.kubectl("delete", "authorizationpolicy", name, "-n", "shop")

    def served(self):
        return {name.split("/")[1] for name in self.control.served("policies")}

    def until_served(self, names, what):
        self.cluster.until(lambda: self.served() == names, what)

    def metric(self, name):
        return self.control.metric(f"weft_control_{name}")

    def asked(self, since):
        """How many requests for policies there were after the first `since` of all."""
        return sum(POLICIES in line for line in self.faults.seen[since:])


def watches_that_break_in_the_middle(bench):
    before = bench.metric("lists_total")
    bench.faults.cut_watches(f"{POLICIES}.*watch=", 700)  # an event has more
    bench.apply("cut-1", "cut-2")
    bench.cluster.until(lambda: bench.metric("watch_failures_total") > 0, "a watch that breaks")
    bench.faults.heal()
    bench.until_served({"first", "cut-1", "cut-2"}, "what was in the watch that broke")
    expect(bench.metric("lists_total") == before, "a broken watch was answered by a new list")


def refusals(bench):
    """429 with Retry-After, 500, and 410 in turn, for lists and watches alike."""
    cluster, faults = bench.cluster, bench.faults
    for status, headers in ((500, {}), (429, {"Retry_After": "1"}), (410, {})):
        before, failures = bench.served(), bench.metric("watch_failures_total")
        since = len(faults.seen)
        faults.refuse(f"GET .*{POLICIES}", status, **headers)
        faults.cut_watches(f"{POLICIES}.*watch=", 0)  # so that it has to ask again
        bench.apply(f"during-{status}")
        cluster.until(lambda failures=failures: bench.metric("watch_failures_total") >= failures + 2, f"{status} is met")
        expect(bench.served() == before and bench.control.is_ready(), f"{status} takes something back")
        expect(bench.asked(since) < 20, f"{status} is answered by {bench.asked(since)} requests")
        faults.heal()
        bench.until_served(before | {f"during-{status}"}, f"what happened during {status}")


def asked_to_wait(bench, program, kubeconfig):
    """429, and caches of other replicas that are not that far yet: asked again when the server says, and nothing to
    worry about, neither for a copy that is there nor for one that is not there yet."""
    cluster, faults = bench.cluster, bench.faults
    said = len(bench.control.log())
    for status, message in ((429, "later"), (504, "Timeout: Too large resource version: 7, current: 5")):
        since, before = len(faults.refused), bench.served()
        faults.refuse(f"GET .*{POLICIES}", status, message=message, times=2, Retry_After="2")
        faults.cut_watches(f"{POLICIES}.*watch=", 0)
        bench.apply(f"waits-{status}")
        cluster.until(lambda since=since: len(faults.refused) >= since + 2, f"two requests that meet {status}")
        first, second = (at for at, _ in faults.refused[since:since + 2])
        expect(second - first >= 2, f"after {status}, Retry-After is not kept to: {second - first}")
        faults.heal()
        bench.until_served(before | {f"waits-{status}"}, f"what happened during {status}")
    with_trouble = [line for line in bench.control.log()[said:].splitlines() if "error" in line or "warn" in line]
    expect(not with_trouble, f"what is no trouble is said: {with_trouble}")
    faults.refuse("GET .*", 429, times=20, Retry_After="1")
    with Control(program, kubeconfig, pod="weft-control-3") as fresh:
        cluster.until(fresh.is_ready, "weft-control of a busy server")
        expect(not any(" error " in line or "level\":\"error" in line for line in fresh.log().splitlines()),
               f"a busy server is an error: {fresh.log()}")
    faults.heal()


def an_older_cache(bench):
    """Another replica of the API server answers lists as they were at first, without all that came later."""
    before = bench.served()
    bench.faults.answer_from_an_old_cache(f"GET .*{POLICIES}")
    bench.faults.refuse(f"{POLICIES}.*watch=", 410, times=1)
    bench.faults.cut_watches(f"{POLICIES}.*watch=", 0)
    lists = bench.metric("lists_total")
    bench.apply("news")
    bench.cluster.until(lambda: bench.metric("lists_total") > lists, "a list from an old cache")
    expect(bench.served() >= before, "an older list was believed")
    bench.faults.heal()
    bench.until_served(before | {"news"}, "the news")


def slow_answers(bench):
    bench.faults.slow_down(1.5)
    bench.apply("slow")
    bench.until_served(bench.served() | {"slow"}, "news from a slow server")
    expect(bench.control.is_ready(), "not ready")
    bench.faults.heal()


def compaction(bench):
    """The server and etcd forget what was before: a watch from there is answered by 410."""
    cluster = bench.cluster
    before = bench.served()
    bench.faults.refuse(".*", 503)
    bench.faults.cut_watches(".*", 0)
    bench.apply("unseen")
    bench.delete("first")
    words = cluster.children["etcd"].args
    url = words[words.index("--listen-client-urls") + 1]

    def etcd(what, body):
        request = urllib.request.Request(f"{url}/v3/kv/{what}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    key = base64.b64encode(b"nothing").decode()
    revision = etcd("range", {"key": key})["header"]["revision"]
    cluster.kill_api_server()
    etcd("compaction", {"revision": revision, "physical": True})
    cluster.restart_api_server()
    expect(bench.served() == before, "something was taken back")
    bench.faults.heal()
    bench.until_served((before | {"unseen"}) - {"first"}, "the state after a compaction")


def credentials_that_rotate(bench):
    """A projected volume brings a new token, then roots of which none signed the server's certificate, then both."""
    cluster, faults = bench.cluster, bench.faults
    token = cluster.kubectl("create", "token", "rotating").stdout.strip()
    (cluster.folder / "faulty.token").write_text(token)
    faults.cut_watches(".*", 0)
    bench.apply("token")
    cluster.until(lambda: token in faults.tokens, "the new token")
    faults.heal()
    bench.until_served(bench.served() | {"token"}, "news by the new token")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    cluster.folder / "other.key", "-out", cluster.folder / "other.crt", "-subj", "/CN=other"],
                   check=True, capture_output=True)
    other, roots = (cluster.folder / "other.crt").read_text(), cluster.folder / "faulty.ca"
    failures, before = bench.metric("watch_failures_total"), bench.served()
    roots.write_text(other)
    faults.cut_watches(".*", 0)
    bench.apply("roots")
    cluster.until(lambda: bench.metric("watch_failures_total") > failures + 3, "a server that is not trusted any more")
    faults.heal()
    roots.write_text(other + (cluster.folder / "ca.crt").read_text())
    bench.until_served(before | {"roots"}, "news by the new roots")


def a_server_without_watch_lists(bench, program, kubeconfig):
    """Lists are the beginnings of watches where the server offers it, and come page by page where it does not."""
    def lists_in(lines):
        return {f"limit={'limit=' in line}" for line in lines if POLICIES in line and "resourceVersion=" not in line}
    faults, since = bench.faults, len(bench.faults.seen)
    with Control(program, kubeconfig, pod="weft-control-1") as streamed:
        bench.cluster.until(streamed.is_ready, "weft-control by watch-lists")
        expect(lists_in(faults.seen[since:]) == {"limit=False"}, "pages are asked for, although there are watch-lists")
        expect(streamed.served("policies") == bench.control.served("policies"), "something else is served")
    faults.refuse("sendInitialEvents=true", 422)
    since = len(faults.seen)
    with Control(program, kubeconfig, pod="weft-control-2") as paged:
        bench.cluster.until(paged.is_ready, "weft-control by pages")
        expect(lists_in(faults.seen[since:]) == {"limit=False", "limit=True"}, "pages are not asked for")
        expect(paged.served("policies") == bench.control.served("policies"), "something else is served")
        bench.apply("paged")
        bench.cluster.until(lambda: "shop/paged" in paged.served("policies"), "news after pages")
    faults.heal()


class Outage:
    """Another replica, for which the API server is gone for minutes, while everything else here happens."""

    LONG = 125  # seconds

    def __init__(self, bench, faults, control):
        self.bench, self.faults, self.control = bench, faults, control
        bench.apply("first")
        bench.until_served({"first"}, "a policy")
        bench.cluster.until(lambda: "shop/first" in control.served("policies"), "a policy at the other replica")
        bench.cluster.until(lambda: control.writes() or bench.control.writes(), "a writer")
        self.before, self.asked = control.served("policies"), len(faults.seen)
        faults.go()
        self.began = time.monotonic()
        bench.cluster.until(lambda: not control.writes() and bench.control.writes(), "one that writes and can")

    def end(self):
        bench, control = self.bench, self.control
        while time.monotonic() < self.began + self.LONG:
            expect(control.is_ready() and control.served("policies") == self.before, "an outage takes something back")
            expect(not control.writes(), "it writes without a Lease")
            time.sleep(1)
        # Each of some thirty watches, at most every 30 s after the first few; and the Lease every 2 s.
        kinds, seconds = control.metric("weft_control_kinds") + 12, time.monotonic() - self.began
        tried = len(self.faults.turned_away)
        expect(tried <= kinds * (10 + seconds / 15) + seconds, f"a server that is gone is hammered: {tried} times")
        expect(len(self.faults.seen) == self.asked, "it was not gone")
        self.faults.heal()
        bench.cluster.until(lambda: control.served("policies").keys() == bench.control.served("policies").keys(),
                            "what happened in those minutes")
        expect(control.served("policies") == bench.control.served("policies"), "something else is served")


def rotating_kubeconfig(cluster, url):
    """The path of a kubeconfig whose token and roots are files, as in a cluster."""
    cluster.kubectl("create", "serviceaccount", "rotating")
    cluster.kubectl("create", "clusterrolebinding", "rotating", "--clusterrole=cluster-admin",
                    "--serviceaccount=default:rotating")
    config = json.loads(cluster.config_for(url))
    files = {"token": cluster.folder / "faulty.token", "ca": cluster.folder / "faulty.ca"}
    files["token"].write_text(cluster.kubectl("create", "token", "rotating").stdout)
    files["ca"].write_text((cluster.folder / "ca.crt").read_text())
    config["users"][0]["user"] = {"tokenFile": str(files["token"])}
    config["clusters"][0]["cluster"]["certificate-authority"] = str(files["ca"])
    path = cluster.folder / "faulty.kubeconfig"
    path.write_text(json.dumps(config))
    return path


@exit_code
def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with Cluster() as cluster, Faults(cluster) as faults, Faults(cluster) as far:
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("create", "namespace", "shop")
        kubeconfig = rotating_kubeconfig(cluster, faults.url)
        with Control(program, cluster.config_with_url("far", far.url), pod="weft-control-far") as cut_off, \
                Control(program, kubeconfig) as control:
            bench = Bench(cluster, faults, control)
            cluster.until(lambda: cut_off.is_ready() and control.is_ready(), "weft-control")
            outage = Outage(bench, far, cut_off)
            for fault in (watches_that_break_in_the_middle, refusals, an_older_cache, slow_answers, compaction,
                          credentials_that_rotate):
                fault(bench)
                print(f"{fault.__name__}: passed", flush=True)
            asked_to_wait(bench, program, kubeconfig)
            print("asked_to_wait: passed", flush=True)
            a_server_without_watch_lists(bench, program, kubeconfig)
            print("a_server_without_watch_lists: passed", flush=True)
            outage.end()
            print("an outage of minutes: passed", flush=True)


if __name__ == "__main__":
    sys.exit(main())
