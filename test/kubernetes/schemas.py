"""JSON schemas for kubeconform, one a kind, from what an API server says of its kinds: /openapi/v3."""
import json

# Of the Prometheus operator's kind, the fields that our charts may use; its CRD is not in the test cluster.
POD_MONITOR = {
    "type": "object", "required": ["apiVersion", "kind", "metadata", "spec"], "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"const": "PodMonitor"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object", "required": ["selector", "podMetricsEndpoints"], "additionalProperties": False,
            "properties": {
                "selector": {"type": "object", "additionalProperties": False, "properties": {
                    "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}}},
                "podMetricsEndpoints": {"type": "array", "items": {
                    "type": "object", "additionalProperties": False, "properties": {
                        "port": {"type": "string"}, "path": {"type": "string"}, "interval": {"type": "string"}}}}}}}}


def closed(schema):
    """The schema, with unknown members refused wherever it names its own."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "additionalProperties" not in made \
            and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made


def write_schemas(cluster, folder):
    """Into folder/GROUP/KIND_VERSION.json, all lower-case (the core group's folder is "core")."""
    def raw(path):
        return json.loads(cluster.kubectl("get", "--raw", path).stdout)

    def write(group, version, kind, schema):
        path = folder / (group or "core") / f"{kind.lower()}_{version}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema))

    for name, place in raw("/openapi/v3")["paths"].items():
        if not name.startswith("api"):
            continue
        components = {"schemas": {key: closed(value) for key, value in
                                  raw(place["serverRelativeURL"]).get("components", {}).get("schemas", {}).items()}}
        for key, schema in components["schemas"].items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                version = "/".join(word for word in (kind["group"], kind["version"]) if word)
                if name == (f"apis/{version}" if kind["group"] else f"api/{version}"):
                    write(kind["group"], kind["version"], kind["kind"],
                          {"$ref": f"#/components/schemas/{key}", "components": components})
    write("monitoring.coreos.com", "v1", "PodMonitor", POD_MONITOR)


def locations(folder):
    """kubeconform's flags for them; nothing is fetched from elsewhere."""
    return ["-schema-location", f"{folder}/{{{{.Group}}}}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json",
            "-schema-location", f"{folder}/core/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json"]
