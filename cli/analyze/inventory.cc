#include "cli/analyze/inventory.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cli/kubernetes/cluster.h"
#include "mesh/kube/frames.h"
#include "mesh/manifest/stand_in.h"

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

// What a pod of weft-control is started with; empty for another pod.
std::vector<std::string> control_words(const manifest::Pod& pod) {
  if (pod.metadata.label("app") != "weft-control") return {};
  for (const manifest::Container& container : pod.containers) {
    std::vector<std::string> words = container.command;
    words.insert(words.end(), container.args.begin(), container.args.end());
    if (std::ranges::find(words, "--kubernetes") != words.end()) return words;
  }
  return {};
}

// The value of a flag among the words of a command line.
std::string flag_in(const std::vector<std::string>& words, const std::string& flag,
                    std::string fallback) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == flag && i + 1 < words.size()) return words[i + 1];
    if (words[i].starts_with(flag + "=")) return words[i].substr(flag.size() + 1);
  }
  return fallback;
}

// What control has written of an object that it refuses: what holds instead.
std::string in_force_by_status(const Value& object) {
  const Value* conditions = walk(&object, {"status", "conditions"});
  if (conditions == nullptr || conditions->type != Value::Type::kList) return "";
  for (const Value& one : conditions->items) {
    const Value* reason = walk(&one, {"reason"});
    const Value* message = walk(&one, {"message"});
    if (reason == nullptr || message == nullptr || reason->text != "Invalid") continue;
    const std::size_t last = message->text.rfind("; ");
    if (last != std::string::npos) return message->text.substr(last + 2);
  }
  return "";
}

}  // namespace

void Inventory::add(manifest::Object object, Place place) {
  manifest::ObjectKey key = manifest::key_of(object);
  knows_pods_ |= key.kind == Kind::kPod;
  knows_namespaces_ |= key.kind == Kind::kNamespace;
  if (const auto* pod = std::get_if<manifest::Pod>(&object)) {
    if (const auto words = control_words(*pod); !words.empty()) {
      root_ = flag_in(words, "--root-namespace", "istio-system");
      trust_domain_ = flag_in(words, "--trust-domain", "cluster.local");
    }
  }
  entries_.insert_or_assign(std::move(key), Entry{std::move(object), std::move(place)});
}

void Inventory::add_parsed(manifest::Parsed parsed, const std::string& file,
                           const std::string& said) {
  for (manifest::ParsedObject& one : parsed.objects) {
    add(std::move(one.object), {.file = file, .line = one.line});
  }
  std::map<std::string, std::string> holds;
  for (const manifest::BrokenObject& one : parsed.broken) {
    const std::string otherwise =
        one.stand_in == nullptr ? "it is left out" : manifest::what_stand_in_does(one.key.kind);
    const std::string& what = holds[one.key.to_string()] =
        !said.empty() ? said
                      : std::string(manifest::kLastGoodHolds) + "; if nothing was, " + otherwise;
    if (one.stand_in != nullptr && !entries_.contains(one.key)) {
      add(*one.stand_in, {.file = file, .line = one.line, .refused = what});
    }
  }
  for (manifest::Problem& problem : parsed.problems) {
    const auto known = holds.find(problem.object);
    const bool error = problem.severity == manifest::Severity::kError;
    if (error && known != holds.end()) problem.in_force = known->second;
    problems_.push_back(std::move(problem));
  }
  if (!parsed.unreadable) return;
  for (const manifest::BrokenObject& one : parsed.broken) {
    const std::string name = one.key.to_string();
    problems_.push_back({manifest::Severity::kError, file, one.line, name, "",
                         "its file is not YAML", holds[name]});
  }
}

bool Inventory::is_root(std::string_view ns) const {
  return root_.empty() ? ns == "istio-system" || ns == "weft-system" : ns == root_;
}

void Inventory::add_file(const std::string& file, std::string_view text) {
  manifest::Parsed parsed = manifest::parse(file, text);
  const bool unreadable = parsed.unreadable;
  add_parsed(std::move(parsed), file, "");
  if (unreadable) return;
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
          add_parsed(manifest::parse_object("", known.kind, object), "",
                     in_force_by_status(object));
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

}  // namespace mesh::cli
