"""Every feature that manifests can ask of a waypoint, asked of weft-waypoint and of stock Envoy in one lab: the same objects in
two namespaces, the same requests, and both must show the same to client and backend. What is left to chance is held
against the same expectation instead."""
import collections
import json
import pathlib
import secrets
import sys
import tempfile
import time

import waypoints
from harness import expect, main, until
from waypoints import named, route

BOTH = ("ours", "stock")
GATEWAY, ISTIO = "gateway.networking.k8s.io/v1", "networking.istio.io/v1"
# Different in every request; x-envoy-ratelimited is ours alone: Envoy sends it only for its global limits.
VOLATILE = {"x-envoy-ratelimited", "date", "x-request-id", "x-envoy-upstream-service-time", "traceparent", "tracestate", "content-length"}


def world():
    objects = []
    for ns in BOTH:
        objects += [waypoints.namespace(ns, **{"istio.io/use-waypoint": "waypoint"}), *waypoints.waypoint(ns, stock=ns == "stock"),
                    waypoints.pod(ns, "client", ["sleep", "infinity"], {"app": "client"}),
                    waypoints.service(ns, "echo", {"app": "echo"}, ("http", 80, 8080))]
        for version in ("v1", "v2"):
            labels = {"app": "echo", "version": version}
            objects += [waypoints.echo(ns, f"echo-{version}", labels), waypoints.service(ns, f"echo-{version}", labels, ("http", 80, 8080))]
    return objects


def virtual(ns, *rules):
    return named(ISTIO, "VirtualService", ns, "case", spec={"hosts": ["echo"], "http": list(rules)})


def destination(ns, host="echo", **policy):
    return named(ISTIO, "DestinationRule", ns, "case", spec={"host": host, "trafficPolicy": policy})


def to(name="echo-v1", **more):
    return {"name": name, "port": 80, **more}


def sent(host="echo-v1", **more):
    return {"route": [{"destination": {"host": host}}], **more}


def path(value, kind="PathPrefix"):
    return {"path": {"type": kind, "value": value}}


def ask(lab, ns, target, *options):
    """(status, headers of the response, what the backend saw)."""
    done = lab.curl(f"{ns}/client", f"http://echo{target}", "-i", "--path-as-is", *options)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, body = body.partition("\n\n")
    lines = head.split("\n")
    words = lines[0].split()
    headers = sorted((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])
                     if name.lower() not in VOLATILE)
    try:
        saw = json.loads(body)
        saw["headers"] = {name: value for name, value in saw["headers"].items() if name not in VOLATILE}
    except ValueError:
        # behind these words Envoy says more of the transport than we do
        saw = body.split(" before headers")[0]
    return int(words[1]) if len(words) > 1 else 0, headers, saw


def many(lab, ns, target, count, *options, at_once=False, host="echo"):
    """How often each (status, server) answered."""
    config = "".join(f'url = "http://{host}{target}"\nwrite-out = "\\n%{{http_code}}\\n"\n' for _ in range(count))
    done = lab.inside(f"{ns}/client", "curl", "-sS", "-m", "20", *options, *(["-Z", "--parallel-immediate"] if at_once else []), "-K", "-", input=config)
    seen, server = collections.Counter(), ""
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            server = json.loads(line)["server"]
        elif line.isdigit():
            seen[(int(line), server)] += 1
            server = ""
    return seen


class Case:
    """Objects that are there for a while in both namespaces; `begun`: a request and the status that shows them in force."""

    def __init__(self, lab, make, target="/ready", status=200, *options):
        self.lab, self.objects, self.begun = lab, {ns: make(ns) for ns in BOTH}, (target, status, options)

    def __enter__(self):
        target, status, options = self.begun
        self.lab.apply(waypoints.text([one for ns in BOTH for one in self.objects[ns]]), "case.yaml")
        self.lab.settled()
        for ns in BOTH:
            until(lambda ns=ns: ask(self.lab, ns, target, *options)[0] == status,
                  lambda ns=ns: f"{ns} {target}: {ask(self.lab, ns, target, *options)}", 20)
        return self

    def __exit__(self, *_):
        for ns in BOTH:
            for one in self.objects[ns]:
                self.lab.delete(one["kind"], f"{ns}/{one['metadata']['name']}")

    def same(self, target, *options, status=None, **wanted):
        """What both show; `wanted`: server, path, method, and header names ('-' for '_') of what the backend saw."""
        ours, stock = (ask(self.lab, ns, target, *options) for ns in BOTH)
        expect(ours == stock, f"{target} {options}: ours {ours} but stock {stock}")
        expect(status is None or ours[0] == status, f"{target} {options}: {ours}")
        for name, value in wanted.items():
            saw = ours[2].get(name) if name in ("server", "path", "method") else ours[2]["headers"].get(name.replace("_", "-"))
            expect(saw == value, f"{target} {options}: {name} is {saw}: {ours}")
        return ours

    def each(self, right, target, count, *options, **how):
        for ns in BOTH:
            seen = []
            expect(any(right(seen.append(many(self.lab, ns, target, count, *options, **how)) or seen[-1]) for _ in range(3)),
                   f"{ns} {target}: {seen}")


def test_without_configuration(lab):
    with Case(lab, lambda ns: []) as case:
        for ns in BOTH:
            until(lambda ns=ns: ask(lab, ns, "/")[0] == 200, lambda ns=ns: ask(lab, ns, "/"), 30)
        for options in ((), ("-X", "POST", "-d", "body"), ("-I",), ("-X", "OPTIONS"), ("-H", "X-Forwarded-For: 1.2.3.4"),
                        ("-H", "x-forwarded-client-cert: By=me"), ("-H", "x-envoy-retry-on: 5xx"), ("-H", "Expect: 100-continue", "-d", "b")):
            ours, stock = ([ask(lab, ns, "/any?q=1", *options) for _ in range(6)] for ns in BOTH)
            # whichever of the two pods answers
            keys = [sorted({json.dumps(one).replace("echo-v2", "echo-v1") for one in each}) for each in (ours, stock)]
            expect(keys[0] == keys[1], f"{options}: ours {keys[0]} but stock {keys[1]}")


def test_matches_of_routes(lab):
    def make(ns):
        return [route(ns, "case", "echo", [
            {"matches": [path("/item/[0-9]+", "RegularExpression")], "backendRefs": [to("echo-v2")]},
            {"matches": [{"method": "DELETE"}], "backendRefs": [to("echo-v2")]},
            {"matches": [{"headers": [{"type": "RegularExpression", "name": "x-user", "value": "a.*z"}]}], "backendRefs": [to("echo-v2")]},
            {"matches": [{"queryParams": [{"type": "RegularExpression", "name": "q", "value": "[a-c]+"}]}], "backendRefs": [to("echo-v2")]},
            {"matches": [path("/exact", "Exact")], "backendRefs": [to("echo-v2")]},
            {"matches": [path("/a")], "backendRefs": [to("echo-v1")]}, {"matches": [path("/a/b")], "backendRefs": [to("echo-v2")]},
            {"matches": [path("/ready")], "backendRefs": [to()]}, {"matches": [path("/")], "backendRefs": [to()]}])]
    with Case(lab, make, "/exact") as case:
        for target in ("/item/17", "/exact", "/a/b", "/a/b/c", "/?q=abc"):
            case.same(target, status=200, server="echo-v2")
        for target in ("/item/x", "/item/17/x", "/exact/", "/exactly", "/a", "/a/bc", "/?q=abd", "/?Q=a", "/EXACT"):
            case.same(target, status=200, server="echo-v1")
        case.same("/", "-X", "DELETE", server="echo-v2", method="DELETE")
        case.same("/", "-H", "X-User: abz", server="echo-v2")
        case.same("/", "-H", "x-user: zabz", server="echo-v1")


def test_matches_of_virtual_services(lab):
    def make(ns):
        return [virtual(ns,
                        sent("echo-v2", match=[{"uri": {"regex": "/r/[a-z]+"}}], rewrite={"uri": "/whole"}),
                        sent("echo-v2", match=[{"uri": {"prefix": "/Pre"}, "ignoreUriCase": True}], rewrite={"uri": "/post"}),
                        sent("echo-v2", match=[{"headers": {"x-a": {"exact": "1"}}, "withoutHeaders": {"x-b": {}}}]),
                        sent("echo-v2", match=[{"queryParams": {"q": {"exact": "1"}}}, {"method": {"exact": "PUT"}}]),
                        sent("echo-v2", match=[{"authority": {"prefix": "other"}}], rewrite={"authority": "third"}),
                        sent("echo-v1"))]
    with Case(lab, make, "/r/abc") as case:
        case.same("/r/abc", server="echo-v2", path="/whole")
        case.same("/r/abc?x=1", server="echo-v2", path="/whole?x=1")
        case.same("/pREfix", server="echo-v2")
        case.same("/x", "-H", "x-a: 1", server="echo-v2")
        case.same("/x", "-H", "x-a: 1", "-H", "x-b: 1", server="echo-v1")
        case.same("/x?q=1", server="echo-v2")
        case.same("/x", "-X", "PUT", server="echo-v2")
        case.same("/x", "-H", "Host: other.example", server="echo-v2", host="third")
        case.same("/x", server="echo-v1", host="echo")


def test_redirects_and_direct_responses(lab):
    def make(ns):
        return [virtual(ns, {"match": [{"uri": {"prefix": "/away"}}], "redirect": {"uri": "/there", "authority": "else", "redirectCode": 308}},
                        {"match": [{"uri": {"prefix": "/scheme"}}], "redirect": {"scheme": "https", "port": 8443}},
                        {"match": [{"uri": {"prefix": "/tea"}}], "directResponse": {"status": 418, "body": {"string": "a teapot"}}}, sent())]
    with Case(lab, make, "/tea", 418) as case:
        for target, status in (("/away/x?q=1", 308), ("/scheme/x?y", 301), ("/tea", 418), ("/x", 200)):
            case.same(target, status=status)


def test_header_changes_and_rewrites(lab):
    def change(verb, name, value):
        return {verb: [{"name": name, "value": value}]}

    def make(ns):
        return [route(ns, "case", "echo", [
            {"matches": [path("/rule")], "filters": [
                {"type": "RequestHeaderModifier", "requestHeaderModifier": {**change("set", "x-r", "rule"), "remove": ["x-gone"]}},
                {"type": "ResponseHeaderModifier", "responseHeaderModifier": {**change("add", "x-out", "rule"), "remove": ["x-of-app"]}}],
             "backendRefs": [to(filters=[{"type": "RequestHeaderModifier", "requestHeaderModifier": change("add", "x-r", "backend")},
                                         {"type": "ResponseHeaderModifier", "responseHeaderModifier": change("add", "x-out", "backend")}])]},
            {"matches": [path("/host")], "filters": [{"type": "URLRewrite", "urlRewrite": {
                "hostname": "inside", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}], "backendRefs": [to()]},
            {"matches": [path("/ready")], "backendRefs": [to()]}])]
    with Case(lab, make) as case:
        case.same("/rule/header-x_of_app-1", "-H", "x-r: mine", "-H", "x-gone: 1", status=200)
        case.same("/host/a?b=c", host="inside", path="/new/a?b=c")
        case.same("/host", path="/new")
        case.same("/nothing", status=404)


def test_cors(lab):
    def make(ns):
        cors = {"allowOrigins": [{"exact": "https://good.example"}, {"prefix": "https://a.fine."}, {"regex": "https://[a-z]+[.]any[.]example"}],
                "allowMethods": ["GET", "PUT"], "allowHeaders": ["x-a"], "exposeHeaders": ["x-b"], "allowCredentials": True}
        return [virtual(ns, sent(match=[{"uri": {"prefix": "/strict"}}], corsPolicy={**cors, "maxAge": "60s", "unmatchedPreflights": "IGNORE"}),
                        sent(corsPolicy=cors))]
    with Case(lab, make) as case:
        for origin in ("https://good.example", "https://a.fine.example", "https://one.any.example", "https://bad.example",
                       "http://good.example.bad", "https://1.any.example.bad"):
            preflight = ("-X", "OPTIONS", "-H", f"Origin: {origin}", "-H", "Access-Control-Request-Method: PUT")
            case.same("/x", "-H", f"Origin: {origin}", method="GET")
            if "bad" not in origin:
                for target in ("/x", "/strict"):
                    expect(dict(case.same(target, *preflight, status=200)[1])["access-control-allow-origin"] == origin, f"{target} {origin}")
                continue
            case.same("/x", *preflight, status=200, method="OPTIONS")  # the application's to answer, unless the object says otherwise
            # Envoy says what would be allowed to others; ours says nothing. To a browser both are a no.
            for ns in BOTH:
                status, headers, _ = ask(lab, ns, "/strict", *preflight)
                expect(status == 200 and "access-control-allow-origin" not in dict(headers), f"{ns} {origin}: {status} {headers}")


def test_cors_of_an_httproute(lab):
    def make(ns):
        cors = {"allowOrigins": ["https://good.example", "https://*.fine.example"], "allowMethods": ["PUT"], "allowHeaders": ["x-a"],
                "exposeHeaders": ["x-b"], "allowCredentials": True, "maxAge": 60}
        return [route(ns, "case", "echo", [{"filters": [{"type": "CORS", "cors": cors}], "backendRefs": [to()]}])]
    with Case(lab, make, "/ready", 200, "-H", "Origin: https://good.example") as case:
        for origin in ("https://good.example", "https://a.fine.example"):
            for options in (("-H", f"Origin: {origin}"), ("-X", "OPTIONS", "-H", f"Origin: {origin}", "-H", "Access-Control-Request-Method: PUT")):
                expect(dict(case.same("/x", *options, status=200)[1]).get("access-control-allow-origin") == origin, f"{options}")
        case.same("/x", "-H", "Origin: https://bad.example", status=200)


def test_rewrites_and_answers_of_virtual_services(lab):
    def make(ns):
        return [virtual(ns, sent(match=[{"uri": {"prefix": "/old"}}], rewrite={"uriRegexRewrite": {"match": "^/old/([^/]*)/(.*)$", "rewrite": r"/new/\2/\1"}}),
                        {"match": [{"uri": {"prefix": "/host"}}], "route": [
                            {"destination": {"host": "echo-v1"}, "weight": 1, "headers": {"request": {"set": {"Host": "inside"}}}},
                            {"destination": {"host": "echo-v2"}, "weight": 0}]},
                        {"match": [{"uri": {"prefix": "/tea"}}], "directResponse": {"status": 418, "body": {"string": "short and stout"}},
                         "headers": {"response": {"set": {"x-pot": "brown", "content-type": "text/plain"}}}},
                        {"match": [{"uri": {"prefix": "/moved"}}], "redirect": {"prefixRewrite": "/to", "redirectCode": 307},
                         "headers": {"response": {"add": {"x-why": "tidy"}}}}, sent())]
    with Case(lab, make, "/tea", 418) as case:
        case.same("/old/a/b?c=d", path="/new/b/a?c=d")
        for ns in BOTH:  # they differ in when they add x-envoy-original-path and x-envoy-original-host
            expect(ask(lab, ns, "/old/a")[2]["path"] == "/old/a", f"{ns}: only what matches is rewritten")
            expect(ask(lab, ns, "/host")[2]["headers"]["host"] == "inside", f"{ns}: the host of one of several destinations")
        expect(dict(case.same("/tea", status=418)[1])["x-pot"] == "brown", "a direct response has the rule's headers")
        expect(dict(case.same("/moved/x?y=z", status=307)[1])["x-why"] == "tidy", "so has a redirect")


def test_timeouts(lab):
    def make(ns):
        return [route(ns, "case", "echo", [
            {"matches": [path("/request")], "timeouts": {"request": "300ms"}, "backendRefs": [to()]},
            {"matches": [path("/backend")], "timeouts": {"request": "2s", "backendRequest": "300ms"}, "backendRefs": [to()]},
            {"matches": [path("/")], "backendRefs": [to()]}])]
    with Case(lab, make) as case:
        for target, status in (("/request/delay-2", 504), ("/request/x", 200), ("/backend/delay-2", 504), ("/delay-0.5", 200)):
            case.same(target, status=status)


def test_retries(lab):
    def rule(name, attempts, on, **more):
        return sent(match=[{"uri": {"prefix": f"/{name}"}}], retries={"attempts": attempts, "retryOn": on, **more})

    def make(ns):
        return [virtual(ns, rule("5xx", 2, "5xx"), rule("gateway", 2, "gateway-error"), rule("codes", 1, "retriable-status-codes,409"),
                        rule("4xx", 1, "retriable-4xx"), rule("reset", 1, "reset"), rule("try", 1, "5xx", perTryTimeout="300ms"),
                        rule("none", 0, ""), rule("slow", 2, "5xx", backoff="400ms", retryIgnorePreviousHosts=False), sent())]
    with Case(lab, make) as case:
        case.same("/slow/fail-2-f", status=200)
        begun = time.monotonic()
        ask(lab, "ours", "/slow/fail-2-g")
        expect(time.monotonic() - begun >= 0.8, "a backoff is the least wait; Envoy's may be shorter")
        for target, status in (("/5xx/fail-2-a", 200), ("/5xx/fail-3-b", 503), ("/5xx/status-500", 500), ("/gateway/fail-1-c", 200),
                               ("/gateway/status-500", 500), ("/4xx/status-409", 409), ("/codes/status-409", 409), ("/reset/close", 503),
                               ("/try/delay-2", 504), ("/none/fail-1-d", 503), ("/x/fail-1-e", 503), ("/x/close", 503)):
            case.same(target, status=status)


def test_a_connection_that_fails_is_tried_elsewhere(lab):
    """Nobody listens in one pod of three; Kubernetes, which does not ask it, calls it ready. To stock Envoy a refused tunnel is a
    connection that ended."""
    def make(ns):
        return [waypoints.pod(ns, "shut-0", ["sleep", "infinity"], {"app": "echo", "version": "shut"}), destination(ns, loadBalancer={"simple": "ROUND_ROBIN"}),
                virtual(ns, sent("echo", match=[{"uri": {"prefix": "/again"}}], retries={"attempts": 2, "retryOn": "connect-failure,reset"}),
                        sent("echo", retries={"attempts": 0}))]
    with Case(lab, make) as case:
        for ns in BOTH:
            until(lambda ns=ns: any(code == 503 for code, _ in many(lab, ns, "/x", 9)), f"{ns}: the shut one is asked", 30)
        case.each(lambda seen: set(seen) == {(200, "echo-v1"), (200, "echo-v2")} and sum(seen.values()) == 30, "/again", 30)


def copies(lab, ns, mark):
    """How often each server was asked for a path with that mark."""
    logs = {name: lab.folder() / "logs" / f"{ns}.{name}-0.log" for name in ("echo-v1", "echo-v2")}
    return {name: log.read_text("utf-8", "replace").count(mark) if log.exists() else 0 for name, log in logs.items()}


def test_mirrors_and_their_shares(lab):
    """The answer is the one of whom the route names; the other gets a copy of every request, of some, or of none."""
    def make_route(ns):
        def rule(prefix, **share):
            mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "echo-v2", "port": 80}, **share}}
            return {"matches": [path(prefix)], "filters": [mirror], "backendRefs": [to()]}
        return [route(ns, "case", "echo", [rule("/all"), rule("/some", percent=25), rule("/none", percent=0), {"backendRefs": [to()]}])]

    def make_virtual(ns):
        def rule(prefix, **share):
            return sent(match=[{"uri": {"prefix": prefix}}], mirror={"host": "echo-v2"}, **share)
        return [virtual(ns, rule("/all"), rule("/some", mirrorPercentage={"value": 25}), rule("/none", mirrorPercentage={"value": 0}), sent())]
    for make in (make_route, make_virtual):
        with Case(lab, make):
            for ns in BOTH:
                for prefix, least, most in (("/all", 80, 80), ("/some", 5, 40), ("/none", 0, 0)):
                    mark = f"{prefix}/{secrets.token_hex(4)}"
                    seen = many(lab, ns, mark, 80)
                    expect(seen == {(200, "echo-v1"): 80}, f"{ns} {mark}: {seen}")
                    until(lambda ns=ns, mark=mark, least=least: copies(lab, ns, mark)["echo-v2"] >= least, lambda ns=ns, mark=mark: f"{ns} {mark}: {copies(lab, ns, mark)}", 20)
                    said = copies(lab, ns, mark)
                    expect(said["echo-v1"] == 80 and said["echo-v2"] <= most, f"{ns} {mark}: {said}")


def asked_of(lab, pod, ns):
    """Whether a pod, which may not have started yet, has answered one of a few more requests."""
    many(lab, ns, "/warm", 5)
    return (lab.folder() / "logs" / f"{pod}.log").exists() and "503" in lab.log(pod)


def test_a_retry_goes_to_another_host(lab):
    def make(ns):
        bad = waypoints.echo(ns, "bad", {"app": "echo", "version": "bad"})
        bad["spec"]["containers"][0]["command"][2] = waypoints.ECHO.replace("status, size, extra = 200", "status, size, extra = 503")
        return [bad, virtual(ns, sent("echo", retries={"attempts": 2, "retryOn": "5xx"}))]
    with Case(lab, make) as case:
        for ns in BOTH:
            until(lambda ns=ns: asked_of(lab, f"{ns}.bad-0", ns), f"{ns}: the bad one is asked", 30)
        case.each(lambda seen: sum(count for (status, _), count in seen.items() if status == 200) == 30, "/x", 30)


def test_circuit_breakers(lab):
    def make(ns):
        return [destination(ns, connectionPool={"http": {"http2MaxRequests": 2}})]
    with Case(lab, make) as case:
        case.each(lambda seen: sum(seen.values()) == 8 and sum(n for (code, _), n in seen.items() if code == 200) in (2, 3)
                  and set(code for code, _ in seen) == {200, 503}, "/delay-1", 8, at_once=True)


def test_outlier_detection(lab):
    def make(ns):
        bad = waypoints.echo(ns, "bad", {"app": "echo", "version": "bad"})
        bad["spec"]["containers"][0]["command"][2] = waypoints.ECHO.replace("status, size, extra = 200", "status, size, extra = 500")
        return [bad, destination(ns, outlierDetection={"consecutive5xxErrors": 2, "interval": "1s", "baseEjectionTime": "60s", "maxEjectionPercent": 50},
                                 loadBalancer={"simple": "ROUND_ROBIN"})]
    with Case(lab, make) as case:
        for ns in BOTH:
            until(lambda ns=ns: any(code == 500 for code, _ in many(lab, ns, "/warm", 5)), f"{ns}: it is asked", 30)
            until(lambda ns=ns: set(code for code, _ in many(lab, ns, "/x", 20)) == {200}, lambda ns=ns: f"{ns}: {many(lab, ns, '/x', 20)}", 20)
        case.each(lambda seen: set(seen) == {(200, "echo-v1"), (200, "echo-v2")}, "/x", 30)


def test_balancers(lab):
    for simple in ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"):
        with Case(lab, lambda ns, simple=simple: [destination(ns, loadBalancer={"simple": simple})]) as case:
            exact = simple == "ROUND_ROBIN"
            case.each(lambda seen, exact=exact: set(seen) == {(200, "echo-v1"), (200, "echo-v2")}
                      and (abs(seen[(200, "echo-v1")] - 20) <= (2 if exact else 16)), "/x", 40)
    for hashed in ({"httpHeaderName": "x-key"}, {"httpQueryParameterName": "key"},
                   {"httpHeaderName": "x-key", "maglev": {"tableSize": 1031}}, {"httpHeaderName": "x-key", "ringHash": {"minimumRingSize": 64}}):
        with Case(lab, lambda ns, hashed=hashed: [destination(ns, loadBalancer={"consistentHash": hashed})]):
            for ns in BOTH:
                chosen = set()
                for key in range(12):
                    options = ("-H", f"x-key: {key}")
                    seen = many(lab, ns, f"/x?key={key}", 4, *options)
                    expect(len(seen) == 1, f"{ns} {hashed}: {key} always to one: {seen}")
                    chosen |= set(seen)
                expect(len(chosen) == 2, f"{ns} {hashed}: keys go to both: {chosen}")


def test_weights_of_endpoints(lab):
    def make(ns):
        host, address = "weighed.example", f"240.240.2.{1 + BOTH.index(ns)}"
        endpoints = [{"address": lab.address(f"{ns}/echo-{version}-0"), "weight": weight} for version, weight in (("v1", 1), ("v2", 4))]
        return [named(ISTIO, "ServiceEntry", ns, "case", {"istio.io/use-waypoint": "waypoint"}, spec={
                    "hosts": [host], "addresses": [address], "resolution": "STATIC", "location": "MESH_INTERNAL", "exportTo": ["."],
                    "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}], "endpoints": endpoints}),
                named(ISTIO, "DestinationRule", ns, "case", spec={"host": host, "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}})]
    with Case(lab, make):
        for ns in BOTH:
            last = []
            until(lambda ns=ns, last=last: last.append(many(lab, ns, "/x", 100, host=f"240.240.2.{1 + BOTH.index(ns)}")) or
                  (sum(last[-1].values()) == 100 and 10 <= last[-1][(200, "echo-v1")] <= 30 and last[-1][(200, "echo-v2")] >= 70), lambda ns=ns, last=last: f"{ns}: {last[-3:]}", 30)


def test_subsets(lab):
    def make(ns):
        subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
        return [named(ISTIO, "DestinationRule", ns, "case", spec={"host": "echo", "subsets": subsets}),
                virtual(ns, {"match": [{"uri": {"prefix": "/two"}}], "route": [{"destination": {"host": "echo", "subset": "v2"}}]},
                        {"match": [{"uri": {"prefix": "/none"}}], "route": [{"destination": {"host": "echo", "subset": "v3"}}]},
                        {"match": [{"uri": {"prefix": "/split"}}], "route": [{"destination": {"host": "echo", "subset": "v1"}, "weight": 80},
                                                                            {"destination": {"host": "echo", "subset": "v2"}, "weight": 20}]},
                        {"route": [{"destination": {"host": "echo", "subset": "v1"}}]})]
    with Case(lab, make, "/none", 503) as case:
        case.same("/two", server="echo-v2")
        case.same("/", server="echo-v1")
        case.same("/none", status=503)
        case.each(lambda seen: 140 <= seen[(200, "echo-v1")] <= 180 and sum(seen.values()) == 200, "/split", 200)


def test_local_rate_limits(lab):
    def make(ns):
        rules = [{"name": "few", "matches": [path("/few")], "backendRefs": [to()]}, {"matches": [path("/")], "backendRefs": [to()]}]
        one = route(ns, "case", "echo", rules)
        one["metadata"]["annotations"] = {"weft.dev/local-rate-limit": "few: 3/h; x-tier=free 2/h"}
        return [one]
    with Case(lab, make) as case:
        for _ in range(3):
            case.same("/few", status=200)
        case.same("/few", status=429)
        for status in (200, 200, 429):
            case.same("/x", "-H", "x-tier: free", status=status)
        case.same("/x", "-H", "x-tier: paid", status=200)


def test_faults(lab):
    def make(ns):
        return [virtual(ns, sent(match=[{"uri": {"prefix": "/abort"}}], fault={"abort": {"httpStatus": 418, "percentage": {"value": 100}}}),
                        sent(match=[{"uri": {"prefix": "/late"}}], fault={"delay": {"fixedDelay": "0.5s", "percentage": {"value": 100}}}),
                        sent(match=[{"uri": {"prefix": "/half"}}], fault={"abort": {"httpStatus": 503, "percentage": {"value": 50}}}),
                        sent(match=[{"headers": {"x-break": {"exact": "yes"}}}], fault={"abort": {"httpStatus": 501, "percentage": {"value": 100}}}),
                        sent(match=[{"headers": {"x-break": {"exact": "both"}}}], fault={"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100}}, "delay": {
                            "fixedDelay": "0.2s", "percentage": {"value": 100}}}), sent())]
    with Case(lab, make, "/abort", 418) as case:
        case.same("/abort", status=418)
        begun = time.monotonic()
        case.same("/late", status=200)
        expect(time.monotonic() - begun >= 1, "half a second at each of them")
        case.same("/x", "-H", "x-break: yes", status=501)
        case.same("/x", "-H", "x-break: both", "-H", "content-type: application/grpc", status=200)
        case.same("/x", "-H", "x-break: no", status=200, server="echo-v1")
        case.each(lambda seen: 60 <= sum(count for (code, _), count in seen.items() if code == 503) <= 140, "/half", 200)


def test_peak_ewma(lab):
    """Asked for by an annotation: who is slow gets few. Stock Envoy, which does not know it, goes on as before."""
    def make(ns):
        slow = waypoints.echo(ns, "slow", {"app": "echo", "version": "slow"})
        slow["spec"]["containers"][0]["command"][2] = waypoints.ECHO.replace("status, size, extra = 200", "time.sleep(0.2); status, size, extra = 200")
        rule = destination(ns)
        rule["metadata"]["annotations"] = {"weft.dev/load-balancer": "peak-ewma"}
        return [slow, rule]
    with Case(lab, make) as case:
        for ns in BOTH:
            until(lambda ns=ns: many(lab, ns, "/warm", 10)[(200, "slow")] > 0, f"{ns}: the slow one is asked", 60)
        case.each(lambda seen: seen[(200, "slow")] > 0 and sum(seen[(200, server)] for server in ("echo-v1", "echo-v2", "slow")) == 120, "/x", 120)
        # One in nine, 13: drawn twice it is taken all the same. Of balancers that do not look at times it would get one in three.
        shares = []
        until(lambda: shares.append(many(lab, "ours", "/x", 120)[(200, "slow")]) or shares[-1] <= 20, lambda: f"the slow one gets {shares} of 120", 90)


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-features-") as source:
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "features", pathlib.Path(source))
