#include "control/status_page.h"

#include <algorithm>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

namespace mesh::control {
namespace {

using nlohmann::json;

json conditions(const StatusConditions& all) {
  json list = json::array();
  for (const StatusCondition& one : all) {
    list.push_back({{"type", one.type},
                    {"status", one.holds ? "True" : "False"},
                    {"reason", one.reason},
                    {"message", one.message}});
  }
  return list;
}

json parent(const ParentStatus& from, const std::string& ns) {
  return {{"kind", from.parent.kind},
          {"namespace", from.parent.ns.empty() ? ns : from.parent.ns},
          {"name", from.parent.name},
          {"port", from.parent.port},
          {"conditions", conditions(from.conditions)}};
}

// Of "AuthorizationPolicy shop/deny-web".
std::optional<manifest::ObjectKey> key_of(const std::string& object) {
  const auto kinds = manifest::known_kinds();
  const std::size_t space = object.find(' ');
  const auto known = std::ranges::find(kinds, object.substr(0, space), &manifest::KnownKind::name);
  if (known == kinds.end() || space == std::string::npos) return {};
  const std::string name = object.substr(space + 1);
  const std::size_t slash = known->namespaced ? name.find('/') : std::string::npos;
  if (slash == std::string::npos) return manifest::ObjectKey{known->kind, "", name};
  return manifest::ObjectKey{known->kind, name.substr(0, slash), name.substr(slash + 1)};
}

std::vector<ObjectStatus> statuses_of(const World& world, const Settings& settings,
                                      const std::vector<manifest::Problem>& problems) {
  std::vector<ObjectStatus> all = compute_statuses(world, settings);
  std::map<manifest::ObjectKey, std::string> refused;
  for (const manifest::Problem& problem : problems) {
    if (problem.severity != manifest::Severity::kError || problem.in_force.empty()) continue;
    const auto key = key_of(problem.object);
    if (!key) continue;
    refused.emplace(*key, (problem.field.empty() ? "" : problem.field + ": ") + problem.message +
                              "; " + problem.in_force);
  }
  for (ObjectStatus& status : all) {
    const auto why = refused.extract(status.object);
    if (!why.empty()) refuse(status, status.generation, why.mapped());
  }
  for (const auto& [key, why] : refused) {
    ObjectStatus& status = all.emplace_back(ObjectStatus{.object = key});
    refuse(status, 0, why);
    // A route of which nobody knows the parents.
    if (is_route(key.kind)) {
      status.conditions = {{std::string(kAccepted), false, "Invalid", why}};
    }
  }
  return all;
}

}  // namespace

std::string status_page(const World& world, const Settings& settings,
                        const std::vector<manifest::Problem>& problems) {
  json list = json::array();
  for (const ObjectStatus& status : statuses_of(world, settings, problems)) {
    json one = {{"kind", manifest::kind_name(status.object.kind)},
                {"namespace", status.object.ns},
                {"name", status.object.name},
                {"observedGeneration", status.generation},
                {"conditions", conditions(status.conditions)}};
    for (const ParentStatus& its : status.parents) {
      one["parents"].push_back(parent(its, status.object.ns));
    }
    for (const ListenerStatus& listener : status.listeners) {
      one["listeners"].push_back({{"name", listener.name},
                                  {"attachedRoutes", listener.attached_routes},
                                  {"conditions", conditions(listener.conditions)}});
    }
    list.push_back(std::move(one));
  }
  return json({{"statuses", std::move(list)}}).dump(1, ' ', false, json::error_handler_t::replace) +
         "\n";
}

}  // namespace mesh::control
