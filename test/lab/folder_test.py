"""Mistakes in a folder of manifests: what never was good closes what it meant to close, control says so, and it is open again when
the file is mended or gone; what was good stays."""
import json
import os

from harness import expect, main, until, weft

LINK = "192.168.77.254"
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"outside\\n")
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer((sys.argv[1], 9900), Handler)
print("ready", flush=True)
server.serve_forever()
"""
POLICY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: cart}}}}
  action: DENY
  rules: {rules}
"""
NEVER_GOOD = "it was never good here: "
LAST_GOOD = "what was good before stays in force"


class File:
    """A manifest that is written into the running lab's folder past the check of `weft lab apply`, and gone at the end."""

    def __init__(self, lab, name):
        self.lab, self.path = lab, lab.folder() / "manifests" / name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.path.unlink(missing_ok=True)

    def put(self, text):
        new = self.path.with_name("." + self.path.name)
        new.write_text(text, encoding="utf-8")
        os.rename(new, self.path)


def problems(lab):
    token = (lab.folder() / "control" / "debug-token").read_text().strip()
    page = lab.inside("link", "curl", "-sS", "-m", "10", "-H", f"Authorization: Bearer {token}", f"http://{LINK}:15014/debug/problems")
    return json.loads(page.stdout)["problems"]


def holds(lab, thing, what):
    """Control says that this is what holds of the object."""
    until(lambda: any(one["object"] == thing and one["inForce"] == what for one in problems(lab)),
          lambda: f"{thing}: {what}: {problems(lab)}")


def no_problems(lab):
    until(lambda: not problems(lab), lambda: f"no problems: {problems(lab)}")


def passes(lab, where, url, word):
    until(lambda: word in lab.curl(where, url).stdout, f"{where} reaches {url}")


def refused(lab, where, url, word):
    until(lambda: word not in lab.curl(where, url).stdout, f"{where} does not reach {url}")


def explained(lab, source, to, word):
    done = weft("explain", "-l", lab.name, source, to, check=False)
    expect(done.returncode == 4 and word in done.stdout, f"explain {source} {to}: {done.returncode} {done.stdout}{done.stderr}")


def test_a_new_policy_with_a_mistake_denies_what_it_selects(lab):
    policy = "AuthorizationPolicy shop/deny"
    bad = POLICY.format(name="deny", rules="[{to: [{operation: {ports: [http]}}]}]")
    with File(lab, "deny.yaml") as file:
        file.put(bad)
        holds(lab, policy, NEVER_GOOD + "all that it selects is denied")
        refused(lab, "web", "http://cart/", "plum")
        until(lambda: "shop/deny" in lab.log("node-2.ztunnel"), "the log names the policy")
        explained(lab, "web", "cart:80", "shop/deny")
        expect("PONG" in lab.inside("web", "redis-cli", "-h", "redis", "ping", timeout=30).stdout, "what it does not select is open")
        file.put(POLICY.format(name="deny", rules="[{to: [{operation: {ports: ['1']}}]}]"))
        no_problems(lab)
        passes(lab, "web", "http://cart/", "plum")
        file.put(bad)
        holds(lab, policy, LAST_GOOD)
        said = weft("wait", "-l", lab.name, "--timeout", "60s").stderr
        expect("deny.yaml:7: AuthorizationPolicy shop/deny" in said and LAST_GOOD in said, f"weft wait says: {said}")
        lab.works("with the last good version")
    no_problems(lab)
    with File(lab, "deny.yaml") as file:  # nothing is remembered of it
        file.put(bad)
        refused(lab, "web", "http://cart/", "plum")
        weft("lab", "restart", "-l", lab.name, "control")
        holds(lab, policy, NEVER_GOOD + "all that it selects is denied")
        lab.settled()
        refused(lab, "web", "http://cart/", "plum")
    passes(lab, "web", "http://cart/", "plum")


def test_a_new_policy_that_is_not_yaml_denies_what_can_be_told_of_it(lab):
    with File(lab, "deny.yaml") as file:
        file.put(POLICY.format(name="first", rules="[{}]") + "---\n" + POLICY.format(name="second", rules="[{]"))
        for name in ("first", "second"):
            holds(lab, f"AuthorizationPolicy shop/{name}", NEVER_GOOD + "all that it selects is denied")
        refused(lab, "web", "http://cart/", "plum")
        file.put("---\n")
        no_problems(lab)
        passes(lab, "web", "http://cart/", "plum")


def test_a_new_peer_authentication_with_a_mistake_asks_for_mutual_tls(lab):
    plain = f"http://{lab.address('cart')}:8000/"
    passes(lab, "outsider", plain, "plum")
    with File(lab, "strict.yaml") as file:
        file.put("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict, namespace: shop}\n"
                 "spec: {selector: {matchLabels: {app: cart}}, mtls: {mode: STRIKT}}\n")
        holds(lab, "PeerAuthentication shop/strict", NEVER_GOOD + "what it selects takes mutual TLS only")
        refused(lab, "outsider", plain, "plum")
        lab.works("mutual TLS")
        explained(lab, "outside/outsider", "shop/cart:8000", "refused")
    passes(lab, "outsider", plain, "plum")


def entries_with_a_mistake(lab, kind, bad, good, what):
    server, _ = lab.spawn("link", SERVER, LINK)
    url, name = f"http://{LINK}:9900/", "shop/there"
    head = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: there, namespace: shop}}\nspec: "
    try:
        passes(lab, "web", url, "outside")
        with File(lab, "entry.yaml") as file:
            file.put(head + bad)
            holds(lab, f"{kind} {name}", NEVER_GOOD + what)
            refused(lab, "web", url, "outside")
            explained(lab, "web", f"{LINK}:9900", "refused")
            file.put(head + good)
            no_problems(lab)
            passes(lab, "web", url, "outside")
            file.put(head + bad)
            holds(lab, f"{kind} {name}", LAST_GOOD)
            lab.settled()
            passes(lab, "web", url, "outside")
        passes(lab, "web", url, "outside")
    finally:
        server.kill()


def test_a_new_workload_entry_with_a_mistake_closes_its_address(lab):
    entries_with_a_mistake(lab, "WorkloadEntry", f"{{address: {LINK}, weight: 4294967295}}\n", f"{{address: {LINK}}}\n",
                           "connections to its address are refused")


def test_a_new_service_entry_with_a_mistake_closes_its_addresses(lab):
    spec = (f"{{hosts: [there.example], addresses: [{LINK}], resolution: STATIC, ports: [{{number: 9900, name: http}}],\n"
            f"  endpoints: [{{address: {LINK}, weight: %s}}]}}\n")
    entries_with_a_mistake(lab, "ServiceEntry", spec % 4294967295, spec % 1, "connections to its hosts and addresses are refused")


def test_analyze_says_what_control_does(lab):
    folder = lab.scratch / "mistakes"
    folder.mkdir()
    (folder / "deny.yaml").write_text(POLICY.format(name="deny", rules="[{to: [{operation: {ports: [http]}}]}]"), encoding="utf-8")
    done = weft("analyze", str(folder), check=False)
    expect(done.returncode == 5 and f"{LAST_GOOD}; if nothing was, all that it selects is denied" in done.stdout,
           f"{done.returncode} {done.stdout}{done.stderr}")


if __name__ == "__main__":
    main(globals(), "folder")
