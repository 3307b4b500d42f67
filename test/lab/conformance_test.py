"""Gateway API's mesh conformance (profiles MESH-HTTP and MESH-GRPC, and what runs beside them), written again from
what each test says it checks, with the status of each route. WEFT_STOCK=1: with stock Envoy as the waypoint."""
import collections
import json
import os
import pathlib
import sys
import tempfile
import urllib.parse

import waypoints
from harness import expect, main, until

STOCK = bool(os.environ.get("WEFT_STOCK"))
PORTS = (("http", 80, 8080), ("http-alt", 8080, 8080))
GRPC = ("grpc", 7070, 7070)


def world():
    objects = [waypoints.namespace("mesh", **{"istio.io/use-waypoint": "waypoint"}), waypoints.namespace("consumer"),
               *waypoints.waypoint("mesh", stock=STOCK), waypoints.service("mesh", "echo", {"app": "echo"}, *PORTS),
               waypoints.service("mesh", "grpc", {"app": "grpc"}, GRPC),
               waypoints.pod("consumer", "client", ["sleep", "infinity"], {"app": "client"})]
    for version in ("v1", "v2"):
        http, grpc = {"app": "echo", "version": version}, {"app": "grpc", "version": version}
        objects += [waypoints.echo("mesh", f"echo-{version}", http), waypoints.service("mesh", f"echo-{version}", http, *PORTS),
                    waypoints.grpc_echo("mesh", f"grpc-{version}", grpc), waypoints.service("mesh", f"grpc-{version}", grpc, GRPC)]
    return objects


def statuses(lab):
    token = (lab.folder() / "control" / "debug-token").read_text().strip()
    done = lab.inside("link", "curl", "-sS", "-H", f"Authorization: Bearer {token}", "http://192.168.77.254:15014/debug/status")
    return json.loads(done.stdout)["statuses"] if done.stdout.startswith("{") else []


def parents(lab, route):
    """{(kind, namespace, name, port): {type: status/reason}} of a route."""
    for one in statuses(lab):
        if (one["kind"], one["namespace"], one["name"]) == (route["kind"], route["metadata"]["namespace"], route["metadata"]["name"]):
            return {(its["kind"], its["namespace"], its["name"], its["port"]):
                    {c["type"]: f"{c['status']}/{c['reason']}" for c in its["conditions"]} for its in one.get("parents", [])}
    return {}


class Routes:
    """Routes that are there for one test, each with the status that it must have."""

    def __init__(self, lab, *routes, refs="True/ResolvedRefs"):
        self.lab, self.routes, self.refs = lab, routes, refs

    def __enter__(self):
        self.lab.apply(waypoints.text(self.routes), "routes.yaml")
        for one in self.routes:
            ns = one["metadata"]["namespace"]
            asked = {(its["kind"], its.get("namespace", ns), its["name"], its.get("port", 0)) for its in one["spec"]["parentRefs"]}
            wanted = {"Accepted": "True/Accepted", "ResolvedRefs": self.refs, "ResolvedWaypoints": "True/ResolvedWaypoints"}
            until(lambda one=one, asked=asked: parents(self.lab, one) == {its: wanted for its in asked},
                  lambda one=one: f"status of {one['metadata']['name']}: {parents(self.lab, one)}")

    def __exit__(self, *_):
        for one in self.routes:
            self.lab.delete(one["kind"], f"{one['metadata']['namespace']}/{one['metadata']['name']}")


Answer = collections.namedtuple("Answer", "status headers said")


def ask(lab, url, *options, who="mesh/echo-v1-0"):
    done = lab.curl(who, url, "-i", *options)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    lines = head.split("\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    words = lines[0].split()
    try:
        said = json.loads(body)
    except ValueError:
        said = {"text": body, "problem": done.stderr}
    return Answer(int(words[1]) if len(words) > 1 else 0, headers, said)


def check(lab, url, *options, status=200, server=None, path=None, saw=None, unseen=(), has=None, lacks=(), who="mesh/echo-v1-0"):
    """Three times in a row, within the deadline, as the original asks."""
    def right():
        answer = ask(lab, url, *options, who=who)
        seen = answer.said.get("headers", {})
        return (answer.status == status and (server is None or answer.said.get("server") == server)
                and (path is None or answer.said.get("path") == path)
                and all(seen.get(name) == value for name, value in (saw or {}).items()) and not any(name in seen for name in unseen)
                and all(answer.headers.get(name) == value for name, value in (has or {}).items())
                and not any(name in answer.headers for name in lacks))
    until(lambda: all(right() for _ in range(3)), lambda: f"{url} {options}: {ask(lab, url, *options, who=who)}")


def to(name, port=80, **more):
    return {"name": name, "port": port, **more}


def path(value, kind="PathPrefix"):
    return {"path": {"type": kind, "value": value}}


def headers(**values):
    return {"headers": [{"name": name, "value": value} for name, value in values.items()]}


def rule(backends=(), matches=(), filters=(), **more):
    return {**more, **({"matches": list(matches)} if matches else {}), **({"filters": list(filters)} if filters else {}),
            **({"backendRefs": list(backends)} if backends else {})}


def response_header(value):
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "X-Header-Set", "value": value}]}}


def request_headers(**change):
    """add_, set_: {name: value}; remove: [name]."""
    lists = {verb: [{"name": name, "value": value} for name, value in values.items()] if verb != "remove" else values
             for verb, values in change.items()}
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": lists}


def redirect(**what):
    return {"type": "RequestRedirect", "requestRedirect": what}


def rewrite(kind, value):
    field = "replaceFullPath" if kind == "ReplaceFullPath" else "replacePrefixMatch"
    return {"type": "URLRewrite", "urlRewrite": {"path": {"type": kind, field: value}}}


def check_redirect(lab, url, status=302, scheme="http", host="echo", port=None, location=None):
    def right():
        answer = ask(lab, url)
        to_ = urllib.parse.urlsplit(answer.headers.get("location", ""))
        return (answer.status == status and to_.scheme == scheme and to_.hostname == host and to_.port == port
                and to_.path == (location or urllib.parse.urlsplit(url).path))
    until(lambda: all(right() for _ in range(3)), lambda: f"{url}: {ask(lab, url)}")


# ---- core of MESH-HTTP ----


def test_mesh_basic(lab):
    until(lambda: ask(lab, "http://echo/").status == 200, lambda: ask(lab, "http://echo/"), 30)
    check(lab, "http://echo/", status=200)
    check(lab, "http://echo-v2/", server="echo-v2")


def test_mesh_traffic_split(lab):
    with Routes(lab, waypoints.route("mesh", "split", "echo", [
            rule([to("echo-v1")], [path("/v1", "Exact")]), rule([to("echo-v2")], [path("/v2", "Exact")])], port=80)):
        check(lab, "http://echo/v1", server="echo-v1")
        check(lab, "http://echo/v2", server="echo-v2")
        check(lab, "http://echo/v3", status=404)


def test_httproute_matching(lab):
    with Routes(lab, waypoints.route("mesh", "matching", "echo", [
            rule([to("echo-v1")], [path("/"), headers(version="one")]),
            rule([to("echo-v2")], [path("/v2"), headers(version="two")])])):
        for options in ((), ("-H", "version: one")):
            check(lab, "http://echo/", *options, server="echo-v1")
        for url in ("http://echo/v2", "http://echo/v2/", "http://echo/v2/example"):
            check(lab, url, server="echo-v2")
        check(lab, "http://echo/v2example", server="echo-v1")  # by segments
        check(lab, "http://echo/foo/v2/example", server="echo-v1")
        check(lab, "http://echo/", "-H", "version: two", server="echo-v2")
        check(lab, "http://echo/v2", "-H", "version: one", server="echo-v2")  # a longer path before a header


def test_httproute_simple_same_namespace(lab):
    with Routes(lab, waypoints.route("mesh", "simple", "echo", [rule([to("echo-v1")])])):
        check(lab, "http://echo/", server="echo-v1")


def shares(lab, url, count=500):
    config = f'url = "{url}"\nwrite-out = "\\n"\n' * count
    done = lab.inside("mesh/echo-v1-0", "curl", "-sS", "-K", "-", input=config)
    return collections.Counter(json.loads(line)["server"] for line in done.stdout.splitlines() if line.startswith("{"))


def near(found, wanted, count=500):
    return sum(found.values()) == count and all(abs(found[name] / count - share) <= 0.05 for name, share in wanted.items())


def test_httproute_weight(lab):
    with Routes(lab, waypoints.route("mesh", "weighted", "echo", [
            rule([to("echo-v1", weight=70), to("echo-v2", weight=30), to("grpc-v1", 7070, weight=0)])])):
        until(lambda: ask(lab, "http://echo/").status == 200, "in force")
        tries = [shares(lab, "http://echo/") for _ in range(3)]
        expect(any(near(one, {"echo-v1": 0.7, "echo-v2": 0.3}) for one in tries), f"70 to 30: {tries}")


def test_httproute_request_header_modifier(lab):
    sent = ("-H", "Some-Other-Header: val", "-H", "X-Header-Set: some", "-H", "X-Header-Add: mine", "-H", "X-Header-Remove: gone")
    with Routes(lab, waypoints.route("mesh", "modifier", "echo", [
            rule([to("echo-v1")], [path("/set")], [request_headers(set={"X-Header-Set": "set-overwrites-values"})]),
            rule([to("echo-v1")], [path("/add")], [request_headers(add={"X-Header-Add": "add-appends-values"})]),
            rule([to("echo-v1")], [path("/remove")], [request_headers(remove=["X-Header-Remove"])]),
            rule([to("echo-v1")], [path("/multiple")], [request_headers(
                set={"X-Header-Set-1": "one", "X-Header-Set-2": "two"}, add={"X-Header-Add-1": "one", "X-Header-Add-2": "two"},
                remove=["X-Header-Remove", "Some-Other-Header"])])])):
        check(lab, "http://echo/set", *sent, saw={"x-header-set": "set-overwrites-values", "some-other-header": "val"})
        check(lab, "http://echo/set", saw={"x-header-set": "set-overwrites-values"})
        check(lab, "http://echo/add", *sent, saw={"x-header-add": "mine,add-appends-values"})
        check(lab, "http://echo/add", saw={"x-header-add": "add-appends-values"})
        check(lab, "http://echo/remove", *sent, saw={"some-other-header": "val"}, unseen=["x-header-remove"])
        check(lab, "http://echo/multiple", *sent, unseen=["x-header-remove", "some-other-header"], saw={
            "x-header-set-1": "one", "x-header-set-2": "two", "x-header-add-1": "one", "x-header-add-2": "two"})


def test_httproute_redirect_host_and_status(lab):
    with Routes(lab, waypoints.route("mesh", "redirect", "echo", [
            rule(matches=[path("/hostname-redirect")], filters=[redirect(hostname="example.org")]),
            rule(matches=[path("/host-and-status")], filters=[redirect(hostname="example.org", statusCode=301)])])):
        check_redirect(lab, "http://echo/hostname-redirect", host="example.org")
        check_redirect(lab, "http://echo/host-and-status", status=301, host="example.org")


# ---- MESH-GRPC ----


def grpc(lab, target, *options):
    done = lab.inside("mesh/echo-v1-0", str(waypoints.GRPC_CLIENT), "call", target, *options)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_grpcroute_weight(lab):
    with Routes(lab, waypoints.route("mesh", "weighted", "grpc", [
            rule([to("grpc-v1", 7070, weight=70), to("grpc-v2", 7070, weight=30)])], kind="GRPCRoute")):
        until(lambda: grpc(lab, "grpc:7070")[0]["code"] == 0, lambda: grpc(lab, "grpc:7070"), 30)
        tries = [collections.Counter(one["server"] for one in grpc(lab, "grpc:7070", "-n", "500")) for _ in range(3)]
        expect(any(near(one, {"grpc-v1": 0.7, "grpc-v2": 0.3}) for one in tries), f"70 to 30: {tries}")


def test_grpcroute_request_header_modifier(lab):
    with Routes(lab, waypoints.route("mesh", "modifier", "grpc", [
            rule([to("grpc-v1", 7070)], [headers(which="set")], [request_headers(set={"x-set": "as-routed"})]),
            rule([to("grpc-v1", 7070)], [headers(which="add")], [request_headers(add={"x-add": "more"})]),
            rule([to("grpc-v2", 7070)], [headers(which="remove")], [request_headers(remove=["x-remove"])]),
            rule([to("grpc-v2", 7070)], [{"method": {"service": "weft.test.Echo", "method": "Unary"}, **headers(which="method")}])],
                                     kind="GRPCRoute")):
        def call(which):
            return grpc(lab, "grpc:7070", "-H", f"which={which}", "-H", "x-set=mine", "-H", "x-add=mine", "-H", "x-remove=mine")[0]
        for which, server, name, value in (("set", "grpc-v1", "x-set", "as-routed"), ("add", "grpc-v1", "x-add", "mine,more"),
                                           ("remove", "grpc-v2", "x-remove", None), ("method", "grpc-v2", "x-set", "mine")):
            def right(which=which, server=server, name=name, value=value):
                said = call(which)
                return said["server"] == server and said["headers"].get(name) == value
            until(lambda right=right: all(right() for _ in range(3)), lambda which=which: f"{which}: {call(which)}")
        expect(call("none")["code"] == 12, f"no rule: UNIMPLEMENTED: {call('none')}")


# ---- extended ----


def query(**values):
    return {"queryParams": [{"name": name, "value": value} for name, value in values.items()]}


def test_httproute_query_param_matching(lab):
    with Routes(lab, waypoints.route("mesh", "query", "echo", [
            rule([to("echo-v1")], [query(animal="whale")]), rule([to("echo-v2")], [query(animal="dolphin")]),
            rule([to("echo-v1")], [query(animal="dolphin", color="blue"), query(ANIMAL="Whale")])])):
        check(lab, "http://echo/?animal=whale", server="echo-v1")
        check(lab, "http://echo/?animal=dolphin", server="echo-v2")
        check(lab, "http://echo/?animal=dolphin&color=yellow", server="echo-v2")
        check(lab, "http://echo/?color=blue&animal=dolphin", server="echo-v1")
        check(lab, "http://echo/?ANIMAL=Whale", server="echo-v1")
        for nothing in ("?animal=dog", "?animal=whaledolphin", "?animal=", "?color=blue", "?animal=Dolphin", ""):
            check(lab, f"http://echo/{nothing}", status=404)


def test_httproute_redirect_path(lab):
    prefix = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/replacement-prefix"}
    full = {"type": "ReplaceFullPath", "replaceFullPath": "/replacement-full"}
    with Routes(lab, waypoints.route("mesh", "redirect", "echo", [
            rule(matches=[path("/original-prefix")], filters=[redirect(path=prefix)]),
            rule(matches=[path("/full")], filters=[redirect(path=full)]),
            rule(matches=[path("/path-and-host")], filters=[redirect(hostname="example.org", path=prefix)]),
            rule(matches=[path("/path-and-status")], filters=[redirect(path=prefix, statusCode=301)]),
            rule(matches=[path("/full-path-and-host")], filters=[redirect(hostname="example.org", path=full)]),
            rule(matches=[path("/full-path-and-status")], filters=[redirect(path=full, statusCode=301)])])):
        check_redirect(lab, "http://echo/original-prefix/lemon", location="/replacement-prefix/lemon")
        check_redirect(lab, "http://echo/full/path/original", location="/replacement-full")
        check_redirect(lab, "http://echo/path-and-host", host="example.org", location="/replacement-prefix")
        check_redirect(lab, "http://echo/path-and-status", status=301, location="/replacement-prefix")
        check_redirect(lab, "http://echo/full-path-and-host", host="example.org", location="/replacement-full")
        check_redirect(lab, "http://echo/full-path-and-status", status=301, location="/replacement-full")


def test_httproute_redirect_port(lab):
    with Routes(lab, waypoints.route("mesh", "redirect", "echo", [
            rule(matches=[path("/port")], filters=[redirect(port=8083)]),
            rule(matches=[path("/port-and-host")], filters=[redirect(hostname="example.org", port=8083)]),
            rule(matches=[path("/port-and-status")], filters=[redirect(port=8083, statusCode=301)]),
            rule(matches=[path("/port-and-host-and-status")], filters=[redirect(hostname="example.org", port=8083, statusCode=302)])])):
        check_redirect(lab, "http://echo/port", port=8083)
        check_redirect(lab, "http://echo/port-and-host", host="example.org", port=8083)
        check_redirect(lab, "http://echo/port-and-status", status=301, port=8083)
        check_redirect(lab, "http://echo/port-and-host-and-status", host="example.org", port=8083)


def test_httproute_scheme_redirect(lab):
    with Routes(lab, waypoints.route("mesh", "redirect", "echo", [
            rule(matches=[path("/scheme")], filters=[redirect(scheme="https")]),
            rule(matches=[path("/scheme-and-host")], filters=[redirect(hostname="example.org", scheme="https")]),
            rule(matches=[path("/scheme-and-status")], filters=[redirect(scheme="https", statusCode=301)]),
            rule(matches=[path("/scheme-and-host-and-status")], filters=[
                redirect(hostname="example.org", scheme="https", statusCode=302)])])):
        check_redirect(lab, "http://echo/scheme", scheme="https")
        check_redirect(lab, "http://echo/scheme-and-host", scheme="https", host="example.org")
        check_redirect(lab, "http://echo/scheme-and-status", status=301, scheme="https")
        check_redirect(lab, "http://echo/scheme-and-host-and-status", scheme="https", host="example.org")


def test_httproute_rewrite_path(lab):
    change = request_headers(set={"X-Header-Set": "set-overwrites-values"}, remove=["X-Header-Remove"],
                             add={"X-Header-Add": "header-val-1", "X-Header-Add-Append": "header-val-2"})
    sent = ("-H", "X-Header-Remove: remove-val", "-H", "X-Header-Add-Append: append-val-1", "-H", "X-Header-Set: set-val")
    saw = {"x-header-add": "header-val-1", "x-header-add-append": "append-val-1,header-val-2", "x-header-set": "set-overwrites-values"}
    with Routes(lab, waypoints.route("mesh", "rewrite", "echo", [
            rule([to("echo-v1")], [path("/prefix/one")], [rewrite("ReplacePrefixMatch", "/one")]),
            rule([to("echo-v1")], [path("/strip-prefix")], [rewrite("ReplacePrefixMatch", "/")]),
            rule([to("echo-v1")], [path("/full/one")], [rewrite("ReplaceFullPath", "/one")]),
            rule([to("echo-v1")], [path("/full/rewrite-path-and-modify-headers")], [change, rewrite("ReplaceFullPath", "/test")]),
            rule([to("echo-v1")], [path("/prefix/rewrite-path-and-modify-headers")], [change, rewrite("ReplacePrefixMatch", "/prefix")])])):
        check(lab, "http://echo/prefix/one/two", path="/one/two", server="echo-v1")
        check(lab, "http://echo/strip-prefix/three", path="/three")
        check(lab, "http://echo/strip-prefix", path="/")
        check(lab, "http://echo/full/one/two", path="/one")
        check(lab, "http://echo/full/rewrite-path-and-modify-headers/test", *sent, path="/test", saw=saw, unseen=["x-header-remove"])
        check(lab, "http://echo/prefix/rewrite-path-and-modify-headers/one", *sent, path="/prefix/one", saw=saw, unseen=["x-header-remove"])


def test_httproute_backend_request_header_modifier(lab):
    with Routes(lab, waypoints.route("mesh", "backend", "echo", [
            rule([to("echo-v1", filters=[request_headers(set={"X-Header-Set": "of-v1"}, remove=["X-Header-Remove"])])], [path("/one")]),
            rule([to("echo-v2", filters=[request_headers(add={"X-Header-Add": "of-v2"})])], [path("/two")]),
            rule([to("echo-v1", weight=1, filters=[request_headers(set={"x-which": "v1"})]),
                  to("echo-v2", weight=1, filters=[request_headers(set={"x-which": "v2"})])], [path("/both")])])):
        check(lab, "http://echo/one", "-H", "X-Header-Remove: r", server="echo-v1", saw={"x-header-set": "of-v1"}, unseen=["x-header-remove"])
        check(lab, "http://echo/two", "-H", "X-Header-Add: mine", server="echo-v2", saw={"x-header-add": "mine,of-v2"})
        for _ in range(10):
            said = ask(lab, "http://echo/both").said
            expect(said["server"] == f"echo-{said['headers']['x-which']}", f"the chosen backend's own: {said}")


def test_httproute_named_rule(lab):
    with Routes(lab, waypoints.route("mesh", "named", "echo", [
            rule([to("echo-v1")], [path("/named")], name="named-rule"), rule([to("echo-v2")], [path("/unnamed")])])):
        check(lab, "http://echo/named", server="echo-v1", path="/named")
        check(lab, "http://echo/unnamed", server="echo-v2")


# ---- beside the profiles ----


def test_mesh_frontend(lab):
    with Routes(lab, waypoints.route("mesh", "frontend", "echo-v2", [rule([to("echo-v2")], filters=[response_header("set")])], port=80)):
        check(lab, "http://echo-v2/", server="echo-v2", has={"x-header-set": "set"})
        # who is asked by its own address is no frontend
        check(lab, f"http://{lab.address('mesh/echo-v2-0')}:8080/", server="echo-v2", lacks=["x-header-set"])


def test_mesh_frontend_hostname(lab):
    """ClusterIPMatching: the address counts, not what Host says."""
    with Routes(lab, waypoints.route("mesh", "frontend", "echo-v2", [rule([to("echo-v2")], filters=[response_header("set")])])):
        check(lab, "http://echo-v2/", "-H", "Host: echo-v1", server="echo-v2", has={"x-header-set": "set"})
        check(lab, "http://echo-v1/", "-H", "Host: echo-v2", server="echo-v1", lacks=["x-header-set"])


def test_mesh_ports(lab):
    with Routes(lab, waypoints.route("mesh", "one-port", "echo-v1", [rule([to("echo-v1")], filters=[response_header("v1")])], port=80),
                waypoints.route("mesh", "every-port", "echo-v2", [rule([to("echo-v2")], filters=[response_header("v2")])])):
        check(lab, "http://echo-v1/", server="echo-v1", has={"x-header-set": "v1"})
        check(lab, "http://echo-v1:8080/", server="echo-v1", lacks=["x-header-set"])
        check(lab, "http://echo-v2/", server="echo-v2", has={"x-header-set": "v2"})
        check(lab, "http://echo-v2:8080/", server="echo-v2", has={"x-header-set": "v2"})


def test_mesh_consumer_route(lab):
    own = waypoints.route("consumer", "own", "echo-v1", [
        rule([to("echo-v1", namespace="mesh")], [path("/only")], [response_header("set")])], namespace="mesh")
    theirs = waypoints.route("mesh", "theirs", "echo-v1", [rule([to("echo-v1")], filters=[response_header("theirs")])])
    with Routes(lab, own):
        check(lab, "http://echo-v1.mesh/only", server="echo-v1", has={"x-header-set": "set"}, who="consumer/client")
        check(lab, "http://echo-v1.mesh/", status=404, who="consumer/client")
        check(lab, "http://echo-v1.mesh/only", server="echo-v1", lacks=["x-header-set"])
        with Routes(lab, theirs):
            check(lab, "http://echo-v1.mesh/", server="echo-v1", has={"x-header-set": "theirs"})
            check(lab, "http://echo-v1.mesh/only", has={"x-header-set": "set"}, who="consumer/client")


def redirect_status(lab, status):
    with Routes(lab, waypoints.route("mesh", "redirect", "echo", [
            rule(matches=[path("/redirect")], filters=[redirect(hostname="example.org", statusCode=status)])])):
        check_redirect(lab, "http://echo/redirect", status=status, host="example.org")


def test_httproute_303_redirect(lab):
    redirect_status(lab, 303)


def test_httproute_307_redirect(lab):
    redirect_status(lab, 307)


def test_httproute_308_redirect(lab):
    redirect_status(lab, 308)


# ---- what a status says of a route that is not as it should be ----


def test_status_of_what_is_missing(lab):
    gone = waypoints.route("mesh", "gone", "echo", [rule([to("nobody")], [path("/gone")]), rule([to("echo-v1")])])
    with Routes(lab, gone, refs="False/BackendNotFound"):
        check(lab, "http://echo/gone", status=500)
        check(lab, "http://echo/", server="echo-v1")
    foreign = waypoints.route("mesh", "foreign", "echo", [rule([to("client", namespace="consumer")], [path("/foreign")])])
    with Routes(lab, foreign, refs="False/RefNotPermitted"):
        check(lab, "http://echo/foreign", status=500)
    lost = waypoints.route("mesh", "lost", "echo", [rule([to("echo-v1")])], port=99)
    lab.apply(waypoints.text([lost]), "lost.yaml")
    until(lambda: parents(lab, lost).get(("Service", "mesh", "echo", 99), {}).get("Accepted") == "False/NoMatchingParent",
          lambda: parents(lab, lost))
    lab.delete("HTTPRoute", "mesh/lost")


if __name__ == "__main__":
    if STOCK and not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-conformance-") as source:
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        main(globals(), "conformance", pathlib.Path(source))
