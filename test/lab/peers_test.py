"""Strangers on port 15008: who they are, and what they ask for."""
import json

from harness import HERE, Authority, expect, identity, main, until


def call(lab, certificate, authority=None, target="cart", where="outsider"):
    address = lab.address(target)
    done = lab.inside(where, "python3", str(HERE / "hbone.py"), address, "15008", certificate,
                      authority or f"{address}:8000", timeout=30)
    expect(done.stdout, f"the peer said nothing: {done.stderr}")
    return json.loads(done.stdout)


def ours(lab):
    return Authority(lab.scratch / "ours", lab.folder() / "control" / "ca")


def refused(lab, certificate, what):
    before = len(lab.log("shop.cart"))
    answer = call(lab, certificate)
    expect(answer["status"] is None and not answer["body"], f"{what}: let through: {answer}")
    expect(len(lab.log("shop.cart")) == before, f"{what}: cart heard of it")
    lab.works(what)


def test_a_good_peer_is_served(lab):
    answer = call(lab, ours(lab).issue("good", identity("shop", "web")))
    expect(answer["status"] == 200 and "plum" in answer["body"], f"{answer}")


def test_no_certificate(lab):
    refused(lab, "-", "no certificate")


def test_wrong_root(lab):
    refused(lab, Authority(lab.scratch / "other").issue("rogue", identity("shop", "web")), "wrong root")


def test_expired(lab):
    old = ours(lab).issue("old", identity("shop", "web"), "20200101000000Z", "20200102000000Z")
    refused(lab, old, "expired")


def test_not_valid_yet(lab):
    early = ours(lab).issue("early", identity("shop", "web"), "20390101000000Z", "20400101000000Z")
    refused(lab, early, "not valid yet")


def test_wrong_names(lab):
    authority = ours(lab)
    for name, san in (("domain", identity("shop", "web", "elsewhere.test")), ("dns", "DNS:cart.shop"),
                      ("none", None), ("shape", "URI:spiffe://cluster.local/web")):
        refused(lab, authority.issue(name, san), f"wrong name ({name})")


def test_a_servers_certificate_is_no_clients(lab):
    refused(lab, ours(lab).issue("server", identity("shop", "web"), usage="serverAuth"), "no clientAuth")


def test_connect_to_an_address_that_is_not_the_pod(lab):
    good = ours(lab).issue("prober", identity("shop", "web"))
    for authority in (f"{lab.address('redis')}:6379", "127.0.0.1:8000", "10.96.0.10:53", "192.168.77.254:15014",
                      "[::1]:8000", "0.0.0.0:8000"):
        answer = call(lab, good, authority)
        expect(answer["status"] in (400, 404, 503, 403), f"{authority}: {answer}")
    lab.works()


def test_connect_to_ztunnels_own_ports(lab):
    good = ours(lab).issue("looper", identity("shop", "web"))
    for port in (15001, 15006, 15008, 15053):
        answer = call(lab, good, f"{lab.address('cart')}:{port}")
        expect(answer["status"] is not None and answer["status"] >= 400, f"port {port}: {answer}")
    lab.works()


def test_malformed_authorities(lab):
    good = ours(lab).issue("mumbler", identity("shop", "web"))
    address = lab.address("cart")
    for authority in ("", ":", address, f"{address}:0", f"{address}:65536", f"{address}:80:80", "x" * 120,
                      f"{address}:-1", f" {address}:8000"):
        answer = call(lab, good, authority or " ")
        expect(answer["status"] != 200, f"{authority!r}: {answer}")
    lab.works()


def test_an_identity_that_policy_denies_is_refused(lab):
    lab.apply("""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-web, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  action: ALLOW
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]
""")
    lab.settled()
    answer = call(lab, ours(lab).issue("batch", identity("shop", "batch")))
    expect(answer["status"] == 401, f"{answer}")
    until(lambda: "spiffe://cluster.local/ns/shop/sa/batch" in lab.log("node-2.ztunnel"), "the log names it")
    lab.works("web is still allowed")
    lab.delete("authorizationpolicy", "shop/only-web")
    lab.settled()


if __name__ == "__main__":
    main(globals(), "peers")
