#include "control/kubernetes/status_plan.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "mesh/kube/frames.h"
#include "mesh/kube/resource.h"

namespace mesh::control::kubernetes {
namespace {

using manifest::Kind;
using manifest::Value;
using nlohmann::json;

constexpr std::string_view kManager = "weft-status";
constexpr std::string_view kParts[] = {"conditions", "listeners", "addresses", "parents"};
constexpr std::size_t kMaxMessage = 1024;
const std::set<std::string, std::less<>> kOurTypes = {"istio.io/WaypointBound",
                                                      "istio.io/WaypointMissing", "ZtunnelAccepted",
                                                      "WaypointAccepted", std::string(kAccepted)};

json to_json(const Value* value) {
  if (value == nullptr) return {};
  switch (value->type) {
    case Value::Type::kNull:
      return {};
    case Value::Type::kScalar: {
      if (value->quoted) return value->text;
      json plain = json::parse(value->text, nullptr, false);
      return plain.is_discarded() ? json(value->text) : plain;
    }
    case Value::Type::kList: {
      json list = json::array();
      for (const Value& item : value->items) list.push_back(to_json(&item));
      return list;
    }
    case Value::Type::kMap:
      break;
  }
  json map = json::object();
  for (std::size_t i = 0; i < value->keys.size(); ++i) {
    map[value->keys[i]] = to_json(&value->items[i]);
  }
  return map;
}

std::string text_in(const json& map, const char* key) {
  if (!map.is_object()) return {};
  const auto found = map.find(key);
  return found == map.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

// A list of objects, whatever is there.
json list_in(const json& map, const char* key) {
  if (!map.is_object()) return json::array();
  const auto found = map.find(key);
  json list = json::array();
  if (found == map.end() || !found->is_array()) return list;
  for (const json& item : *found) {
    if (item.is_object()) list.push_back(item);
  }
  return list;
}

struct Written {
  std::int64_t generation = 0;
  std::string now;
};

// `there` with ours put into it; of theirs, those that `is_ours` names are dropped when they are
// not among ours.
template <class IsOurs>
json merged(const json& there, const StatusConditions& ours, const Written& written,
            const IsOurs& is_ours) {
  json conditions = json::array();
  for (const json& condition : there) {
    const std::string type = text_in(condition, "type");
    const bool replaced = std::any_of(ours.begin(), ours.end(),
                                      [&](const StatusCondition& own) { return own.type == type; });
    if (!replaced && !is_ours(type)) conditions.push_back(condition);
  }
  for (const StatusCondition& own : ours) {
    json condition = {{"type", own.type},
                      {"status", own.holds ? "True" : "False"},
                      {"reason", own.reason},
                      {"message", own.message.substr(0, kMaxMessage)},
                      {"lastTransitionTime", written.now}};
    // Kinds without generations, such as Service: a server leaves the zero out.
    if (written.generation != 0) condition["observedGeneration"] = written.generation;
    for (const json& before : there) {
      if (text_in(before, "type") != own.type) continue;
      const std::string since = text_in(before, "lastTransitionTime");
      const bool same = before.value("status", json()) == condition["status"];
      if (same && !since.empty()) condition["lastTransitionTime"] = since;
    }
    conditions.push_back(std::move(condition));
  }
  return conditions;
}

constexpr auto kAll = [](const std::string&) { return true; };
constexpr auto kKnown = [](const std::string& type) { return kOurTypes.contains(type); };

// In the order of their types, so that the order in which others write does not matter.
json sorted(json conditions) {
  std::sort(conditions.begin(), conditions.end(),
            [](const json& a, const json& b) { return text_in(a, "type") < text_in(b, "type"); });
  return conditions;
}

json parent_ref(const manifest::ParentRef& parent) {
  json ref = {{"group", parent.group}, {"kind", parent.kind}, {"name", parent.name}};
  if (!parent.ns.empty()) ref["namespace"] = parent.ns;
  if (!parent.section.empty()) ref["sectionName"] = parent.section;
  if (parent.port != 0) ref["port"] = parent.port;
  return ref;
}

json parents(const json& there, const ObjectStatus& wanted, const Written& written) {
  json all = json::array();
  for (const json& parent : there) {
    if (text_in(parent, "controllerName") != kRouteController) all.push_back(parent);
  }
  for (const ParentStatus& own : wanted.parents) {
    const json ref = parent_ref(own.parent);
    json before = json::array();
    for (const json& parent : there) {
      const bool same = text_in(parent, "controllerName") == kRouteController &&
                        parent.value("parentRef", json()) == ref;
      if (same) before = list_in(parent, "conditions");
    }
    all.push_back({{"parentRef", ref},
                   {"controllerName", std::string(kRouteController)},
                   {"conditions", merged(before, own.conditions, written, kAll)}});
  }
  return all;
}

json listeners(const json& there, const ObjectStatus& wanted, const Written& written) {
  json all = json::array();
  for (const ListenerStatus& own : wanted.listeners) {
    json before = json::array();
    for (const json& listener : there) {
      if (text_in(listener, "name") == own.name) before = list_in(listener, "conditions");
    }
    all.push_back({{"name", own.name},
                   {"supportedKinds", json::array()},
                   {"attachedRoutes", own.attached_routes},
                   {"conditions", merged(before, own.conditions, written, kAll)}});
  }
  return all;
}

json addresses(const ObjectStatus& wanted) {
  json all = json::array();
  for (const manifest::GatewayAddress& own : wanted.addresses) {
    all.push_back({{"type", own.type}, {"value", own.value}});
  }
  return all;
}

// The parts of the status that differ from what is there.
json difference(const ObjectStatus& wanted, const StatusCopy& copy, const std::string& now) {
  const json there = to_json(&copy.status);
  const Written written{.generation = wanted.generation, .now = now};
  const Kind kind = wanted.object.kind;
  json status = json::object();
  const auto put = [&](const char* part, json value, const json& before) {
    if (value != before) status[part] = std::move(value);
  };
  if (is_route(kind)) {
    const json before = list_in(there, "parents");
    put("parents", parents(before, wanted, written), before);
    return status;
  }
  const json before = list_in(there, "conditions");
  const bool whole = kind == Kind::kGateway || kind == Kind::kGatewayClass;
  json conditions =
      whole ? merged(before, wanted.conditions, written, [](const auto&) { return false; })
            : merged(before, wanted.conditions, written, kKnown);
  if (sorted(conditions) != sorted(before)) status["conditions"] = std::move(conditions);
  if (kind == Kind::kGateway) {
    const json listeners_there = list_in(there, "listeners");
    put("listeners", listeners(listeners_there, wanted, written), listeners_there);
    put("addresses", addresses(wanted), list_in(there, "addresses"));
  }
  return status;
}

std::optional<Write> write_of(const ObjectStatus& wanted, const StatusCopy& copy,
                              const std::string& now) {
  json status = difference(wanted, copy, now);
  if (status.empty()) return {};
  Write write{.verb = "patch",
              .target = {.type = kube::types_of(wanted.object.kind).front(),
                         .ns = wanted.object.ns,
                         .name = wanted.object.name},
              .subresource = "status"};
  const json body = {{"metadata", {{"resourceVersion", copy.resource_version}}},
                     {"status", std::move(status)}};
  write.request = kube::patch_status_request(
      write.target, body.dump(-1, ' ', false, json::error_handler_t::replace), kManager);
  return write;
}

bool has_ours(const Value& status) {
  const Value* conditions = member(&status, "conditions");
  if (conditions == nullptr || conditions->type != Value::Type::kList) return false;
  return std::any_of(conditions->items.begin(), conditions->items.end(), [](const Value& one) {
    const Value* type = member(&one, "type");
    return type != nullptr && kOurTypes.contains(type->text);
  });
}

}  // namespace

bool has_status(Kind kind) {
  switch (kind) {
    case Kind::kNamespace:
    case Kind::kNode:
    case Kind::kServiceAccount:
    case Kind::kPod:
    case Kind::kEndpointSlice:
    case Kind::kReferenceGrant:
      return false;
    default:
      return true;
  }
}

StatusCopy copy_status(const Value& object, std::string refused, std::string in_force) {
  StatusCopy copy;
  copy.in_force = std::move(in_force);
  copy.refused = std::move(refused);
  copy.resource_version = kube::metadata_text(object, "resourceVersion");
  const std::string generation = kube::metadata_text(object, "generation");
  std::from_chars(generation.data(), generation.data() + generation.size(), copy.generation);
  const Value* status = member(&object, "status");
  for (const std::string_view part : kParts) {
    const Value* value = member(status, part);
    if (value == nullptr || value->is_null()) continue;
    copy.status.type = Value::Type::kMap;
    copy.status.keys.emplace_back(part);
    copy.status.items.push_back(*value);
  }
  return copy;
}

std::vector<Write> plan_statuses(std::vector<ObjectStatus> wanted, const StatusCopies& copies,
                                 const std::string& now) {
  std::set<manifest::ObjectKey> spoken_of;
  for (const ObjectStatus& one : wanted) spoken_of.insert(one.object);
  // What is not spoken of any more, and what was refused without ever having been good.
  for (const auto& [key, copy] : copies) {
    const bool refused = !copy.refused.empty() && !is_route(key.kind) &&
                         key.kind != Kind::kGateway && key.kind != Kind::kGatewayClass;
    if (spoken_of.contains(key) || !(refused || has_ours(copy.status))) continue;
    wanted.push_back({.object = key, .generation = copy.generation});
  }
  std::vector<Write> writes;
  for (ObjectStatus& one : wanted) {
    const auto copy = copies.find(one.object);
    if (copy == copies.end()) continue;
    if (!copy->second.refused.empty()) {
      refuse(one, copy->second.generation, copy->second.refused + "; " + copy->second.in_force);
    }
    if (auto write = write_of(one, copy->second, now)) writes.push_back(*std::move(write));
  }
  return writes;
}

}  // namespace mesh::control::kubernetes
