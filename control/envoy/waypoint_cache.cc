#include "control/envoy/waypoint_cache.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

namespace mesh::control {
namespace {

using manifest::Kind;

// What did not change is shared with `before`; all of it: `before` itself.
std::shared_ptr<const WaypointSnapshot> snapshot_of(
    const WaypointConfig& config, const std::shared_ptr<const WaypointSnapshot>& before) {
  auto to = std::make_shared<WaypointSnapshot>();
  bool same = before != nullptr;
  for (const EnvoyType type : kEnvoyOrder) {
    Resources& into = to->resources[static_cast<std::size_t>(type)];
    for (const auto& [name, bytes] : config.of(type)) {
      if (before != nullptr) {
        const auto old = before->of(type).find(name);
        if (old != before->of(type).end() && old->second->bytes == bytes) {
          into.emplace(name, old->second);
          continue;
        }
      }
      same = false;
      into.emplace(name, std::make_shared<const Resource>(name, version_of(bytes), bytes));
    }
    same = same && into.size() == before->of(type).size();
  }
  if (same) return before;
  to->version = before == nullptr ? 1 : before->version + 1;
  return to;
}

// Of kinds that say something about services, or Gateways, of certain namespaces: whether one of
// `namespaces` may be among them. Of others: it may.
bool is_about(const manifest::ObjectKey& key, const manifest::Object& object,
              const std::set<std::string, std::less<>>& namespaces) {
  switch (key.kind) {
    case Kind::kAuthorizationPolicy:
    case Kind::kRequestAuthentication:
    case Kind::kDestinationRule:
    case Kind::kVirtualService:
      return namespaces.contains(key.ns);
    default:
      break;
  }
  return std::visit(
      [&](const auto& route) {
        if constexpr (requires { route.parents; }) {
          return std::any_of(route.parents.begin(), route.parents.end(),
                             [&](const manifest::ParentRef& parent) {
                               return namespaces.contains(parent.ns.empty() ? key.ns : parent.ns);
                             });
        } else {
          return true;
        }
      },
      object);
}

}  // namespace

WaypointCache::WaypointCache(Settings settings)
    : settings_(std::move(settings)), catalog_(settings_) {}

bool WaypointCache::concerns(const manifest::ObjectKey& key, const manifest::Object* object,
                             const Config& config) const {
  const WorldReads& reads = config.world_reads;
  if (reads.everything || reads.objects.contains(key) ||
      reads.namespaces.contains({key.kind, key.ns})) {
    return true;
  }
  return object != nullptr && reads.kinds.contains(key.kind) &&
         is_about(key, *object, config.catalog_reads.namespaces);
}

void WaypointCache::follow(const std::shared_ptr<const Snapshot>& next) {
  std::erase_if(configs_, [](const auto& one) { return !one.second.used; });
  for (auto& [key, config] : configs_) config.used = false;
  if (world_ == next->world) return;
  const World nothing;
  Objects::diff((world_ == nullptr ? nothing : *world_).objects(), next->world->objects(),
                [&](const auto& key, const auto* before, const auto* after) {
                  for (auto& [name, config] : configs_) {
                    config.stale =
                        config.stale ||
                        concerns(key, before == nullptr ? nullptr : before->get(), config) ||
                        concerns(key, after == nullptr ? nullptr : after->get(), config);
                  }
                });
  const bool same_mesh = world_ == nullptr || world_->has_mesh_of(*next->world);
  for (auto& [key, config] : configs_) config.stale |= !same_mesh && config.world_reads.mesh;
  world_ = next->world;
  const Catalog::Changes changes = catalog_.follow(world_, next->of(xds::ResourceType::kAddress));
  work_.read += changes.read;
  for (auto& [key, config] : configs_) {
    const std::string host =
        std::get<1>(key) + "." + std::get<0>(key) + ".svc." + settings_.cluster_domain;
    const auto any_in = [](const std::set<std::string>& changed, const auto& known) {
      return std::any_of(changed.begin(), changed.end(),
                         [&](const std::string& one) { return known.contains(one); });
    };
    config.stale = config.stale || changes.waypoints.contains(host) ||
                   any_in(changes.hosts, config.catalog_reads.hosts) ||
                   any_in(changes.filled, config.inlined);
    config.filled_anew.insert(changes.filled.begin(), changes.filled.end());
  }
}

std::shared_ptr<const WaypointSnapshot> WaypointCache::of(const WaypointClient& client) {
  const manifest::Metadata& gateway = client.gateway->metadata;
  Config& config = configs_[Key{gateway.ns, gateway.name, client.locality, client.labels,
                                client.sds_folder, client.checks_through_tunnels}];
  config.used = true;
  if (config.stale) {
    translate(client, config);
  } else if (!config.filled_anew.empty()) {
    fill(client, config);
  }
  return config.snapshot;
}

void WaypointCache::translate(const WaypointClient& client, Config& config) {
  ++work_.waypoints;
  const manifest::Metadata& gateway = client.gateway->metadata;
  config.world_reads = {};
  config.world_reads.objects.insert({Kind::kGateway, gateway.ns, gateway.name});
  config.catalog_reads = {};
  config.catalog_reads.namespaces = {gateway.ns, settings_.root_namespace};
  catalog_.watch(&config.catalog_reads);
  WaypointConfig made =
      translate_waypoint(world_->watched(config.world_reads), settings_, catalog_, client);
  catalog_.watch(nullptr);
  config.snapshot = snapshot_of(made, config.snapshot);
  config.notes = std::move(made.notes);
  config.endpoint_notes = std::move(made.endpoint_notes);
  config.filled = std::move(made.filled);
  config.inlined = std::move(made.inlined);
  config.world = world_;
  config.stale = false;
  config.filled_anew.clear();
}

// The endpoints of services behind which something changed; of one that has a waypoint of its own,
// those are the waypoint's.
void WaypointCache::fill(const WaypointClient& client, Config& config) {
  std::shared_ptr<WaypointSnapshot> to;
  for (const ClusterUse& use : config.filled) {
    const CatalogService& service = *use.service;
    const CatalogService* waypoint =
        service.waypoint.empty() ? nullptr : catalog_.find_host(service.ns, service.waypoint);
    if (!config.filled_anew.contains(service.key) &&
        (waypoint == nullptr || !config.filled_anew.contains(waypoint->key))) {
      continue;
    }
    ++work_.endpoints;
    note_left_out(use, config.endpoint_notes);
    std::string bytes = endpoints_bytes(catalog_, client, use);
    const auto before = config.snapshot->of(EnvoyType::kEndpoint).find(use.name);
    if (before->second->bytes == bytes) continue;
    if (to == nullptr) {
      to = std::make_shared<WaypointSnapshot>(*config.snapshot);
      ++to->version;
    }
    std::string version = version_of(bytes);
    to->resources[static_cast<std::size_t>(EnvoyType::kEndpoint)].set(
        use.name, std::make_shared<const Resource>(use.name, std::move(version), std::move(bytes)));
  }
  if (to != nullptr) config.snapshot = std::move(to);
  config.filled_anew.clear();
}

std::vector<PolicyNote> WaypointCache::notes() const {
  std::vector<PolicyNote> all;
  for (const auto& [key, config] : configs_) {
    if (!config.used) continue;
    all.insert(all.end(), config.notes.begin(), config.notes.end());
    for (const auto& [name, note] : config.endpoint_notes) all.push_back(note);
  }
  return all;
}

}  // namespace mesh::control
