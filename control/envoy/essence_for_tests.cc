#include "control/envoy/essence_for_tests.h"

#include <algorithm>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

namespace mesh::control {
namespace {

using nlohmann::json;

const std::set<std::string> kAlways = {"main_internal", "encap", "connect_originate",
                                       "connect_terminate"};
const std::set<std::string> kUsualFilters = {"envoy.filters.http.grpc_stats",
                                             "envoy.filters.http.fault", "envoy.filters.http.cors",
                                             "envoy.filters.http.router"};

void drop(json& from, const char* key, const json& usual) {
  if (from.contains(key) && from[key] == usual) from.erase(key);
}

// A route without what all have: no timeouts, the usual retries, a name for traces.
json route_of(json route) {
  route.erase("decorator");
  route.erase("metadata");
  if (!route.contains("route")) return route;
  json& action = route["route"];
  drop(action, "timeout", "0s");
  drop(action, "maxGrpcTimeout", "0s");
  if (action.contains("retryPolicy")) {
    json& retry = action["retryPolicy"];
    drop(retry, "hostSelectionRetryMaxAttempts", "5");
    drop(retry, "numRetries", 2);
    drop(retry, "retryOn",
         "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes");
    if (retry.contains("retryHostPredicate")) retry.erase("retryHostPredicate");
    if (retry.empty()) action.erase("retryPolicy");
  }
  return route;
}

json http_of(const json& manager) {
  json to = json::object();
  for (const char* kept : {"accessLog", "tracing"}) {
    if (manager.contains(kept)) to[kept] = manager[kept];
  }
  for (const json& filter : manager.value("httpFilters", json::array())) {
    if (!kUsualFilters.contains(filter.value("name", ""))) to["filters"].push_back(filter);
  }
  for (const json& host : manager["routeConfig"]["virtualHosts"]) {
    for (const json& route : host.value("routes", json::array())) {
      to["routes"].push_back(route_of(route));
    }
  }
  return to;
}

json chain_of(const json& chain) {
  json to = json::object();
  for (const json& filter : chain.value("filters", json::array())) {
    const json config = filter.value("typedConfig", json::object());
    if (filter["name"] == "envoy.filters.network.http_connection_manager") {
      to["http"] = http_of(config);
    } else if (filter["name"] == "envoy.filters.network.tcp_proxy") {
      to["tcp"] = config.value("cluster", json());
      if (config.contains("weightedClusters")) to["tcp"] = config["weightedClusters"]["clusters"];
      if (config.contains("accessLog")) to["accessLog"] = config["accessLog"];
    } else {
      to["network"].push_back(filter);
    }
  }
  return to;
}

void add_matches(const json& matcher, const std::string& where, json& into) {
  if (matcher.contains("action")) {
    into.push_back(where + " -> " + matcher["action"].value("name", ""));
    return;
  }
  const json& inner = matcher.contains("matcher") ? matcher["matcher"] : matcher;
  const json& tree = inner["matcherTree"];
  if (tree.contains("customMatch")) {
    for (const json& range : tree["customMatch"]["typedConfig"].value("rangeMatchers", json())) {
      std::string blocks;
      for (const json& block : range.value("ranges", json::array())) {
        blocks += block.value("addressPrefix", "") + "/" +
                  std::to_string(block.value("prefixLen", 0)) + " ";
      }
      add_matches(range["onMatch"], blocks, into);
    }
  } else if (tree.contains("exactMatchMap")) {
    for (const auto& [key, value] : tree["exactMatchMap"]["map"].items()) {
      add_matches(value, where + key, into);
    }
  }
  if (inner.contains("onNoMatch")) add_matches(inner["onNoMatch"], where + "else", into);
}

json cluster_of(json cluster) {
  const json kNoLimit = 4294967295;
  cluster.erase("name");
  cluster.erase("altStatName");
  drop(cluster, "connectTimeout", "10s");
  drop(cluster, "circuitBreakers",
       {{"thresholds", json::array({{{"maxConnections", kNoLimit},
                                     {"maxPendingRequests", kNoLimit},
                                     {"maxRequests", kNoLimit},
                                     {"maxRetries", kNoLimit}}})}});
  if (cluster.contains("edsClusterConfig")) cluster.erase("edsClusterConfig");
  const json transport = cluster.value("transportSocket", json::object());
  if (transport.dump().find("tls.v3") == std::string::npos) cluster.erase("transportSocket");
  return cluster;
}

json endpoints_of(const json& assignment) {
  json lines = json::array();
  for (const json& group : assignment.value("endpoints", json::array())) {
    const json place = group.value("locality", json::object());
    const std::string head = std::to_string(group.value("priority", 0)) + " " +
                             place.value("region", "") + "/" + place.value("zone", "") + " " +
                             std::to_string(group.value("loadBalancingWeight", 0)) + ": ";
    for (const json& one : group.value("lbEndpoints", json::array())) {
      const json& address = one["endpoint"]["address"];
      std::string line = head;
      if (address.contains("envoyInternalAddress")) {
        line += "tunnel " + address["envoyInternalAddress"].value("endpointId", "");
      } else {
        line += address["socketAddress"].value("address", "") + ":" +
                std::to_string(address["socketAddress"].value("portValue", 0));
      }
      line += " " + one.value("healthStatus", "");
      for (const auto& [name, fields] : one["metadata"]["filterMetadata"].items()) {
        line += " " + fields.dump();
      }
      lines.push_back(line);
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

json essence(const json& dump, bool whole) {
  json to = json::object();
  for (const json& listener : dump.value("listeners", json::array())) {
    const std::string name = listener["name"];
    const json& resource = listener["resource"];
    if (name != "main_internal") {
      if (whole) to["listener " + name] = resource;
      continue;
    }
    to["inspected"] = resource.value("listenerFilters", json::array());
    json matches = json::array();
    add_matches(resource["filterChainMatcher"], "", matches);
    std::sort(matches.begin(), matches.end());
    to["match"] = matches;
    for (const json& chain : resource.value("filterChains", json::array())) {
      to["chain " + chain.value("name", "")] = chain_of(chain);
    }
  }
  for (const json& cluster : dump.value("clusters", json::array())) {
    const std::string name = cluster["name"];
    if (kAlways.contains(name)) {
      if (whole) to["cluster " + name] = cluster["resource"];
    } else {
      to["cluster " + name] = cluster_of(cluster["resource"]);
    }
  }
  for (const json& one : dump.value("endpoints", json::array())) {
    to["endpoints " + one["name"].get<std::string>()] = endpoints_of(one["resource"]);
  }
  return to;
}

}  // namespace mesh::control
