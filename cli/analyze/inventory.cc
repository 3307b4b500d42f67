#include "cli/analyze/inventory.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cli/kubernetes/cluster.h"
#include "mesh/kube/frames.h"

namespace mesh::cli {

using manifest::Kind;
using manifest::Value;

namespace {

constexpr std::array<std::string_view, 6> kTemplated = {"Deployment", "StatefulSet", "DaemonSet",
                                                        "ReplicaSet", "Job",         "CronJob"};

const Value* walk(const Value* from, std::initializer_list<std::string_view> path) {
  for (const std::string_view key : path) {
    if (from == nullptr || from->type != Value::Type::kMap) return nullptr;
    from = from->find(key);
  }
  return from;
}

Value scalar(std::string text) {
  Value value;
  value.type = Value::Type::kScalar;
  value.quoted = true;
  value.text = std::move(text);
  return value;
}

void put(Value& map, std::string key, Value value) {
  map.type = Value::Type::kMap;
  map.keys.push_back(std::move(key));
  map.items.push_back(std::move(value));
}

std::string lower_name(const Value& kind) {
  std::string name;
  for (const char c : kind.text)
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

// The pods that a workload's template makes, as one.
std::optional<Value> templated_pod(const Value& document) {
  const Value* const kind = walk(&document, {"kind"});
  const Value* const metadata = walk(&document, {"metadata"});
  if (kind == nullptr || std::ranges::find(kTemplated, kind->text) == kTemplated.end()) return {};
  const Value* const made = kind->text == "CronJob"
                                ? walk(&document, {"spec", "jobTemplate", "spec", "template"})
                                : walk(&document, {"spec", "template"});
  const Value* const name = walk(metadata, {"name"});
  if (made == nullptr || name == nullptr) return {};
  Value pod, about, status;
  put(about, "name", scalar(lower_name(*kind) + "." + name->text));
  if (const Value* ns = walk(metadata, {"namespace"})) put(about, "namespace", *ns);
  if (const Value* labels = walk(made, {"metadata", "labels"})) put(about, "labels", *labels);
  put(status, "phase", scalar("Running"));
  put(pod, "apiVersion", scalar("v1"));
  put(pod, "kind", scalar("Pod"));
  put(pod, "metadata", std::move(about));
  if (const Value* spec = walk(made, {"spec"})) put(pod, "spec", *spec);
  put(pod, "status", std::move(status));
  return pod;
}

}  // namespace

void Inventory::add(manifest::Object object, Place place) {
  manifest::ObjectKey key = manifest::key_of(object);
  knows_pods_ |= key.kind == Kind::kPod;
  knows_namespaces_ |= key.kind == Kind::kNamespace;
  entries_.insert_or_assign(std::move(key), Entry{std::move(object), std::move(place)});
}

void Inventory::add_file(const std::string& file, std::string_view text) {
  manifest::Parsed parsed = manifest::parse(file, text);
  for (manifest::ParsedObject& one : parsed.objects) {
    add(std::move(one.object), {.file = file, .line = one.line});
  }
  std::ranges::move(parsed.problems, std::back_inserter(problems_));
  if (parsed.unreadable) return;
  for (const Value& document : manifest::read_yaml(text).documents) {
    const auto pod = templated_pod(document);
    if (!pod) continue;
    manifest::Parsed made = manifest::parse_object(file, Kind::kPod, *pod);
    for (manifest::ParsedObject& one : made.objects) {
      add(std::move(one.object), {.file = file, .line = document.line});
    }
  }
}

Outcome<Done> Inventory::add_cluster(Cluster& cluster) {
  knows_pods_ = true;
  knows_namespaces_ = true;
  for (const manifest::KnownKind& known : manifest::known_kinds()) {
    for (const kube::ResourceType& type : kube::types_of(known.kind)) {
      std::string next;
      bool served = true;
      do {
        kube::HttpRequest request;
        request.target = kube::with_query(type.path(), {{"limit", "500"}, {"continue", next}});
        const auto body = cluster.send(std::move(request));
        served = body || body.error().code != 404;
        if (!served) break;
        if (!body) return problem("list " + type.plural + ": " + body.error().message);
        const auto page = kube::read_list_page(*body, [&](Value&& object) {
          manifest::Parsed parsed = manifest::parse_object("", known.kind, object);
          for (manifest::ParsedObject& one : parsed.objects) add(std::move(one.object), {});
          std::ranges::move(parsed.problems, std::back_inserter(problems_));
        });
        if (!page) return problem("list " + type.plural + ": " + page.error());
        next = page->next;
      } while (!next.empty());
      if (served) break;  // the older versions hold the same objects
    }
  }
  return Done{};
}

std::string_view mesh_label(const manifest::Metadata& metadata, std::string_view suffix) {
  for (const std::string_view prefix : {"istio.io/", "weft.dev/"}) {
    const auto found = metadata.label(std::string(prefix) + std::string(suffix));
    if (!found.empty()) return found;
  }
  return "";
}

bool selects(const manifest::Labels& selector, const manifest::Labels& labels) {
  return std::ranges::all_of(selector, [&](const auto& wanted) {
    const auto found = labels.find(wanted.first);
    return found != labels.end() && found->second == wanted.second;
  });
}

Enrolment enrolment_of(const Inventory& all, const manifest::Pod& pod) {
  const auto own = mesh_label(pod.metadata, "dataplane-mode");
  if (!own.empty()) return {own == "ambient" && !pod.host_network, "pod"};
  const auto* ns = all.find<manifest::Namespace>("", pod.metadata.ns);
  const bool labelled = ns != nullptr && mesh_label(ns->metadata, "dataplane-mode") == "ambient";
  return {labelled && !pod.host_network, labelled ? "namespace" : ""};
}

bool is_waypoint(const manifest::Gateway& gateway) {
  return gateway.class_name == "istio-waypoint" || gateway.class_name == "weft-waypoint";
}

std::optional<WaypointChoice> waypoint_choice(const Inventory& all,
                                              const manifest::Metadata& object) {
  const manifest::Metadata* names_it = &object;
  if (mesh_label(object, "use-waypoint").empty()) {
    const auto* ns = all.find<manifest::Namespace>("", object.ns);
    if (ns == nullptr) return {};
    names_it = &ns->metadata;
  }
  const auto name = mesh_label(*names_it, "use-waypoint");
  if (name.empty() || name == "none") return {};
  const auto elsewhere = mesh_label(*names_it, "use-waypoint-namespace");
  // A waypoint's own pods and service do not go through it.
  if (object.label("gateway.networking.k8s.io/gateway-name") == name) return {};
  return WaypointChoice{
      .ns = std::string(elsewhere.empty() ? std::string_view(object.ns) : elsewhere),
      .name = std::string(name),
      .by_object = names_it == &object};
}

bool is_root_namespace(std::string_view ns) { return ns == "istio-system" || ns == "weft-system"; }

}  // namespace mesh::cli
