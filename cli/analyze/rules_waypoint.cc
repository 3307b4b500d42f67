#include <algorithm>

#include "cli/analyze/finding.h"

namespace mesh::cli {
namespace {

using manifest::Gateway;
using manifest::Metadata;

bool admits(const Inventory& all, const Gateway& gateway, const std::string& ns) {
  return std::ranges::any_of(gateway.listeners, [&](const manifest::Listener& listener) {
    if (listener.protocol != "HBONE") return false;
    if (listener.routes_from == "All") return true;
    if (listener.routes_from == "Same") return gateway.metadata.ns == ns;
    const auto* object = all.find<manifest::Namespace>("", ns);
    return listener.routes_from == "Selector" && object != nullptr &&
           listener.routes_selector.selects(object->metadata.labels);
  });
}

bool has_ready_pod(const Inventory& all, const Gateway& gateway) {
  return std::ranges::any_of(all.all<manifest::Pod>(), [&](const auto& pod) {
    return pod->metadata.ns == gateway.metadata.ns && pod->ready.value_or(false) &&
           pod->metadata.label("gateway.networking.k8s.io/gateway-name") == gateway.metadata.name;
  });
}

// `traffic`: "service" or "workload".
void check(const Inventory& all, const Metadata& object, const std::string& name,
           const Place& place, std::string_view traffic, Findings& found) {
  const auto choice = waypoint_choice(all, object);
  if (!choice) return;
  const std::string waypoint = choice->ns + "/" + choice->name;
  const auto say = [&](const char* code, std::string message, std::string fix) {
    found.push_back({.weight = Weight::kError,
                     .code = code,
                     .object = name,
                     .place = place,
                     .message = std::move(message),
                     .fix = std::move(fix)});
  };
  const auto* gateway = all.find<Gateway>(choice->ns, choice->name);
  if (gateway == nullptr || !is_waypoint(*gateway)) {
    // A namespace's label means services unless the waypoint says otherwise.
    if (!choice->by_object && traffic != "service") return;
    say("WEFT002",
        gateway == nullptr ? "there is no waypoint " + waypoint + ": its traffic is refused"
                           : "Gateway " + waypoint + " is no waypoint: its traffic is refused",
        "weft waypoint apply -n " + choice->ns + " --name " + choice->name +
            ", or take the label istio.io/use-waypoint away");
    return;
  }
  const auto labelled = mesh_label(gateway->metadata, "waypoint-for");
  const std::string_view handled = labelled.empty() ? "service" : labelled;
  if (handled != "all" && handled != traffic) {
    if (choice->by_object) {
      say("WEFT005", "waypoint " + waypoint + " is for " + std::string(handled) + " traffic only",
          "label Gateway " + waypoint + " istio.io/waypoint-for=all");
    }
    return;
  }
  if (!admits(all, *gateway, object.ns)) {
    say("WEFT004",
        "waypoint " + waypoint + " does not admit namespace " + object.ns + ": traffic is refused",
        "set allowedRoutes.namespaces of its HBONE listener to All, or to a Selector of " +
            object.ns);
  } else if (all.knows_pods() && place.file.empty() && !has_ready_pod(all, *gateway)) {
    say("WEFT003", "waypoint " + waypoint + " has no ready pod: traffic is refused until it has",
        "weft waypoint status -n " + choice->ns);
  }
}

}  // namespace

void find_waypoint_faults(const Inventory& all, Findings& found) {
  for (const auto& service : all.all<manifest::Service>()) {
    check(all, service->metadata, "Service " + service->metadata.ns + "/" + service->metadata.name,
          *service.place, "service", found);
  }
  for (const auto& entry : all.all<manifest::ServiceEntry>()) {
    check(all, entry->metadata, "ServiceEntry " + entry->metadata.ns + "/" + entry->metadata.name,
          *entry.place, "service", found);
  }
  for (const auto& pod : all.all<manifest::Pod>()) {
    check(all, pod->metadata, "Pod " + pod->metadata.ns + "/" + pod->metadata.name, *pod.place,
          "workload", found);
  }
}

}  // namespace mesh::cli
