"""examples/bookstore as its README tells it: a canary, a retry, a breaker, tokens, a limit, a trace."""
import collections
import json

from harness import ROOT, expect, main, until

BOOKSTORE = ROOT / "examples" / "bookstore"


def get(lab, url, *options):
    done = lab.curl("front", url, "-w", "%{http_code}", *options)
    return done.stdout.strip() or done.stderr.strip()


def many(lab, url, count, at_once=False):
    """What `count` requests said: status and text."""
    config = "".join(f'url = "{url}"\nwrite-out = "\\n%{{http_code}}\\n"\n' for _ in range(count))
    done = lab.inside("front", "curl", "-sS", *(["-Z", "--parallel-immediate"] if at_once else []), "-K", "-", input=config)
    return collections.Counter(done.stdout.split("\n")), done


def waypoint_log(lab):
    return lab.log("books.waypoint-0")


def test_the_canary_gets_its_share(lab):
    until(lambda: get(lab, "http://catalogue/").endswith("200"), lambda: get(lab, "http://catalogue/"), 30)
    until(lambda: get(lab, "http://catalogue/", "-H", "x-canary: yes").startswith("catalogue v2"), "v2 is asked for")
    seen, done = many(lab, "http://catalogue/", 200)
    v1, v2 = seen["catalogue v1 /"], seen["catalogue v2 /"]
    expect(v1 + v2 == 200 == seen["200"], f"all are answered: {seen} {done.stderr[:200]}")
    expect(5 <= v2 <= 40, f"one in ten to v2: {v2} of 200")


def test_a_retry_hides_a_failing_backend(lab):
    seen, _ = many(lab, "http://stock/book", 20)
    expect(seen["stock good /book"] == 20, f"nobody sees the broken one: {seen}")
    broken = lab.log("books.stock-broken")
    expect(broken.count('"GET /book HTTP/1.1" 503') > 0, "the broken one was tried")


def test_a_breaker_opens(lab):
    seen, _ = many(lab, "http://reviews/", 8, at_once=True)
    expect(seen["200"] >= 2 and seen["503"] >= 1 and seen["200"] + seen["503"] == 8, f"some are refused at once: {seen}")
    expect(' 503 UO ' in waypoint_log(lab), "the log says why")
    expect(get(lab, "http://reviews/").endswith("200"), "and it is closed again")


def test_orders_are_for_customers(lab):
    expect(get(lab, "http://orders/1") == "RBAC: access denied403", get(lab, "http://orders/1"))
    expect(get(lab, "http://orders/prices").endswith("200"), "prices are for everybody")
    for who in ("alice", "bob"):
        token = (BOOKSTORE / f"{who}.jwt").read_text().strip()
        answer = get(lab, "http://orders/1", "-H", f"Authorization: Bearer {token}")
        expect(answer == f"orders v1 /1 of {who}\n200", answer)
        at = len(token) - 20
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
        answer = get(lab, "http://orders/1", "-H", f"Authorization: Bearer {forged}")
        expect(answer.endswith("401"), f"a forged token: {answer}")
    answer = get(lab, "http://orders/prices", "-H", "x-customer: alice")
    expect(answer.startswith("orders v1 /prices of nobody"), f"nobody says so of himself: {answer}")


def test_searches_are_limited(lab):
    seen, _ = many(lab, "http://catalogue/search", 7)  # a new minute may begin between them, once
    expect(3 <= seen["200"] <= 6 and seen["200"] + seen["429"] == 7, f"three a minute: {seen}")
    expect(get(lab, "http://catalogue/").endswith("200"), "the rest is not limited")
    expect(" 429 RL " in waypoint_log(lab), "the log says why")


TRACE = "0af7651916cd43dd8448eb211c80319c"


def spans_of(lab, trace):
    log = lab.folder() / "logs" / "books.traces.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [span for span in map(json.loads, lines) if span["trace"] == trace]


def test_a_request_leaves_a_trace(lab):
    parent = "b7ad6b7169203331"
    expect(get(lab, "http://stock/traced", "-H", f"traceparent: 00-{TRACE}-{parent}-01").endswith("200"), "it is answered")
    spans = until(lambda: spans_of(lab, TRACE), "its span arrives", 30)
    expect(len(spans) == 1 and spans[0]["parent"] == parent, f"one span, the client's child: {spans}")
    span, said = spans[0], spans[0]["attributes"]
    expect(span["service"] == "waypoint.books" and span["ended"] >= span["begun"] > 0, f"whose, when: {span}")
    wanted = {"http.method": "GET", "http.status_code": 200, "istio.destination_workload": "stock-good", "shop": "bookstore",
              "http.url": "http://stock/traced"}
    expect(all(said.get(name) == value for name, value in wanted.items()), f"what for: {said}")


if __name__ == "__main__":
    main(globals(), "bookstore", BOOKSTORE)
