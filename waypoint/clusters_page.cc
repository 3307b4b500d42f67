#include "waypoint/clusters_page.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "waypoint/fleet.h"

namespace mesh::waypoint {
namespace {

using nlohmann::ordered_json;

// In the order of balance::Breaker::What.
constexpr const char* kLimits[] = {"max_connections", "max_pending_requests", "max_requests",
                                   "max_retries"};
constexpr const char* kOpen[] = {"cx_open", "rq_pending_open", "rq_open", "rq_retry_open"};
constexpr const char* kOverflows[] = {"upstream_cx_overflow", "upstream_rq_pending_overflow",
                                      "upstream_rq_overflow", "upstream_rq_retry_overflow"};

BreakerRow breaker_row(const balance::Breaker& breaker) {
  BreakerRow row;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto what = static_cast<balance::Breaker::What>(i);
    row.limit[i] = breaker.limit(what);
    row.now[i] = breaker.now(what);
    row.overflows[i] = breaker.overflows(what);
  }
  return row;
}

std::string health_flags(const HostRow& host) {
  std::string flags;
  if (host.ejected) flags += "/failed_outlier_check";
  if (host.failed_checks) flags += "/failed_active_hc";
  if (flags.empty() && !host.healthy) flags = "/failed_eds_health";
  return flags.empty() ? "healthy" : flags;
}

ordered_json address_of(const HostRow& host) {
  if (host.hbone) {
    return {{"envoy_internal_address",
             {{"server_listener_name", "connect_originate"}, {"endpoint_id", host.key}}}};
  }
  const std::size_t colon = std::min(host.key.rfind(':'), host.key.size());
  std::string ip = host.key.substr(0, colon);
  if (ip.size() > 1 && ip.front() == '[') ip = ip.substr(1, ip.size() - 2);
  const std::string port = host.key.substr(std::min(colon + 1, host.key.size()));
  unsigned number = 0;
  for (const char c : port) number = number * 10 + static_cast<unsigned>(c - '0');
  return {{"socket_address", {{"address", ip}, {"port_value", number}}}};
}

ordered_json host_json(const HostRow& host) {
  ordered_json health = {{"eds_health_status", host.healthy || host.ejected || host.failed_checks
                                                   ? "HEALTHY"
                                                   : "UNHEALTHY"}};
  if (host.ejected) health["failed_outlier_check"] = true;
  if (host.failed_checks) health["failed_active_health_check"] = true;
  ordered_json stats = ordered_json::array();
  stats.push_back(
      {{"type", "GAUGE"}, {"value", std::to_string(host.active)}, {"name", "rq_active"}});
  return {
      {"address", address_of(host)},
      {"stats", std::move(stats)},
      {"health_status", std::move(health)},
      {"weight", host.weight},
      {"hostname", host.hostname},
      {"priority", host.priority},
      {"locality", {{"region", host.region}, {"zone", host.zone}, {"sub_zone", host.sub_zone}}}};
}

ordered_json breaker_json(const BreakerRow& row, const char* priority) {
  ordered_json json = {{"priority", priority}};
  for (std::size_t i = 0; i < 4; ++i) json[kLimits[i]] = row.limit[i];
  return json;
}

}  // namespace

std::vector<ClusterRow> cluster_rows(const Fleet& fleet) {
  std::vector<ClusterRow> rows;
  for (const Fleet::Row& from : fleet.rows()) {
    ClusterRow row{.name = from.cluster,
                   .normal = breaker_row(*from.normal),
                   .high = breaker_row(*from.high),
                   .hosts = {}};
    for (std::uint32_t i = 0; i < from.hosts->size(); ++i) {
      const config::Endpoint& endpoint = from.hosts->endpoint(i);
      const balance::HostState& state = from.hosts->state(i);
      HostRow host{.key = state.key,
                   .hbone = endpoint.transport == config::Endpoint::Transport::kHbone,
                   .active = state.active,
                   .ejected = state.ejected,
                   .failed_checks = state.failed_checks,
                   .healthy = from.hosts->standing(i) == balance::Standing::kHealthy,
                   .weight = endpoint.weight,
                   .hostname = endpoint.hostname};
      const auto& groups = from.hosts->endpoints().groups;
      if (endpoint.group < groups.size()) {
        const config::EndpointGroup& group = groups[endpoint.group];
        host.priority = group.priority;
        host.region = group.region;
        host.zone = group.zone;
        host.sub_zone = group.sub_zone;
      }
      row.hosts.push_back(std::move(host));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<ClusterRow> merge(std::span<const std::vector<ClusterRow>> lanes) {
  std::map<std::string, std::pair<ClusterRow, std::map<std::string, HostRow>>> all;
  for (const auto& lane : lanes) {
    for (const ClusterRow& row : lane) {
      auto& [cluster, hosts] = all[row.name];
      cluster = {.name = row.name, .normal = row.normal, .high = row.high, .hosts = {}};
      for (const HostRow& host : row.hosts) {
        const auto [known, added] = hosts.emplace(host.key, host);
        if (added) continue;
        known->second.active += host.active;
        known->second.ejected |= host.ejected;
        known->second.failed_checks |= host.failed_checks;
        known->second.healthy &= host.healthy;
      }
    }
  }
  std::vector<ClusterRow> rows;
  for (auto& [name, found] : all) {
    for (auto& [key, host] : found.second) found.first.hosts.push_back(std::move(host));
    rows.push_back(std::move(found.first));
  }
  return rows;
}

std::string clusters_text(std::span<const ClusterRow> rows) {
  std::string text;
  const auto line = [&](const std::string& prefix, std::string_view name, std::string_view value) {
    text.append(prefix).append("::").append(name).append("::").append(value).append("\n");
  };
  for (const ClusterRow& row : rows) {
    line(row.name, "observability_name", row.name);
    for (std::size_t i = 0; i < 4; ++i) {
      line(row.name + "::default_priority", kLimits[i], std::to_string(row.normal.limit[i]));
    }
    for (std::size_t i = 0; i < 4; ++i) {
      line(row.name + "::high_priority", kLimits[i], std::to_string(row.high.limit[i]));
    }
    line(row.name, "added_via_api", "true");
    for (const HostRow& host : row.hosts) {
      const std::string key = row.name + "::" + host.key;
      line(key, "rq_active", std::to_string(host.active));
      line(key, "hostname", host.hostname);
      line(key, "health_flags", health_flags(host));
      line(key, "weight", std::to_string(host.weight));
      line(key, "region", host.region);
      line(key, "zone", host.zone);
      line(key, "sub_zone", host.sub_zone);
      line(key, "priority", std::to_string(host.priority));
    }
  }
  return text;
}

std::string clusters_json(std::span<const ClusterRow> rows) {
  ordered_json statuses = ordered_json::array();
  for (const ClusterRow& row : rows) {
    ordered_json hosts = ordered_json::array();
    for (const HostRow& host : row.hosts) hosts.push_back(host_json(host));
    ordered_json thresholds = ordered_json::array();
    thresholds.push_back(breaker_json(row.normal, "DEFAULT"));
    thresholds.push_back(breaker_json(row.high, "HIGH"));
    statuses.push_back({{"name", row.name},
                        {"added_via_api", true},
                        {"host_statuses", std::move(hosts)},
                        {"circuit_breakers", {{"thresholds", std::move(thresholds)}}},
                        {"observability_name", row.name}});
  }
  const ordered_json page = {{"cluster_statuses", std::move(statuses)}};
  return page.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string clusters_stats(std::span<const ClusterRow> rows) {
  std::string text;
  const auto line = [&](const std::string& name, std::uint64_t value) {
    text.append(name).append(": ").append(std::to_string(value)).append("\n");
  };
  for (const ClusterRow& row : rows) {
    const std::string prefix = "cluster." + row.name + ".";
    for (const auto& [priority, breaker] :
         {std::pair("default", &row.normal), std::pair("high", &row.high)}) {
      for (std::size_t i = 0; i < 4; ++i) {
        line(prefix + "circuit_breakers." + priority + "." + kOpen[i],
             breaker->now[i] >= breaker->limit[i] ? 1 : 0);
      }
    }
    for (std::size_t i = 0; i < 4; ++i) {
      line(prefix + kOverflows[i], row.normal.overflows[i] + row.high.overflows[i]);
    }
    line(prefix + "membership_total", row.hosts.size());
    line(prefix + "membership_healthy",
         static_cast<std::uint64_t>(std::ranges::count_if(row.hosts, &HostRow::healthy)));
    line(prefix + "upstream_cx_active", row.normal.now[0] + row.high.now[0]);
    line(prefix + "upstream_rq_active", row.normal.now[2] + row.high.now[2]);
    line(prefix + "upstream_rq_pending_active", row.normal.now[1] + row.high.now[1]);
  }
  return text;
}

}  // namespace mesh::waypoint
