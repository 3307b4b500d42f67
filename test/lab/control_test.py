"""A control plane that sends garbage: it is refused with a reason, and the last good state serves."""
import json
import subprocess
import sys

from harness import HERE, WEFT, Authority, expect, main, until, weft


def workloads(lab):
    dump = json.loads(weft("ztunnel-config", "workload", "-l", lab.name, "-o", "json").stdout)
    return {node: sorted(one["uid"] for one in found) for node, found in dump.items()}


def certificate(lab):
    ours = Authority(lab.scratch / "ours", lab.folder() / "control" / "ca")
    return ours.issue("control", "IP:192.168.77.254", usage="serverAuth")


class FalseControl:
    """Stands in for weft-control while the `with` lasts."""

    def __init__(self, lab, mode):
        self.lab, self.mode = lab, mode

    def __enter__(self):
        weft("lab", "stop", "-l", self.lab.name, "control")
        self.said = self.lab.scratch / f"{self.mode}.out"
        with open(self.said, "w", encoding="utf-8") as out:
            self.child = subprocess.Popen([WEFT, "lab", "exec", "-l", self.lab.name, "link", "--", sys.executable, "-u",
                                           str(HERE / "false_control.py"), certificate(self.lab), self.mode], stdout=out)
        until(lambda: self.heard("connected") >= 2, f"{self.mode}: the nodes connect", 30)
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        weft("lab", "start", "-l", self.lab.name, "control")
        self.lab.settled()

    def heard(self, word):
        return self.said.read_text(encoding="utf-8").count(word)

    def lines(self):
        return self.said.read_text(encoding="utf-8").splitlines()


def test_bytes_that_are_no_discovery(lab):
    before = workloads(lab)
    for mode in ("no-tls", "not-h2", "bad-frames", "not-protobuf", "other-type", "huge"):
        with FalseControl(lab, mode):
            until(lambda: lab.log("node-1.ztunnel").count("xds: disconnected") > 0, f"{mode}: the log says so")
            lab.works(f"during {mode}")
            expect(workloads(lab) == before, f"{mode} changed what ztunnel knows")
        lab.works(f"after {mode}")
        expect(workloads(lab) == before, f"{mode} changed what ztunnel knows, for good")


def test_a_workload_that_does_not_decode(lab):
    before = workloads(lab)
    with FalseControl(lab, "bad-address") as control:
        until(lambda: control.heard("nack"), lambda: f"a refusal: {control.lines()}")
        expect(workloads(lab) == before, "it was taken in")
        lab.works("during a bad address")
    lab.works("after a bad address")


def test_a_policy_with_an_unknown_field_is_refused_by_name(lab):
    with FalseControl(lab, "odd-policy-elsewhere") as control:
        nack = until(lambda: [line for line in control.lines() if line.startswith("nack")],
                     lambda: f"a refusal: {control.lines()}")
        expect("99" in nack[0] or "unknown" in nack[0], f"the refusal does not name the field: {nack[0]}")
        lab.works("a policy of another namespace is none of its business")


def test_a_scope_with_a_policy_that_cannot_be_read_is_closed_until_it_is_gone(lab):
    with FalseControl(lab, "odd-policy-here") as control:
        until(lambda: control.heard("nack"), lambda: f"a refusal: {control.lines()}")
        until(lambda: "plum" not in lab.curl("web", "http://cart/").stdout, "the scope is closed")
        until(lambda: 'reason="policy_unusable"' in lab.log("node-2.ztunnel"), "the log says why")
    until(lambda: "plum" in lab.curl("web", "http://cart/").stdout, "control is back, and it is open again")
    lab.works()


if __name__ == "__main__":
    main(globals(), "control")
