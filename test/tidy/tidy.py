#!/usr/bin/env python3
"""Checks what no compiler checks: layers, sizes, banned idioms, missing READMEs and seeds.

Every complaint names the file, the line, and what to do instead. A rule that can be written here
does not need a reviewer. Usage: tidy.py ROOT
"""
import pathlib
import re
import subprocess
import sys

# The layer picture of README.md, bottom up. A folder may use itself and earlier rows.
ROWS = [
    ["mesh/base"],
    ["mesh/net"],
    ["mesh/io", "mesh/policy"],  # policy cannot see io: it is pure
    ["mesh/workload"],
    ["mesh/tls", "mesh/telemetry"],
    ["mesh/h2", "mesh/admin", "mesh/manifest"],
    ["mesh/h1", "mesh/grpc", "mesh/identity", "mesh/kube"],
    ["mesh/hbone", "mesh/xds"],
    ["ebpf"],
    ["ztunnel", "waypoint", "sds", "control", "cli"],
]
ROW_OF = {folder: number for number, row in enumerate(ROWS) for folder in row}
# Pure folders wait for nothing, whatever their row would allow.
NEVER = {"mesh/workload": ["mesh/io"]}
# Third-party headers that only these places may include.
ONLY_IN = {
    r"openssl/": ["mesh/tls", "control", "test/"],
    r"nghttp2/": ["mesh/h2", "test/"],
    r"llhttp": ["mesh/h1"],
    r"liburing": ["mesh/io", "test/kernel", "perf"],
    r"grpcpp/|grpc/": ["control", "test/"],
    r"google/protobuf/": ["mesh/xds", "mesh/identity", "control", "waypoint/config", "test/"],
}
BANNED = [
    (r"\b(CHECK|REQUIRE|INFO)(_\w+)?\(.*\bco_await\b", "await into a named variable first"),
    (r"co_await [^;]*[(,]\s*\[[^\]]+\]\s*(\([^)]*\))?\s*(->[^{]*)?\{", "name the lambda first"),
    (r"\[=\]", "list the captures"),
    (r"\bthrow\b(?!\()", "return an Error, or MESH_CHECK"),
    (r"#if(n?def)? .*(\bTEST|NDEBUG)", "inject the difference; do not compile it in"),
]
UNFINISHED = r"\b(FIXME|XXX|HACK|TODO)\b"
NAPS = r"\b(sleep_for|usleep|nanosleep)\s*\("
THREAD_NAPS = r"\b(this_thread::sleep_for|usleep|nanosleep)\s*\("
MAX_COLUMNS = 100
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
CODE = (".h", ".cc", ".c")
SOURCES = CODE + (".py", ".go")
PINS = "test/kubernetes/modules/"  # one file each, which only names what is built


def folder_of(path):
    return max((f for f in ROW_OF if path.startswith(f + "/")), key=len, default="")


def check_include(path, line):
    include = re.match(r'#include ["<]([^">]+)[">]', line)
    if not include:
        return
    name = include[1]
    folder, target = folder_of(path), folder_of(name)
    if folder and target and target != folder:
        if ROW_OF[target] >= ROW_OF[folder] or target in NEVER.get(folder, []):
            yield f"{folder} must not use {target}: see the layer picture in README.md"
    for pattern, allowed in ONLY_IN.items():
        if re.match(pattern, name) and not path.startswith(tuple(allowed)):
            yield f"<{name}> belongs to {', '.join(allowed)} alone"


def long_functions(lines):
    """Blocks as clang-format writes them: closed by a brace at the indent they opened at."""
    start = {}
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip(" "))
        if indent not in (0, 2):
            continue
        type_or_scope = re.match(r"\s*(namespace|struct|class|enum|union|extern|typedef)\b", line)
        if line.endswith("{") and ")" in line and not type_or_scope and indent not in start:
            start[indent] = number
        elif line.lstrip().startswith("}") and indent in start:
            length = number - start[indent] + 1
            if length > MAX_FUNCTION_LINES:
                yield start[indent], f"a function of {length} lines; the limit is {MAX_FUNCTION_LINES}"
            del start[indent]


def check_line(path, line):
    if len(line) > MAX_COLUMNS:
        yield f"{len(line)} columns; the limit is {MAX_COLUMNS}"
    yield from check_include(path, line)
    code = re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0]
    for pattern, advice in BANNED:
        if re.search(pattern, code):
            yield advice
    if re.search(UNFINISHED, line):
        yield "finish it, or name it in the folder's README"
    if path.endswith(".h") and re.match(r"\s*using namespace\b", code):
        yield "no `using namespace` in a header"
    # mesh/io is where time comes from: its tests are about its own sleep_for().
    naps = THREAD_NAPS if path.startswith("mesh/io/") else NAPS
    if path.endswith("_test.cc") and re.search(naps, code):
        yield "a nap in a test: wait for a condition"


def check_code(path, text):
    lines = text.split("\n")
    if len(lines) - 1 > MAX_FILE_LINES:
        yield 1, f"{len(lines) - 1} lines; the limit is {MAX_FILE_LINES}: which noun hides in it?"
    if path.endswith(".h") and not text.startswith("#pragma once") and not path.startswith("ebpf/"):
        yield 1, "begin with #pragma once"
    for number, line in enumerate(lines, 1):
        for advice in check_line(path, line):
            yield number, advice
    if path.endswith(".cc"):
        yield from long_functions(lines)


def check_tree(files, targets):
    """Rules about which files stand beside which. `targets`: the names of the fuzz targets."""
    for folder in sorted({path.rsplit("/", 1)[0] for path in files if path.endswith(SOURCES) and "/" in path}):
        inside = folder_of(folder + "/") or folder.startswith(("test/", "perf", "examples/"))
        inside = inside and not folder.startswith(PINS)
        if inside and f"{folder}/README.md" not in files:
            yield folder, "a folder of code needs a half-page README.md"
    corpora = {name.split("/")[3] for name in files if name.startswith("test/fuzz/corpus/")}
    for target in sorted(targets - corpora):
        yield f"test/fuzz/corpus/{target}", "a fuzz target without a seed"
    for corpus in sorted(corpora - targets):
        yield f"test/fuzz/corpus/{corpus}", "a corpus without a fuzz target"


def fuzz_targets(root, files):
    builds = [(root / name).read_text(encoding="utf-8") for name in files if name.endswith("meson.build")]
    return {name for text in builds for name in re.findall(r"'name': '(\w+)',\s*'source'", text)}


def tracked(root):
    command = ["git", "-c", "safe.directory=*", "-C", str(root), "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return sorted(name for name in names if name and (root / name).is_file())


def main():
    root = pathlib.Path(sys.argv[1])
    files = tracked(root)
    code = [name for name in files if name.endswith(CODE) and not name.startswith("subprojects/")]
    if not code:
        sys.exit(f"tidy: no code below {root}: looked in the wrong place?")
    complaints = 0
    for path in code:
        for number, advice in check_code(path, (root / path).read_text(encoding="utf-8")):
            print(f"{path}:{number}: {advice}")
            complaints += 1
    for path, advice in check_tree(files, fuzz_targets(root, files)):
        print(f"{path}: {advice}")
        complaints += 1
    print(f"{len(code)} files, {complaints} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
