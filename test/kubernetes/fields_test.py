"""docs/istio-fields.md names every field that Istio's own definitions of VirtualService and DestinationRule have, and no other."""
import re
import sys

import yaml

from cluster import ROOT, exit_code, expect, programs

KINDS = ("VirtualService", "DestinationRule")
# The page says that these read as the trafficPolicy at the top does.
REPEATED = re.compile(r"(subsets\[\]\.trafficPolicy|trafficPolicy\.portLevelSettings\[\])\.")


def leaves(schema, path=""):
    """"http[].match[].headers{}.exact": every value that a manifest may give."""
    values = schema.get("additionalProperties")
    if schema.get("type") == "array":
        yield from leaves(schema["items"], path + "[]")
    elif schema.get("properties"):
        for name, inner in schema["properties"].items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(values, dict):
        yield from leaves(values, path + "{}")
    else:
        yield path


def defined():
    text = (programs() / "crds" / "istio" / "customresourcedefinitions.gen.yaml").read_text(encoding="utf-8")
    for document in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        kind = document and document["spec"]["names"]["kind"]
        if kind in KINDS:
            schema = next(one for one in document["spec"]["versions"] if one["name"] == "v1")["schema"]
            yield kind, set(leaves(schema["openAPIV3Schema"]["properties"]["spec"]))


def written():
    """By kind: the first column of the page's tables."""
    found, kind = {}, None
    for line in (ROOT / "docs" / "istio-fields.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = found.setdefault(line[3:], set())
        elif line.startswith("| `"):
            kind.add(line.split("`")[1])
    return found


@exit_code
def main():
    fields, page = dict(defined()), written()
    expect(sorted(fields) == sorted(page) == sorted(KINDS), f"{sorted(fields)}, {sorted(page)}")
    for kind in KINDS:
        missing = {one for one in fields[kind] - page[kind] if not REPEATED.match(one)}
        expect(not missing, f"{kind}: docs/istio-fields.md lacks {sorted(missing)}")
        expect(page[kind] <= fields[kind], f"{kind}: nobody has {sorted(page[kind] - fields[kind])}")
        print(f"ok    {kind}: {len(page[kind])} fields")


if __name__ == "__main__":
    sys.exit(main())
