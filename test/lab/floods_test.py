"""Attacks by frames of HTTP/2 on a waypoint, inside a tunnel and on its listener, and on ztunnel's listener: ended with
the right code, in little memory, and h2spec on both listeners."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import envoy_test as stock
import flood
import waypoint_test
from harness import HERE, SANITIZED, WEFT, Authority, expect, identity, main, until

CALM = 11
GROWTH_MAX = 8 * 1024  # KiB, of all attacks one after the other
CONNECTIONS = 4        # at once
# What ends how: GOAWAY codes, or None: nothing that must end. Streams may be reset one by one first.
ENDS = {
    "rapid_reset": {CALM}, "streams": {CALM}, "continuation": {CALM}, "small_continuation": {CALM}, "settings": {CALM},
    "table_sizes": {CALM}, "ping": {CALM}, "empty_data": {CALM}, "padding": None, "window_update": {CALM}, "priority": {CALM},
    "hpack_bomb": {CALM}, "trailers_bomb": {CALM}, "stall": None, "unfinished": {3}, "trailers_of_a_refused_request": None, "large_frame": {6},
}


def memory(pid, what):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(rf"{what}:\s+(\d+)", status)[1])


def waypoint_pid(lab):
    return lab.pod("waypoint-0")["pids"][0]


def certificate(lab):
    made = lab.scratch / "ours" / "web.pem"
    return str(made) if made.exists() else Authority(
        lab.scratch / "ours", lab.folder() / "control" / "ca").issue("web", identity("shop", "client"))


def attack(lab, name, where, *words):
    command = [WEFT, "lab", "exec", "-l", lab.name, where, "--", sys.executable, str(HERE / "flood.py"), name, *words]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CONNECTIONS)]
    return [json.loads(one.communicate(timeout=120)[0]) for one in started]


def attacked(lab, pid, where, *words):
    """All of them on one process: what is wrong with how they ended, and how far memory grew."""
    wrong = []
    for name in ("ping", "unfinished"):
        attack(lab, name, where, *words)  # what is grown once and kept
    before = memory(pid, "VmRSS")
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")
    for name in flood.NAMES:
        high = memory(pid, "VmHWM")
        told = attack(lab, name, where, *words)
        for one in told:
            print(f"      {name}: {one}, +{memory(pid, 'VmHWM') - high} KiB", flush=True)
        if ENDS[name] is None:
            continue
        # Whoever goes on sending may be reset before he reads why: not all four.
        codes = {one["goaway"] if one["closed"] else "open" for one in told}
        if codes == {None} or not codes <= ENDS[name] | {None}:
            wrong.append(f"{name}: {told}")
    grown = memory(pid, "VmHWM") - before
    print(f"      memory grew by {grown} KiB at most", flush=True)
    return wrong, grown


def check(lab, pid, where, *words):
    wrong, grown = attacked(lab, pid, where, *words)
    expect(not wrong, "; ".join(wrong))
    expect(grown <= GROWTH_MAX or SANITIZED, f"memory grew by {grown} KiB")
    expect(stock.get(lab).endswith(" 200"), f"others are served: {stock.get(lab)}")


def test_the_mesh_works(lab):
    until(lambda: stock.get(lab).endswith(" 200"), lambda: f"an answer: {stock.get(lab)}", 30)


def test_inside_a_tunnel(lab):
    check(lab, waypoint_pid(lab), "client", "web", "80")


def test_the_waypoints_listener(lab):
    check(lab, waypoint_pid(lab), "outsider", lab.address("waypoint-0"), "15008", certificate(lab),
          "web.shop.svc.cluster.local:80")


def test_ztunnels_listener(lab):
    address = lab.address("web-v1")
    check(lab, lab.pid("node-2/ztunnel"), "outsider", address, "15008", certificate(lab), f"{address}:8080")


# h2spec's cases that fail on an HBONE listener, and why: waypoint/wire/README.md.
EXPLAINED = waypoint_test.H2SPEC_EXPLAINED | {
    'Sends a HEADERS frame with the "content-length" header field which does not equal the DATA frame payload length',
    'Sends a HEADERS frame with the "content-length" header field which does not equal the sum of the multiple DATA frames '
    'payload length',
    "Sends a HEADERS frame that contains a pseudo-header field as trailers",
    "Sends a second HEADERS frame without the END_STREAM flag",
    "half closed (remote): Sends a DATA frame",
    "half closed (remote): Sends a HEADERS frame",
    "Sends a DATA frame with invalid pad length",
    "Sends a WINDOW_UPDATE frame on half-closed (remote) stream",
    "Sends a WINDOW_UPDATE frame with a flow control window increment of 0 on a stream",
    "Sends a PRIORITY frame on half-closed (remote) stream",
    "Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE",
    "Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded",
}
PORT = "7070"


def spec(lab, address):
    if not (program := waypoint_test.tool("h2spec")):
        return
    relay, said = lab.spawn("outsider", (HERE / "relay.py").read_text(encoding="utf-8"), PORT, address, certificate(lab))
    try:
        expect(said == "ready", f"the relay: {said}")
        done = lab.inside("outsider", program, "-h", "127.0.0.1", "-p", PORT, "-o", "2", timeout=280)
    finally:
        relay.kill()
    failed = {line.split(": ", 1)[1] for line in done.stdout.splitlines() if "×" in line}
    expect("145 tests" in done.stdout, f"every case ran: {done.stdout[-300:]} {done.stderr[-300:]}")
    print(f"      {done.stdout.splitlines()[-1]}")
    expect(failed <= EXPLAINED, f"not explained: {failed - EXPLAINED}")


def test_h2spec_on_the_waypoints_listener(lab):
    spec(lab, lab.address("waypoint-0"))


def test_h2spec_on_ztunnels_listener(lab):
    spec(lab, lab.address("web-v1"))


def world():
    outside = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outside"}},
               {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "outsider", "namespace": "outside"}}]
    pod = stock.pod("outsider", "node-1", ["sleep", "infinity"], {"app": "outsider"})
    pod["metadata"]["namespace"] = "outside"
    return [*stock.world(), *outside, pod]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weft-floods-") as source:
        pathlib.Path(source, "world.yaml").write_text("\n---\n".join(json.dumps(one) for one in world()), encoding="utf-8")
        main(globals(), "floods", pathlib.Path(source))
