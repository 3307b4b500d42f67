"""Manifests as Istio's documentation has them are accepted as they are, and mean what they say."""
import json

from harness import HERE, expect, main, until, weft


def reaches(lab, source, target, port):
    answer = lab.curl(source, f"http://{lab.address(target)}:{port}/")
    return "stock page" in answer.stdout


def test_nothing_is_refused(lab):
    page = lab.inside("link", "curl", "-sS", "http://192.168.77.254:15014/metrics").stdout.splitlines()
    expect("weft_control_manifest_errors 0" in page, "control complains")
    expect("weft_control_nacks_total 0" in page, "a ztunnel complains")


def test_policies_are_known_by_their_names(lab):
    dump = json.loads(weft("ztunnel-config", "policy", "-l", lab.name, "-o", "json").stdout)
    names = {f"{one['namespace']}/{one['name']}" for one in dump["node-2"]}
    # Not those that only a waypoint can judge, nor AUDIT.
    wanted = {f"foo/{name}" for name in ("allow-all", "allow-nothing", "deny-all", "dry-run-example", "every-source",
                                         "ext-authz", "httpbin", "httpbin-deny", "tcp-policy")}
    expect(wanted <= names, f"missing: {wanted - names}")
    expect("istio-system/istio_converted_static_strict" in names, f"no mesh-wide STRICT: {names}")


def test_mutual_tls_by_port(lab):
    until(lambda: reaches(lab, "outsider", "web", 8080), "plaintext where it is let in")
    expect(not reaches(lab, "outsider", "web", 9000), "plaintext under STRICT")
    expect(not reaches(lab, "outsider", "tcp-echo", 9000), "plaintext under the STRICT of the mesh")


def test_who_may_and_by_which_port(lab):
    until(lambda: reaches(lab, "curl", "web", 9000), "by its account")
    expect(not reaches(lab, "other", "web", 9000), "another account")
    expect(reaches(lab, "other", "web", 8080), "anybody on 8080")
    expect(reaches(lab, "other", "tcp-echo", 9000), "a port that is allowed")
    expect(not reaches(lab, "other", "tcp-echo", 9002), "a port that is not")
    expect(not reaches(lab, "curl", "httpbin", 8000), "deny-all of foo")
    until(lambda: 'policy="foo/deny-all"' in lab.log("node-2.ztunnel"),
          "the log names who denied")


if __name__ == "__main__":
    main(globals(), "stock", HERE / "stock")
