"""Traces and access logs as Telemetry objects ask for them, of weft-waypoint and of stock Envoy: the same objects, the same
requests, one collector."""
import json
import pathlib
import secrets
import sys
import tempfile

import features_test as features
import waypoints
from features_test import BOTH, Case, ask
from harness import expect, main, until
from waypoints import named

HERE = pathlib.Path(__file__).resolve().parent
COLLECTOR = "collector.obs.svc.cluster.local"
PARENT = "b7ad6b7169203331"
MESH = {"extensionProviders": [
    {"name": "by-grpc", "opentelemetry": {"service": COLLECTOR, "port": 4317}},
    {"name": "by-http", "opentelemetry": {"service": f"obs/{COLLECTOR}", "port": 4318, "http": {"path": "/v1/traces", "timeout": "5s"}}},
    {"name": "nobody", "opentelemetry": {"service": "nobody.obs.svc.cluster.local", "port": 4317}},
    {"name": "text", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {
        "text": "case %RESPONSE_CODE% %REQ(:METHOD)% %REQ(:PATH)% %REQ(X-NONE?X-A):3% %RESPONSE_FLAGS% %PROTOCOL% 100%%"}}},
    {"name": "tried", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {"text": "tried %REQ(:PATH)%" + "".join(
        f" %DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_{one})%" for one in (
            "deny_shadow_engine_result", "deny_shadow_effective_policy_id", "allow_shadow_engine_result"))}}},
    {"name": "json", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {"labels": {
        "case": "json", "code": "%RESPONSE_CODE%", "path": "%REQ(:PATH)%", "sent": "%BYTES_SENT%", "none": "%REQ(X-NONE)%"}}}},
    {"name": "als", "envoyOtelAls": {"service": COLLECTOR, "port": 4317}}]}


def world():
    collector = waypoints.pod("obs", "collector-0", [sys.executable, "-u", HERE / "collector.py"], {"app": "collector"},
                              ready={"tcpSocket": {"port": 4318}})
    return [*features.world(), waypoints.namespace("obs"), collector,
            waypoints.service("obs", "collector", {"app": "collector"}, ("grpc-otlp", 4317, 4317), ("http-otlp", 4318, 4318))]


def telemetry(ns, target=None, name="case", **spec):
    ref = {"group": "", "kind": "Service", "name": target} if target else {
        "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}
    return named("telemetry.istio.io/v1", "Telemetry", ns, name, spec={"targetRefs": [ref], **spec})


def collected(lab):
    log = lab.folder() / "logs" / "obs.collector-0.log"
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")] if log.exists() else []


def first_span(lab, ns, *options, sampled="01", by=None):
    """Of the first request whose span has arrived; `by`: the way that it must have come."""
    asked = set()

    def found():
        trace = secrets.token_hex(16)
        asked.add(trace)
        ask(lab, ns, "/traced/status-404", "-H", f"traceparent: 00-{trace}-{PARENT}-{sampled}", *options)
        return next((span for span in collected(lab) if span["trace"] in asked and (by is None or span.get("by") == by)), None)
    return until(found, f"{ns}: a span arrives", 60)


def test_one_trace_of_both(lab):
    """Over gRPC, then over HTTP: the client's trace, the client's child, and the same said of the request."""
    for ns in BOTH:
        until(lambda ns=ns: ask(lab, ns, "/")[0] == 200, lambda ns=ns: ask(lab, ns, "/"), 30)
    for provider, by in (("by-grpc", "grpc"), ("by-http", None)):
        def make(ns, provider=provider):
            return [telemetry(ns, tracing=[{"providers": [{"name": provider}], "randomSamplingPercentage": 100, "customTags": {
                "env": {"literal": {"value": "lab"}}, "who": {"header": {"name": "x-user"}},
                "plan": {"header": {"name": "x-plan", "defaultValue": "free"}}}}])]
        with Case(lab, make):
            shown = {}
            for ns in BOTH:
                span = first_span(lab, ns, "-H", "x-user: ann", by=by)
                said = {name: str(value) for name, value in span["attributes"].items()}
                expect(span["parent"] == PARENT and span["ended"] > span["begun"], f"{ns}: {span}")
                expect(span["service"] == f"waypoint.{ns}", f"{ns}: whose it is: {span}")
                shown[ns] = span["name"].replace(ns, "NS"), {name: said.get(name) for name in (
                    "env", "who", "plan", "http.method", "http.status_code", "http.url", "http.protocol", "user_agent", "component")}
            expect(shown["ours"] == shown["stock"], f"{provider}: ours {shown['ours']} but stock {shown['stock']}")
            expect((shown["ours"][1]["who"], shown["ours"][1]["plan"]) == ("ann", "free"), f"{shown}")


def test_who_samples(lab):
    """The caller's no counts; without a caller's word it is the percentage. Spans are sent in their order: what came before
    one that is there is there too, or never will be."""
    def make(ns, percentage):
        return [telemetry(ns, tracing=[{"providers": [{"name": "by-http"}], "randomSamplingPercentage": percentage}])]
    with Case(lab, lambda ns: make(ns, 0)):
        for ns in BOTH:
            for _ in range(10):
                expect(ask(lab, ns, "/percentage")[0] == 200, f"{ns}: it is answered")
    with Case(lab, lambda ns: make(ns, 100)):
        for ns in BOTH:
            first_span(lab, ns)
            unsampled = [secrets.token_hex(16) for _ in range(5)]
            for trace in unsampled:
                _, _, saw = ask(lab, ns, "/not", "-H", f"traceparent: 00-{trace}-{PARENT}-00")
                expect(saw["path"] == "/not", f"{saw}")
            first_span(lab, ns)
            spans = collected(lab)
            expect(not [span for span in spans if span["trace"] in unsampled], f"{ns}: the caller's no counts")
            late = [span for span in spans if "/percentage" in str(span["attributes"].get("http.url")) and span["service"] == f"waypoint.{ns}"]
            expect(not late, f"{ns}: none of a hundred: {late[:1]}")


def test_traces_begun_in_b3(lab):
    """Ours alone: stock Envoy's tracer reads `traceparent` only. The caller's yes counts though nothing else is sampled, and the
    application hears of it in W3C's words."""
    with Case(lab, lambda ns: [telemetry(ns, tracing=[{"providers": [{"name": "by-http"}], "randomSamplingPercentage": 0}])]):
        for make in (lambda trace: ("-H", f"b3: {trace}-{PARENT}-1"),
                     lambda trace: ("-H", f"X-B3-TraceId: {trace}", "-H", f"X-B3-SpanId: {PARENT}", "-H", "X-B3-Sampled: 1")):
            told = {}

            def found(make=make, told=told):
                trace = secrets.token_hex(16)
                told[trace] = json.loads(lab.curl("ours/client", "http://echo/b3", *make(trace)).stdout)["headers"].get("traceparent")
                return next((span for span in collected(lab) if span["trace"] in told), None)
            span = until(found, lambda told=told: f"a span arrives: {told}", 60)
            expect(span["parent"] == PARENT, f"the caller's child: {span}")
            wrong = {trace: said for trace, said in told.items() if not (said or "").startswith(f"00-{trace}-") or not said.endswith("-01") or PARENT in said}
            expect(not wrong, f"what the application hears: {wrong}")


def lines(lab, ns, start):
    return [line for line in lab.log(f"{ns}.waypoint-0").splitlines() if line.startswith(start)]


def logged(lab, ns, start, target, *options):
    """The line about a request for `target`, which is asked until there is one."""
    def found():
        ask(lab, ns, target, *options)
        return next((line for line in lines(lab, ns, start) if target in line), None)
    return until(found, lambda: f"{ns}: a line of {target}: {lines(lab, ns, start)[-3:]}", 60)


def test_logs_as_text_and_json(lab):
    with Case(lab, lambda ns: [telemetry(ns, accessLogging=[{"providers": [{"name": "text"}, {"name": "json"}]}])]):
        for target, options in (("/text/status-503", ("-H", "x-a: abcdef")), ("/text/a?b=c", ("-X", "PUT"))):
            ours, stock = (logged(lab, ns, "case ", target, *options) for ns in BOTH)
            expect(ours == stock and ours.endswith(" 100%"), f"ours {ours!r} but stock {stock!r}")
        ours, stock = (json.loads(logged(lab, ns, "{", "/json/size-1000")) for ns in BOTH)
        expect(ours == stock and ours == {"case": "json", "code": 200, "path": "/json/size-1000", "sent": 1000, "none": None},
               f"ours {ours} but stock {stock}")


def test_logs_of_dry_runs(lab):
    def make(ns):
        rules = [{"to": [{"operation": {"paths": ["/tried*"]}}]}]
        policies = [named("security.istio.io/v1", "AuthorizationPolicy", ns, action.lower(), spec={
            "targetRefs": [{"group": "", "kind": "Service", "name": "echo"}], "action": action, "rules": rules}) for action in ("DENY", "ALLOW")]
        for one in policies:
            one["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
        return [telemetry(ns, accessLogging=[{"providers": [{"name": "tried"}]}]), *policies]
    with Case(lab, make):
        for ns in BOTH:
            for target, said in (("/tried/a", f"denied ns[{ns}]-policy[deny]-rule[0] allowed"), ("/x", "allowed - denied")):
                def last(ns=ns, target=target):
                    mark = f"{target}/{secrets.token_hex(4)}"
                    return logged(lab, ns, "tried ", mark).partition(f"{mark} ")[2]
                until(lambda said=said: last() == said, lambda ns=ns, target=target: f"{ns} {target}: {last()}", 30)


def test_conditions_of_logs(lab):
    expression = "response.code >= 400 && response.code != 503"
    with Case(lab, lambda ns: [telemetry(ns, accessLogging=[{"providers": [{"name": "text"}], "filter": {"expression": expression}}])]):
        for ns in BOTH:
            mark = f"/mark-{secrets.token_hex(4)}"
            logged(lab, ns, "case ", f"{mark}/begin/status-500")
            for target in (f"{mark}/fine", f"{mark}/quiet/status-503", f"{mark}/gone/status-404"):
                ask(lab, ns, target)
            logged(lab, ns, "case ", f"{mark}/end/status-500")
            seen = {line.split()[3].replace(mark, "") for line in lines(lab, ns, "case ") if mark in line}
            expect(seen == {"/begin/status-500", "/gone/status-404", "/end/status-500"}, f"{ns}: {seen}")


def test_conditions_beyond_the_status(lab):
    """Each is true of one of these requests and false of the other, at either waypoint."""
    both = ("/yes/status-503", "/no/delay-0.3")
    for expression in ("request.path.contains('/yes/') || request.path.contains('/end')",
                       "response.code in [503, 500] && 'x-mark' in request.headers && has(response.code) && !(request.headers['x-mark'] == 'none')",
                       "request.duration < duration('250ms') && request.method == 'GET' && request.host.startsWith('echo')"):
        with Case(lab, lambda ns, expression=expression: [
                telemetry(ns, accessLogging=[{"providers": [{"name": "text"}], "filter": {"expression": expression}}])]):
            for ns in BOTH:
                def asked(ns=ns):
                    mark = f"/mark-{secrets.token_hex(4)}"
                    for target in both:
                        ask(lab, ns, mark + target, "-H", "x-mark: a")
                    logged(lab, ns, "case ", f"{mark}/end/status-500", "-H", "x-mark: a")
                    return {line.split()[3].replace(mark, "") for line in lines(lab, ns, "case ") if mark in line}
                until(lambda: asked() == {both[0], "/end/status-500"}, lambda ns=ns: f"{ns} {expression}: {asked()}", 60)


def test_the_nearest_object_decides_and_disabled_is_silent(lab):
    def make(ns):
        return [telemetry(ns, accessLogging=[{"providers": [{"name": "text"}]}]),
                telemetry(ns, "echo-v1", "silent", accessLogging=[{"disabled": True}])]

    def of(ns, service, target):
        return lab.curl(f"{ns}/client", f"http://{service}{target}")

    with Case(lab, make):
        for ns in BOTH:
            def silent(ns=ns):
                mark = f"/mark-{secrets.token_hex(4)}"
                of(ns, "echo-v1", f"{mark}/silent")
                logged(lab, ns, "case ", f"{mark}/said")
                return not any(f"{mark}/silent" in line for line in lab.log(f"{ns}.waypoint-0").splitlines())
            until(silent, f"{ns}: nothing is said of echo-v1", 30)


def control(lab, page):
    token = (lab.folder() / "control" / "debug-token").read_text().strip()
    done = lab.inside("link", "curl", "-sS", "-H", f"Authorization: Bearer {token}", f"http://192.168.77.254:15014/debug/{page}")
    return json.loads(done.stdout)


def condition(lab, name):
    one = next((one for one in control(lab, "status")["statuses"] if one["kind"] == "Telemetry" and one["name"] == name), None)
    return one and one["conditions"][0]


def test_what_is_not_done_is_said(lab):
    with Case(lab, lambda ns: [
            telemetry(ns, "echo-v2", "refused", tracing=[{"providers": [{"name": "nobody"}]}], accessLogging=[{"providers": [{"name": "als"}]}]),
            telemetry(ns, "echo-v2", "second", accessLogging=[{"providers": [{"name": "text"}]}])]):
        refused = until(lambda: condition(lab, "refused"), "its status", 20)
        expect(refused["status"] == "False" and refused["reason"] == "UnsupportedValue" and "envoyOtelAls is not supported" in refused["message"], f"{refused}")
        second = condition(lab, "second")
        expect(second["status"] == "False" and second["reason"] == "Conflicted", f"{second}")
        problems = until(lambda: [one["message"] for one in control(lab, "problems")["problems"] if one["object"] == "Telemetry ours/refused"],
                         "the collector that is not there is noted", 20)
        expect("there is no service nobody.obs.svc.cluster.local" in problems[0], f"{problems}")


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-telemetry-") as source:
        shown = pathlib.Path(source, "manifests")
        shown.mkdir()
        (shown / "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        mesh = named("v1", "ConfigMap", "istio-system", "istio", data={"mesh": json.dumps(MESH)})
        (shown / "mesh.yaml").write_text(json.dumps(mesh), encoding="utf-8")
        main(globals(), "telemetry", shown)
