#!/usr/bin/env python3
"""examples/bookstore on lab nodes, as its README has it on a cluster: a canary, a retry that hides a failing
backend, a breaker, tokens, a limit; behind our waypoint, and again behind stock Envoy that charts/waypoint makes.

usage: bookstore_test.py WEFT
"""
import collections
import json
import pathlib
import re
import sys

from cluster import ROOT, exit_code, expect
from lab import Lab

BOOKSTORE = ROOT / "examples" / "bookstore"
WEFT = ""


def readme():
    """The commands of its section on clusters."""
    text = (BOOKSTORE / "README.md").read_text().split("## On a cluster")[1]
    return re.findall(r"^    (kubectl .+)$", text, re.MULTILINE)


def get(lab, url, *options):
    done = lab.kubectl("-n", "books", "exec", "front", "--", "curl", "-sS", "-m", "20", url, "-w", "%{http_code}", *options,
                       check=False)
    return done.stdout.strip() or done.stderr.strip()


def many(lab, url, count, at_once=False):
    """How often each line was said by `count` requests: status and text."""
    config = "".join(f'url = "{url}"\nwrite-out = "\\n%{{http_code}}\\n"\n' for _ in range(count))
    done = lab.kubectl("-n", "books", "exec", "-i", "front", "--", "curl", "-sS",
                       *(["-Z", "--parallel-immediate"] if at_once else []), "-K", "-", input=config, check=False)
    return collections.Counter(done.stdout.split("\n"))


def set_up(lab):
    lab.run(WEFT, "install", "--timeout", "2m")
    apply, ask, trace = readme()
    for command in (apply, trace):  # again while a service account is under way
        lab.until(lambda command=command: lab.run("sh", "-c", command, cwd=ROOT, check=False).returncode == 0, command)
    lab.kubectl("-n", "books", "wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    ready(lab, "waypoint")
    lab.until(lambda: lab.run("sh", "-c", ask, check=False).stdout.startswith("catalogue v"), "the catalogue")
    lab.until(lambda: known_collector(lab), "a collector that is known since control runs")


def known_collector(lab):
    said = json.loads(lab.kubectl("-n", "books", "get", "telemetries.telemetry.istio.io", "-o", "json").stdout)["items"]
    return said and all(any(one["reason"] == "Accepted" for one in item.get("status", {}).get(
        "conditions", [])) for item in said)


def ready(lab, waypoint):
    lab.kubectl("-n", "books", "wait", "gateway", waypoint, "--for=condition=Programmed", "--timeout=60s")
    lab.until(lambda: lab.kubectl("-n", "books", "rollout", "status", f"deployment/{waypoint}", "--timeout=60s",
                                  check=False).returncode == 0, f"the pods of {waypoint}")


def in_force(lab):
    """The routes are: what no service does by itself."""
    lab.until(lambda: get(lab, "http://catalogue/", "-H", "x-canary: yes").startswith("catalogue v2"), "the canary for those that ask")
    lab.until(lambda: get(lab, "http://orders/1") == "RBAC: access denied403", "the policy of orders")
    lab.until(lambda: many(lab, "http://stock/book", 4)["stock good /book"] == 4, "the retries of stock")


def the_canary_gets_its_share(lab):
    seen = many(lab, "http://catalogue/", 200)
    v1, v2 = seen["catalogue v1 /"], seen["catalogue v2 /"]
    expect(v1 + v2 == 200 == seen["200"], f"not all are answered: {seen}")
    expect(4 <= v2 <= 45, f"not one in ten to v2: {v2} of 200")


def a_retry_hides_a_failing_backend(lab):
    def tried():
        return lab.kubectl("-n", "books", "logs", "stock-broken").stdout.count('"GET /retried HTTP/1.1" 503')
    seen = many(lab, "http://stock/retried", 20)
    expect(seen["stock good /retried"] == 20, f"somebody sees the broken one: {seen}")
    expect(tried() > 0, "the broken one was never tried")


def a_breaker_opens(lab):
    seen = many(lab, "http://reviews/", 8, at_once=True)
    expect(seen["200"] >= 1 and seen["503"] >= 1 and seen["200"] + seen["503"] == 8, f"none is refused at once: {seen}")
    lab.until(lambda: get(lab, "http://reviews/").endswith("200"), "the breaker closed again")


def orders_are_for_customers(lab):
    expect(get(lab, "http://orders/1") == "RBAC: access denied403", get(lab, "http://orders/1"))
    expect(get(lab, "http://orders/prices").endswith("200"), "prices are not for everybody")
    for who in ("alice", "bob"):
        token = (BOOKSTORE / f"{who}.jwt").read_text().strip()
        answer = get(lab, "http://orders/1", "-H", f"Authorization: Bearer {token}")
        expect(answer == f"orders v1 /1 of {who}\n200", answer)
        at = len(token) - 20
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
        answer = get(lab, "http://orders/1", "-H", f"Authorization: Bearer {forged}")
        expect(answer.endswith("401"), f"a forged token: {answer}")
    answer = get(lab, "http://orders/prices", "-H", "x-customer: alice")
    expect(answer.startswith("orders v1 /prices of nobody"), f"somebody says so of himself: {answer}")


def searches_are_limited(lab):
    seen = many(lab, "http://catalogue/search", 8)
    # Another minute may begin meanwhile.
    expect(3 <= seen["200"] <= 6 and seen["200"] + seen["429"] == 8, f"not three a minute: {seen}")
    expect(get(lab, "http://catalogue/").endswith("200"), "the rest is limited too")


CASES = [in_force, the_canary_gets_its_share, a_retry_hides_a_failing_backend, a_breaker_opens, orders_are_for_customers,
         searches_are_limited]


def requests_seen_by_envoy(lab):
    page = lab.kubectl("-n", "books", "exec", "deploy/envoy", "-c", "waypoint", "--", "curl", "-sS",
                       "http://127.0.0.1:15000/stats?filter=downstream_rq_2xx", check=False).stdout
    return sum(int(number) for number in re.findall(r"http\..*downstream_rq_2xx: (\d+)", page))


def to_stock_envoy(lab):
    lab.run("helm", "install", "envoy", ROOT / "charts/waypoint", "-n", "books", "--set", "name=envoy,proxy=envoy", "--wait")
    ready(lab, "envoy")
    lab.kubectl("label", "namespace", "books", "istio.io/use-waypoint=envoy", "--overwrite")
    lab.kubectl("-n", "books", "delete", "gateway", "waypoint")
    lab.until(lambda: get(lab, "http://catalogue/").endswith("200") and requests_seen_by_envoy(lab) > 0, "requests through Envoy")


@exit_code
def main():
    with Lab() as lab:
        set_up(lab)
        for proxy in ("weft", "envoy"):
            if proxy == "envoy":
                to_stock_envoy(lab)
            for case in CASES:
                case(lab)
                print(f"ok    {proxy}: {case.__name__.replace('_', ' ')}", flush=True)
        expect(requests_seen_by_envoy(lab) > 200, "Envoy has not seen the requests")


if __name__ == "__main__":
    WEFT = pathlib.Path(sys.argv[1]).resolve()
    sys.exit(main())
