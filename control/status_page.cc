#include "control/status_page.h"

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

}  // namespace

std::string status_page(const World& world, const Settings& settings) {
  json list = json::array();
  for (const ObjectStatus& status : compute_statuses(world, settings)) {
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
