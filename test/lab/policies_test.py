"""Who may, and who says so: AuthorizationPolicy and RequestAuthentication, asked of weft-waypoint and of stock Envoy at once. The
world and the ways to ask are features_test.py's."""
import base64
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import features_test as features
import waypoints
from features_test import BOTH, Case, ask
from harness import expect, main, until
from waypoints import SECURITY, named

KEYS_AT = ("192.168.77.254", 9777)  # where control is
ECHO = {"group": "", "kind": "Service", "name": "echo"}


def policy(ns, action, *rules, name="case", tried=False):
    made = named(SECURITY, "AuthorizationPolicy", ns, name, spec={"targetRefs": [ECHO], "action": action, "rules": list(rules)})
    if tried:
        made["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
    return made


def authentication(ns, *rules, name="case"):
    return named(SECURITY, "RequestAuthentication", ns, name, spec={"targetRefs": [ECHO], "jwtRules": list(rules)})


def on(*paths, **operation):
    return {"to": [{"operation": {"paths": list(paths), **operation}}]}


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, check=True).stdout


class Key:
    """Of RS256, PS256, ES256 or EdDSA; signs tokens of an issuer."""

    def __init__(self, folder, algorithm, issuer):
        self.folder, self.algorithm, self.issuer = pathlib.Path(folder), algorithm, issuer
        self.file = self.folder / f"{issuer}.pem"
        kind = {"ES256": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "EdDSA": ("ed25519",)}.get(algorithm, ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
        openssl("genpkey", "-algorithm", *kind, "-out", self.file)

    def jwks(self):
        public = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")
        if self.algorithm == "EdDSA":
            its = {"kty": "OKP", "crv": "Ed25519", "x": encoded(public[-32:])}
        elif self.algorithm == "ES256":
            its = {"kty": "EC", "crv": "P-256", "x": encoded(public[-64:-32]), "y": encoded(public[-32:])}
        else:
            said = openssl("rsa", "-in", self.file, "-noout", "-modulus").decode()
            its = {"kty": "RSA", "n": encoded(bytes.fromhex(said.partition("=")[2].strip())), "e": "AQAB"}
        return json.dumps({"keys": [{"kid": "k", "alg": self.algorithm, **its}]})

    def rule(self, **more):
        return {"issuer": self.issuer, "jwks": self.jwks(), **more}

    def sign(self, said):
        file = self.folder / "said"
        file.write_bytes(said)
        if self.algorithm == "EdDSA":
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", file)
        padding = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1") if self.algorithm == "PS256" else ()
        signed = openssl("dgst", "-sha256", *padding, "-sign", self.file, file)
        if self.algorithm != "ES256":
            return signed
        first = 4 + signed[3]  # two numbers of DER, as many bytes as they need
        return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (signed[4:first], signed[first + 2:]))

    def token(self, **claims):
        parts = ({"alg": self.algorithm, "kid": "k"}, {"iss": self.issuer, "sub": "i", "exp": 4102444800, **claims})
        said = ".".join(encoded(json.dumps(one).encode()) for one in parts)
        return f"{said}.{encoded(self.sign(said.encode()))}"

    def bearer(self, **claims):
        return "-H", f"Authorization: Bearer {self.token(**claims)}"


def statuses(lab, *request):
    return {ns: ask(lab, ns, *request)[0] for ns in BOTH}


def answered(lab, status, *request):
    said = statuses(lab, *request)
    expect(said == dict.fromkeys(BOTH, status), f"{request} is to be {status}: {said}")


def test_policy(lab):
    def make(ns):
        return [policy(ns, "DENY", {"to": [{"operation": {"methods": ["DELETE"]}}]}, on("/no*", "*/never"),
                       {"to": [{"operation": {"hosts": ["bad"]}}]}, {"when": [{"key": "request.headers[x-role]", "values": ["thief*"]}]},
                       {"from": [{"source": {"notNamespaces": [ns]}}]}, {"from": [{"source": {"ipBlocks": ["10.244.0.0/16"]}}], **on("/of-pods")},
                       {**on("/of-ours"), "when": [{"key": "source.ip", "values": ["10.244.0.0/16"]}]},
                       {"from": [{"source": {"ipBlocks": ["192.0.2.0/24"]}}], **on("/of-others")})]
    with Case(lab, make, "/no", 403) as case:
        for target, *options in (("/no",), ("/nothing",), ("/a/never",), ("/", "-X", "DELETE"), ("/", "-H", "Host: bad"), ("/", "-H", "x-role: thief-1"),
                                 ("/x/../no",), ("/of-pods",), ("/of-ours",), ("/of-pods", "-H", "x-forwarded-for: 192.0.2.1")):
            expect(case.same(target, *options)[0] == 403, f"{target} {options}")
        for request in (("/",), ("/yes",), ("/never/x",), ("/", "-H", "x-role: cook"), ("/of-others",)):
            answered(lab, 200, *request)
        for ns in BOTH:  # as istioctl reads them
            dump = lab.inside(f"{ns}/waypoint-0", "curl", "-sS", "http://127.0.0.1:15000/config_dump").stdout
            expect(f"ns[{ns}]-policy[case]-rule[0]" in dump, f"{ns}: the name of a rule")


def test_whom_it_is_about(lab):
    def make(ns):
        def source(**whom):
            return {"from": [{"source": whom}]}
        return [policy(ns, "ALLOW", on("/ready"), {**source(principals=[f"cluster.local/ns/{ns}/sa/default"]), **on("/mine")},
                       {**source(principals=["cluster.local/ns/*"]), **on("/many")}, {**source(namespaces=["elsewhere"]), **on("/theirs")},
                       {**source(notPrincipals=["*/sa/default"]), **on("/not-mine")}, {**source(ipBlocks=["10.244.0.0/16"]), **on("/near")},
                       {**source(notIpBlocks=["10.244.0.0/16"]), **on("/far")}, on("/port", ports=["80"]), on("/other-port", ports=["81"]),
                       {**on("/when"), "when": [{"key": "destination.port", "values": ["80"]}, {"key": "source.namespace", "values": [ns]}]},
                       {**on("/unless"), "when": [{"key": "request.headers[x-a]", "notValues": ["b"]}]},
                       on("/open/*", notPaths=["/open/closed*"], methods=["GET"]))]
    with Case(lab, make) as case:
        for target, *options in (("/mine",), ("/many",), ("/near",), ("/port",), ("/when",), ("/unless", "-H", "x-a: c"), ("/open/a",)):
            expect(case.same(target, *options)[0] == 200, f"{target} {options}")
        for target, *options in (("/x",), ("/theirs",), ("/not-mine",), ("/far",), ("/other-port",), ("/unless", "-H", "x-a: b"), ("/open/closed",),
                                 ("/open/a", "-X", "POST"), ("/open",)):
            expect(case.same(target, *options)[0] == 403, f"{target} {options}")


def test_a_policy_without_rules_lets_nobody_in(lab):
    gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}
    for target, other in ((ECHO, 200), (gateway, 403)):
        with Case(lab, lambda ns, target=target: [named(SECURITY, "AuthorizationPolicy", ns, "case", spec={"targetRefs": [target]})], "/x", 403) as case:
            case.same("/x", status=403)
            for ns in BOTH:
                until(lambda ns=ns: lab.curl(f"{ns}/client", "http://echo-v1/", "-o", "/dev/null", "-w", "%{http_code}").stdout == str(other),
                      f"{ns}, of {target['kind']}: the waypoint's other services", 20)


def shadows(lab, ns):
    """How many requests a dry run would have denied."""
    said = lab.inside(f"{ns}/waypoint-0", "curl", "-sS", "http://127.0.0.1:15000/stats?filter=shadow_denied").stdout
    return sum(int(number) for number in re.findall(r"rbac\..*shadow_denied: (\d+)", said))


def test_audit_and_dry_runs_decide_nothing(lab):
    def make(ns):
        return [policy(ns, "AUDIT", {}, name="audit"), policy(ns, "DENY", on("/tried*"), name="deny", tried=True),
                policy(ns, "ALLOW", on("/nothing"), name="allow", tried=True), policy(ns, "DENY", on("/denied"))]
    with Case(lab, make, "/denied", 403) as case:
        for target, more in (("/x", 1), ("/tried/a", 2)):
            before = {ns: shadows(lab, ns) for ns in BOTH}
            case.same(target, status=200)
            said = {ns: shadows(lab, ns) - before[ns] for ns in BOTH}
            expect(said == dict.fromkeys(BOTH, more), f"{target}: what would have been denied: {said}")
        case.same("/denied", status=403)


def test_issuers_and_their_algorithms(lab):
    with tempfile.TemporaryDirectory(prefix="weft-key-") as folder:
        keys = [Key(folder, algorithm, algorithm.lower()) for algorithm in ("RS256", "PS256", "ES256", "EdDSA")]

        def make(ns):
            return [authentication(ns, *(key.rule() for key in keys[:2])), *(authentication(ns, key.rule(), name=key.issuer) for key in keys[2:]),
                    policy(ns, "ALLOW", {"from": [{"source": {"requestPrincipals": [f"{key.issuer}/*" for key in keys]}}]}, on("/open"))]
        with Case(lab, make, "/x", 403):
            for key in keys:
                answered(lab, 200, "/x", *key.bearer())
                for wrong in ({"iss": "nobody"}, {"exp": 1577836800}, {"nbf": 4102444700}):
                    answered(lab, 401, "/open", *key.bearer(**wrong))
            for key, other in zip(keys, keys[1:] + keys[:1]):
                answered(lab, 401, "/open", *key.bearer(iss=other.issuer))
            none = ".".join(encoded(json.dumps(one).encode()) for one in ({"alg": "none"}, {"iss": "rs256", "sub": "i", "exp": 4102444800}))
            answered(lab, 401, "/open", "-H", f"Authorization: Bearer {none}.")
            answered(lab, 200, "/open")
            answered(lab, 403, "/x")


def test_claims_of_tokens(lab):
    """A claim of words is a list where the rule says so; of another it is one text."""
    with tempfile.TemporaryDirectory(prefix="weft-key-") as folder:
        key = Key(folder, "RS256", "me")

        def make(ns):
            return [authentication(ns, key.rule(spaceDelimitedClaims=["roles"])),
                    policy(ns, "ALLOW", *({"when": [{"key": f"request.auth.claims[{claim}]", "values": ["cook"]}]} for claim in ("roles", "scope", "title")))]
        with Case(lab, make, "/ready", 403):
            for claims, status in (({"roles": "baker  cook"}, 200), ({"scope": "cook baker"}, 200), ({"roles": ["baker", "cook"]}, 200), ({"title": "cook"}, 200),
                                   ({"title": "baker cook"}, 403), ({"roles": "baker cooks"}, 403), ({"roles": ""}, 403), ({}, 403)):
                answered(lab, status, "/x", *key.bearer(**claims))


def test_what_the_backend_hears_of_a_token(lab):
    """Claims as headers, which nobody else can set; the token itself only where that is asked for."""
    with tempfile.TemporaryDirectory(prefix="weft-key-") as folder:
        key, kept = Key(folder, "ES256", "me"), Key(folder, "ES256", "kept")

        def make(ns):
            return [authentication(ns, key.rule(outputClaimToHeaders=[{"header": "x-sub", "claim": "sub"}, {"header": "x-city", "claim": "home.city"}],
                                                outputPayloadToHeader="x-payload", fromHeaders=[{"name": "x-token", "prefix": "Token "}],
                                                fromParams=["jwt"], fromCookies=["jar"]),
                                   kept.rule(forwardOriginalToken=True, outputClaimToHeaders=[{"header": "x-kept", "claim": "sub"}])),
                    policy(ns, "ALLOW", {"from": [{"source": {"requestPrincipals": ["*"]}}]}, on("/open"))]
        token = key.token(sub="ann", home={"city": "rome"}, exp=int(time.time()) + 3600)
        with Case(lab, make, "/x", 403) as case:
            for target, *options in (("/x", "-H", f"x-token: Token {token}"), (f"/x?jwt={token}",), ("/x", "-H", f"Cookie: a=b; jar={token}")):
                case.same(target, *options, status=200, x_sub="ann", x_city="rome")
            case.same("/x", *kept.bearer(sub="bob"), "-H", "x-sub: mallory", status=200, x_kept="bob", x_sub=None)
            case.same("/open", "-H", "x-sub: mallory", "-H", "x-kept: mallory", "-H", "x-payload: mallory", status=200, x_sub=None, x_kept=None, x_payload=None)
            case.same("/x", "-H", f"x-token: {token}", status=403)


SERVE_KEYS = f"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer({KEYS_AT!r}, Handler)
print("up")
server.serve_forever()
"""


def test_keys_that_are_fetched(lab):
    """Until they are there nobody's token is good."""
    with tempfile.TemporaryDirectory(prefix="weft-key-") as folder:
        key, other = Key(folder, "ES256", "me"), Key(folder, "ES256", "other")

        def make(ns):
            return [authentication(ns, {"issuer": "me", "jwksUri": f"http://{KEYS_AT[0]}:{KEYS_AT[1]}/keys"}),
                    policy(ns, "ALLOW", {"from": [{"source": {"requestPrincipals": ["me/i"]}}]})]
        with Case(lab, make, "/x", 403):
            answered(lab, 401, "/x", *key.bearer())
            child, said = lab.spawn("link", SERVE_KEYS, key.jwks())
            try:
                expect(said == "up", f"the keys are served: {said}")
                until(lambda: statuses(lab, "/x", *key.bearer()) == dict.fromkeys(BOTH, 200), lambda: statuses(lab, "/x", *key.bearer()), 90)
                answered(lab, 401, "/x", *other.bearer(iss="me"))
            finally:
                child.kill()


if __name__ == "__main__":
    if not waypoints.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    with tempfile.TemporaryDirectory(prefix="weft-policies-") as source:
        # Of one server, so that what it saw is the same.
        objects = features.world() + [waypoints.route(ns, "one", "echo", [{"backendRefs": [features.to()]}]) for ns in BOTH]
        pathlib.Path(source, "world.yaml").write_text(waypoints.text(objects), encoding="utf-8")
        main(globals(), "policies", pathlib.Path(source))
