"""A rate limit service and an external processor, as manifests ask for them, asked by weft-waypoint and by stock Envoy in one
lab: the same objects in two namespaces, the same requests, and client and backend see the same."""
import json
import pathlib
import sys
import tempfile

import telemetry_test as telemetry
import waypoints
from features_test import BOTH
from harness import expect, main, until
from waypoints import SECURITY, named

SERVER = pathlib.Path(__file__).resolve().parent / "extensions_server.py"
# What the transport says, and what is different in every request.
VOLATILE = {"date", "x-request-id", "x-envoy-upstream-service-time", "traceparent", "tracestate", "content-length", "transfer-encoding"}


def limiter(name, **more):
    return {"name": name, "weftRateLimitGrpc": {"service": "limits.infra.svc.cluster.local", "port": 8081, "domain": name, "timeout": "10s", **more}}


def processor(name, request="NONE", response="NONE", **more):
    return {"name": name, "weftExtProcGrpc": {
        "service": "infra/processor.infra.svc.cluster.local", "port": 9000, "messageTimeout": "10s",
        "processingMode": {"requestBodyMode": request, "responseBodyMode": response}, **more}}


OPEN, QUICK = {"failOpen": True}, "300ms"  # who is never answered need not wait for long
MESH = {"extensionProviders": [
    limiter("counts"), limiter("open", **OPEN), limiter("quick", timeout=QUICK), limiter("quick-open", timeout=QUICK, **OPEN),
    {"name": "gone", "weftRateLimitGrpc": {"service": "nobody.infra.svc.cluster.local", "port": 8081, "domain": "gone"}},
    processor("edit"), processor("edit-whole", "BUFFERED", "BUFFERED"), processor("edit-parts", "STREAMED", "STREAMED"),
    processor("edit-begin", "BUFFERED_PARTIAL", "BUFFERED_PARTIAL"), processor("edit-asking", allowModeOverride=True),
    processor("edit-open", **OPEN), processor("edit-quick", messageTimeout=QUICK), processor("edit-quick-open", messageTimeout=QUICK, **OPEN),
    {"name": "text", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {"text": "case %RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(:PATH)%"}}}]}
# Services of the backend by the provider that sees what goes there; "edit-nobody" is no provider.
PROCESSED = ("edit", "edit-whole", "edit-parts", "edit-begin", "edit-asking", "edit-open", "edit-quick", "edit-quick-open", "edit-nobody")


def server(ns, role, port, ready):
    labels = {"app": role}
    return [waypoints.pod(ns, f"{role}-0", [sys.executable, "-u", SERVER, role], labels, ready={"tcpSocket": {"port": ready}}),
            waypoints.service(ns, role, labels, port)]


def limits(ns):
    """The HTTPRoute of `counted`: whom its rules ask; /ready and what is under no rule are nobody's."""
    lines = [f"few: counts few=2 ns={ns}", "told: counts method path host header(X-User) fixed=a/b:c", "told: counts header(x-tier)=free all=of-them",
             "address: counts remote-address", "asked: counts header(x-ask)", "open: open header(x-ask)", "quick: quick header(x-ask)",
             "quick-open: quick-open header(x-ask)", "gone: gone path", "both: counts one=1; both: open two=2"]
    rules = [{"name": name, "matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}], "backendRefs": [{"name": "backend", "port": 80}]}
             for name in ("few", "told", "address", "asked", "open", "quick", "quick-open", "gone", "both", "ready")]
    made = waypoints.route(ns, "limits", "counted", rules)
    made["metadata"]["annotations"] = {"weft.dev/rate-limit": "\n".join(lines)}
    return made


def virtual(ns, lines):
    made = named("networking.istio.io/v1", "VirtualService", ns, "limits", spec={
        "hosts": ["virtual"], "http": [{"route": [{"destination": {"host": "backend"}}]}]})
    made["metadata"]["annotations"] = {"weft.dev/rate-limit": lines}
    return made


def world():
    objects = [waypoints.namespace("infra"), *server("infra", "limits", ("grpc", 8081, 8081), 8081),
               *server("infra", "processor", ("grpc", 9000, 9000), 9000)]
    for ns in BOTH:
        objects += [waypoints.namespace(ns, **{"istio.io/use-waypoint": "waypoint"}), *waypoints.waypoint(ns, stock=ns == "stock"),
                    waypoints.pod(ns, "client", ["sleep", "infinity"], {"app": "client"}), *server(ns, "backend", ("http", 80, 8080), 8080)]
        for name in ("counted", "virtual", "broken", *PROCESSED):
            one = waypoints.service(ns, name, {"app": "backend"}, ("http", 80, 8080))
            if name in PROCESSED:
                one["metadata"]["annotations"] = {"weft.dev/external-processor": name}
            objects.append(one)
        broken = waypoints.route(ns, "broken", "broken", [{"backendRefs": [{"name": "backend", "port": 80}]}])
        broken["metadata"]["annotations"] = {"weft.dev/rate-limit": "counts what is this"}
        objects += [limits(ns), virtual(ns, "counts path"), broken,
                    named(SECURITY, "AuthorizationPolicy", ns, "no", spec={
                        "targetRefs": [{"group": "", "kind": "Service", "name": name} for name in ("counted", "edit")], "action": "DENY",
                        "rules": [{"to": [{"operation": {"paths": ["*/denied"]}}]}]}),
                    telemetry.telemetry(ns, name="logs", accessLogging=[{"providers": [{"name": "text"}]}])]
    return objects


def ask(lab, ns, host, target, *options):
    """(status, headers of the response, what the backend saw or the body)."""
    done = lab.curl(f"{ns}/client", f"http://{host}{target}", "-i", "-m", "30", *options)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, body = body.partition("\n\n")
    lines = head.split("\n")
    words = lines[0].split()
    headers = sorted((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]) if name.lower() not in VOLATILE)
    try:
        saw = json.loads(body)
        saw["headers"] = {name: value for name, value in saw["headers"].items() if name not in VOLATILE}
    except ValueError:
        saw = body
    return int(words[1]) if len(words) > 1 else 0, headers, saw


def same(lab, host, target, *options, status=200, **wanted):
    """What both waypoints' clients get; `wanted`: headers ('-' for '_') that the backend saw."""
    ours, stock = (ask(lab, ns, host, target, *options) for ns in BOTH)
    expect(ours == stock, f"{host}{target} {options}: ours {ours} but stock {stock}")
    expect(ours[0] == status, f"{host}{target} {options}: {ours}")
    for name, value in wanted.items():
        saw = ours[2]["headers"].get(name.replace("_", "-"))
        expect(saw == value, f"{host}{target} {options}: {name} is {saw}: {ours}")
    return ours


def begun(lab, host, target="/ready", status=200):
    for ns in BOTH:
        until(lambda ns=ns: ask(lab, ns, host, target)[0] == status, lambda ns=ns: f"{ns} {host}{target}: {ask(lab, ns, host, target)}", 60)


# ---- the rate limit service ----

def test_what_a_service_is_told_apart_by(lab):
    begun(lab, "counted")
    begun(lab, "counted", "/both")
    same(lab, "counted", "/ready", x_asked=None)
    same(lab, "counted", "/told?q=1", "-H", "x-user: ann", x_asked="counts|method=GET,path=/told?q=1,host=counted,x-user=ann,fixed=a/b:c")
    same(lab, "counted", "/told", "-H", "x-user: ann", "-H", "x-tier: free",
         x_asked="counts|method=GET,path=/told,host=counted,x-user=ann,fixed=a/b:c;x-tier=free,all=of-them")
    same(lab, "counted", "/told", "-H", "x-tier: free", x_asked="counts|x-tier=free,all=of-them")
    same(lab, "counted", "/told", "-H", "x-tier: dear", x_asked=None)  # nothing to tell: nobody is asked
    for ns in BOTH:
        saw = ask(lab, ns, "counted", "/address")[2]["headers"]["x-asked"]
        expect(saw == f"counts|remote_address={lab.address(f'{ns}/client')}", f"{ns}: {saw}")
    begun(lab, "virtual")
    same(lab, "virtual", "/v", x_asked="counts|path=/v")


def test_within_and_over(lab):
    for _ in range(2):
        _, headers, _ = same(lab, "counted", "/few", x_asked="counts|few=2")
        expect(("x-why", "within") in headers, f"the service's header on the response: {headers}")
    _, headers, saw = same(lab, "counted", "/few", status=429)
    expect(("x-envoy-ratelimited", "true") in headers and ("x-why", "over") in headers and saw == "", f"{headers} {saw}")
    same(lab, "counted", "/few", "-X", "POST", "-d", "body", status=429)
    same(lab, "counted", "/ready")


def test_two_services_are_each_asked_their_own(lab):
    same(lab, "counted", "/both", x_asked="counts|one=1,open|two=2")


def test_policy_comes_first(lab):
    for _ in range(4):
        same(lab, "counted", "/few/denied", status=403)


def test_a_service_that_does_not_answer_refuses(lab):
    for ask_for in ("garbage", "reset"):
        same(lab, "counted", "/asked", "-H", f"x-ask: {ask_for}", status=500)
        same(lab, "counted", "/open", "-H", f"x-ask: {ask_for}", x_asked=None)
    same(lab, "counted", "/quick", "-H", "x-ask: slow", status=500)
    same(lab, "counted", "/quick-open", "-H", "x-ask: slow", x_asked=None)
    same(lab, "counted", "/open", "-H", "x-ask: over", status=429)  # an answer is no failure


def test_flags_of_refusals(lab):
    for ns in BOTH:
        for ask_for, wanted in (("over", "case 429 RL "), ("garbage", "case 500 RLSE ")):
            target = f"/asked/{ask_for}/{ns}"

            def line(ns=ns, ask_for=ask_for, target=target):
                ask(lab, ns, "counted", target, "-H", f"x-ask: {ask_for}")
                return next((one for one in telemetry.lines(lab, ns, "case ") if target in one), None)
            said = until(line, f"{ns}: a line of {target}", 60)
            expect(said.startswith(wanted), f"{ns} {ask_for}: {said}")


def test_what_cannot_be_counted_is_not_answered(lab):
    same(lab, "counted", "/gone", status=500)
    same(lab, "broken", "/", status=500)
    problems = telemetry.control(lab, "problems")["problems"]
    for ns in BOTH:
        for name, why in (("limits", "there is no service nobody.infra.svc.cluster.local"), ("broken", "is not remote-address")):
            expect(any(one["object"] == f"HTTPRoute {ns}/{name}" and why in one["message"] for one in problems), f"{ns}/{name} {why}: {problems}")


# ---- the processor ----

def test_headers_are_changed_both_ways(lab):
    begun(lab, "edit")
    _, headers, saw = same(lab, "edit", "/a?b=c", "-H", "x-secret: s", x_seen="GET /a?b=c", x_secret=None)
    said = dict(headers)
    expect(said["x-done"] == "200" and "x-of-app" not in said, f"{headers}")
    expect(",".join(value for name, value in headers if name == "x-more").replace(" ", "") == "a,b", f"{headers}")
    expect(saw["body"] == "", f"{saw}")
    # Of bodies it sees nothing.
    expect(same(lab, "edit", "/a", "-d", "one!")[2]["body"] == "one!", "a body that nobody sees")


def test_bodies_are_edited_whole_and_in_parts(lab):
    for host in ("edit-whole", "edit-parts", "edit-begin"):
        begun(lab, host)
        for body in ("one!two", "!" * 3000, "x" * 12000 + "!"):
            # What the backend got is in its answer, which is edited too.
            saw = same(lab, host, "/b", "-d", body)[2]
            expect(saw["body"] == body.replace("!", "<!>").replace("!", "<!>"), f"{host}: {saw['body'][:80]}")
        same(lab, host, "/c", "-H", "Transfer-Encoding: chunked", "-d", "in!parts")
        same(lab, host, "/none", x_seen="GET /none")


def test_it_asks_for_bodies(lab):
    """Where it may: elsewhere its wish is nothing."""
    begun(lab, "edit-asking")
    expect(same(lab, "edit-asking", "/", "-d", "one!", "-H", "x-do: whole")[2]["body"] == "one<<!>>", "it is shown both bodies")
    expect(same(lab, "edit-asking", "/", "-d", "one!")[2]["body"] == "one!", "it did not ask")
    expect(same(lab, "edit", "/", "-d", "one!", "-H", "x-do: whole")[2]["body"] == "one!", "it may not ask")


def test_it_answers_instead(lab):
    for host in ("edit", "edit-whole", "edit-parts"):
        for do, status, words in (("now", 418, "not today"), ("later", 451, "not for you")):
            _, headers, body = same(lab, host, "/", "-H", f"x-do: {do}", status=status)
            expect(body == words and ("x-why", "said so") in headers, f"{host} {do}: {headers} {body}")


def test_policy_decides_before_it_is_asked(lab):
    """Envoy shows it the refusal all the same, ours does not."""
    for ns in BOTH:
        status, _, body = ask(lab, ns, "edit", "/denied", "-H", "x-do: now")
        expect(status == 403 and body == "RBAC: access denied", f"{ns}: {status} {body}")


def test_one_that_does_not_answer_refuses(lab):
    for host in ("edit-open", "edit-quick", "edit-quick-open"):
        begun(lab, host)
    for ask_for in ("garbage", "reset", "late-garbage", "late-reset"):
        same(lab, "edit", "/", "-H", f"x-do: {ask_for}", status=500)
        _, headers, saw = same(lab, "edit-open", "/", "-H", f"x-do: {ask_for}")
        expect("x-done" not in dict(headers), f"{ask_for}: {headers}")
        expect(("x-seen" in saw["headers"]) == ask_for.startswith("late"), f"{ask_for}: {saw}")
    for ask_for in ("slow", "late-slow"):
        same(lab, "edit-quick", "/", "-H", f"x-do: {ask_for}", status=504)
        same(lab, "edit-quick-open", "/", "-H", f"x-do: {ask_for}")


def test_what_cannot_be_shown_is_denied(lab):
    same(lab, "edit-nobody", "/", status=403)
    problems = telemetry.control(lab, "problems")["problems"]
    for ns in BOTH:
        expect(any(one["object"] == f"Service {ns}/edit-nobody" and "provider edit-nobody is not known" in one["message"] for one in problems),
               f"{ns}: {problems}")


# ---- both, away ----

def test_without_them(lab):
    lab.delete("Pod", "infra/limits-0")
    lab.delete("Pod", "infra/processor-0")
    begun(lab, "counted", "/both", 500)
    begun(lab, "edit", "/", 500)
    same(lab, "counted", "/few", status=500)
    same(lab, "counted", "/ready")
    same(lab, "counted", "/open", "-H", "x-ask: over", x_asked=None)
    for host in ("edit", "edit-whole", "edit-parts"):
        same(lab, host, "/", status=500)
    same(lab, "edit-open", "/", x_seen=None)


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-extensions-") as source:
        shown = pathlib.Path(source, "manifests")
        shown.mkdir()
        (shown / "world.yaml").write_text(waypoints.text(world()), encoding="utf-8")
        mesh = named("v1", "ConfigMap", "istio-system", "istio", data={"mesh": json.dumps(MESH)})
        (shown / "mesh.yaml").write_text(json.dumps(mesh), encoding="utf-8")
        main(globals(), "extensions", shown)
