#include "waypoint/dump.h"

#include <nlohmann/json.hpp>

namespace mesh::waypoint {
namespace {

using nlohmann::ordered_json;

ordered_json chain_row(const std::string& match, const config::ChainPtr& chain) {
  ordered_json row = {{"match", match}, {"name", chain->name}};
  if (chain->http) {
    ordered_json filters = ordered_json::array();
    for (const config::HttpFilter& filter : chain->http->filters) filters.push_back(filter.name);
    ordered_json routes = ordered_json::array();
    if (chain->http->routes) {
      for (const config::VirtualHost& host : chain->http->routes->hosts) {
        for (const auto& route : host.routes) {
          routes.push_back({{"host", host.domains}, {"name", route->name}});
        }
      }
    }
    row["http"] = {{"filters", std::move(filters)}, {"routes", std::move(routes)}};
  }
  if (chain->tcp) {
    ordered_json targets = ordered_json::array();
    for (const auto& target : chain->tcp->targets) targets.push_back(target.cluster);
    row["tcp"] = {{"clusters", std::move(targets)}};
  }
  return row;
}

ordered_json listeners(const config::Snapshot& snapshot) {
  ordered_json chains = ordered_json::array();
  const auto add = [&](const std::string& match, const config::Destination& destination) {
    if (destination.http) chains.push_back(chain_row(match, destination.http));
    if (destination.tcp) chains.push_back(chain_row(match, destination.tcp));
  };
  for (const auto& [address, destination] : snapshot.by_address->exact) {
    add(address.to_string(), destination);
  }
  for (const auto& [name, destination] : *snapshot.by_hostname) add(name, destination);
  add("direct", snapshot.direct);
  ordered_json main = {
      {"name", "main_internal"},
      {"active_state",
       {{"version_info", snapshot.version},
        {"listener", {{"name", "main_internal"}, {"chains", std::move(chains)}}}}}};
  return {{"@type", "type.googleapis.com/envoy.admin.v3.ListenersConfigDump"},
          {"version_info", snapshot.version},
          {"dynamic_listeners", ordered_json::array({std::move(main)})}};
}

ordered_json clusters(const config::Snapshot& snapshot) {
  ordered_json active = ordered_json::array();
  for (const auto& [name, cluster] : *snapshot.clusters) {
    active.push_back(
        {{"version_info", snapshot.version},
         {"cluster",
          {{"@type", "type.googleapis.com/envoy.config.cluster.v3.Cluster"},
           {"name", name},
           {"connect_timeout", std::to_string(cluster->connect_timeout.count() / 1000) + "s"}}}});
  }
  return {{"@type", "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"},
          {"version_info", snapshot.version},
          {"dynamic_active_clusters", std::move(active)}};
}

ordered_json endpoints(const config::Snapshot& snapshot) {
  ordered_json active = ordered_json::array();
  for (const auto& [name, known] : *snapshot.endpoints) {
    ordered_json list = ordered_json::array();
    for (const config::Endpoint& endpoint : known->all) {
      const bool hbone = endpoint.transport == config::Endpoint::Transport::kHbone;
      list.push_back({{"address", endpoint.key()},
                      {"transport", hbone ? "hbone" : "plaintext"},
                      {"weight", endpoint.weight},
                      {"workload", endpoint.workload}});
    }
    active.push_back({{"cluster_name", name}, {"endpoints", std::move(list)}});
  }
  return {{"@type", "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump"},
          {"dynamic_endpoint_configs", std::move(active)}};
}

}  // namespace

std::string dump_config(const config::Snapshot& snapshot, const Settings& settings,
                        std::string_view waiting_for) {
  ordered_json not_honoured = ordered_json::array();
  for (const config::NotHonoured& one : snapshot.not_honoured) {
    not_honoured.push_back({{"resource", one.resource}, {"path", one.path}});
  }
  const ordered_json dump = {
      {"configs",
       ordered_json::array({clusters(snapshot), listeners(snapshot), endpoints(snapshot)})},
      {"weft",
       {{"identity", settings.identity()},
        {"snapshot", snapshot.number},
        {"version", snapshot.version},
        {"ready", snapshot.ready},
        {"waiting_for", waiting_for},
        {"not_honoured", std::move(not_honoured)}}}};
  return dump.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string dump_stats(std::span<const Lane::Report> reports, const config::Snapshot& snapshot,
                       bool connected) {
  Lane::Report sum;
  for (const Lane::Report& report : reports) {
    sum.connections += report.connections;
    sum.tunnels_in += report.tunnels_in;
    sum.upstream_connections += report.upstream_connections;
    sum.upstream_dialled += report.upstream_dialled;
    sum.upstream_reused += report.upstream_reused;
    sum.ejections += report.ejections;
    sum.mirrors.sent += report.mirrors.sent;
    sum.mirrors.failed += report.mirrors.failed;
    sum.mirrors.dropped += report.mirrors.dropped;
  }
  std::string text;
  const auto line = [&](std::string_view name, std::uint64_t value) {
    text.append(name).append(": ").append(std::to_string(value)).append("\n");
  };
  line("cluster_manager.active_clusters", snapshot.clusters->size());
  line("control_plane.connected_state", connected ? 1 : 0);
  line("listener.downstream_cx_active", sum.tunnels_in);
  line("listener.downstream_connect_active", sum.connections);
  line("mirror.requests_dropped", sum.mirrors.dropped);
  line("mirror.requests_failed", sum.mirrors.failed);
  line("mirror.requests_total", sum.mirrors.sent);
  line("outlier_detection.ejections_total", sum.ejections);
  line("upstream_cx_active", sum.upstream_connections);
  line("upstream_cx_reused", sum.upstream_reused);
  line("upstream_cx_total", sum.upstream_dialled);
  return text;
}

}  // namespace mesh::waypoint
