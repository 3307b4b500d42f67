#include "cli/kubernetes/proxy_config.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/http.h"
#include "cli/json.h"
#include "cli/kubernetes/cluster.h"
#include "cli/table.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

using Rows = std::vector<std::vector<std::string>>;

std::vector<std::string> split(const std::string& text, const std::string& by) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  for (std::size_t end; (end = text.find(by, at)) != std::string::npos; at = end + by.size()) {
    parts.push_back(text.substr(at, end - at));
  }
  parts.push_back(text.substr(at));
  return parts;
}

std::string joined(const Json& list) {
  std::string text;
  for (const Json& one : list) text += (text.empty() ? "" : ", ") + text_of(one);
  return text;
}

// The members of a dump's section: `type` is the end of its @type.
const Json& section(const Json& dump, const std::string& type) {
  static const Json kNone = Json::object();
  for (const Json& one : member(dump, "configs")) {
    if (text(one, "@type").ends_with("." + type)) return one;
  }
  return kNone;
}

// "inbound-vip|80|http|web.shop.svc.cluster.local"
Rows cluster_rows(const Json& dump) {
  Rows rows = {{"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE"}};
  const Json& found = section(dump, "ClustersConfigDump");
  for (const char* list : {"static_clusters", "dynamic_active_clusters"}) {
    for (const Json& one : member(found, list)) {
      const Json& cluster = member(one, "cluster");
      const std::string name = text(cluster, "name");
      const auto parts = split(name, "|");
      if (parts.size() == 4) {
        rows.push_back({parts[3], parts[1], parts[2], parts[0], text(cluster, "type")});
      } else {
        rows.push_back({name, "", "", "", text(cluster, "type")});
      }
    }
  }
  return rows;
}

// The first filter of a chain that says where it leads: an HTTP connection manager or a TCP proxy.
const Json& leading_filter(const Json& chain) {
  for (const Json& filter : member(chain, "filters")) {
    const Json& config = member(filter, "typed_config");
    const std::string type = text(config, "@type");
    if (type.ends_with(".HttpConnectionManager") || type.ends_with(".TcpProxy")) return config;
  }
  static const Json kNone;
  return kNone;
}

std::string destination_of(const Json& chain) {
  const Json& config = leading_filter(chain);
  if (!text(config, "cluster").empty()) return "Cluster: " + text(config, "cluster");
  const Json& routes = member(config, "route_config");
  if (routes.is_object()) return "Inline Route: " + text(routes, "name");
  const std::string named = text(member(config, "rds"), "route_config_name");
  return named.empty() ? "" : "Route: " + named;
}

template <class Visit>
void each_listener(const Json& dump, const Visit& visit) {
  const Json& found = section(dump, "ListenersConfigDump");
  for (const Json& one : member(found, "static_listeners")) visit(member(one, "listener"));
  for (const Json& one : member(found, "dynamic_listeners")) {
    visit(member(member(one, "active_state"), "listener"));
  }
}

Rows listener_rows(const Json& dump) {
  Rows rows = {{"LISTENER", "CHAIN", "MATCH", "DESTINATION"}};
  each_listener(dump, [&](const Json& listener) {
    const std::string name = text(listener, "name");
    for (const Json& chain : member(listener, "filter_chains")) {
      const Json& match = member(chain, "filter_chain_match");
      rows.push_back({name, text(chain, "name"), match.is_null() ? "ALL" : to_text(match),
                      destination_of(chain)});
    }
    for (const Json& chain : member(listener, "chains")) {  // weft-waypoint's
      const Json& tcp = member(chain, "tcp");
      rows.push_back({name, text(chain, "name"), text(chain, "match"),
                      tcp.is_null() ? "Inline Route: " + text(chain, "name")
                                    : "Cluster: " + joined(member(tcp, "clusters"))});
    }
  });
  return rows;
}

std::string match_of(const Json& match) {
  for (const char* key : {"prefix", "path_separated_prefix", "path"}) {
    if (!text(match, key).empty()) {
      return text(match, key) + (std::string_view(key) == "path" ? "" : "*");
    }
  }
  return match.is_null() ? "" : to_text(match);
}

void add_route_table(const Json& table, const std::string& owner, Rows& rows) {
  const std::string name = text(table, "name").empty() ? owner : text(table, "name");
  for (const Json& host : member(table, "virtual_hosts")) {
    for (const Json& route : member(host, "routes")) {
      rows.push_back({name, text(host, "name"), joined(member(host, "domains")),
                      match_of(member(route, "match")), text(route, "name")});
    }
  }
}

Rows route_rows(const Json& dump) {
  Rows rows = {{"NAME", "VHOST NAME", "DOMAINS", "MATCH", "ROUTE"}};
  each_listener(dump, [&](const Json& listener) {
    for (const Json& chain : member(listener, "filter_chains")) {
      const Json& table = member(leading_filter(chain), "route_config");
      if (table.is_object()) add_route_table(table, text(chain, "name"), rows);
    }
    for (const Json& chain : member(listener, "chains")) {
      for (const Json& route : member(member(chain, "http"), "routes")) {
        rows.push_back(
            {text(chain, "name"), "", joined(member(route, "host")), "", text(route, "name")});
      }
    }
  });
  for (const Json& one : member(section(dump, "RoutesConfigDump"), "dynamic_route_configs")) {
    add_route_table(member(one, "route_config"), "", rows);
  }
  return rows;
}

// Names of secrets, never what they hold: a dump has that redacted.
Rows secret_rows(const Json& dump) {
  Rows rows = {{"RESOURCE NAME", "TYPE", "STATUS", "LAST UPDATED"}};
  const Json& found = section(dump, "SecretsConfigDump");
  for (const auto& [list, status] :
       {std::pair("static_secrets", "ACTIVE"), std::pair("dynamic_active_secrets", "ACTIVE"),
        std::pair("dynamic_warming_secrets", "WARMING")}) {
    for (const Json& one : member(found, list)) {
      const Json& secret = member(one, "secret");
      const char* const type = !member(secret, "tls_certificate").is_null()      ? "Cert Chain"
                               : !member(secret, "validation_context").is_null() ? "CA"
                                                                                 : "";
      rows.push_back({text(one, "name"), type, status, text(one, "last_updated")});
    }
  }
  return rows;
}

// What it was started with; nested members as paths.
Rows bootstrap_rows(const Json& dump) {
  Rows rows = {{"MEMBER", "VALUE"}};
  const Json& found = section(dump, "BootstrapConfigDump");
  // weft-waypoint has no bootstrap: what it is instead.
  const Json& bootstrap = found.empty() ? member(dump, "weft") : member(found, "bootstrap");
  const Json flat = bootstrap.is_object() ? bootstrap.flatten() : Json::object();
  for (const auto& [path, value] : flat.items()) {
    if (!path.empty()) rows.push_back({path.substr(1), text_of(value)});
  }
  return rows;
}

// Lines "CLUSTER::ADDRESS::health_flags::healthy", or flags separated by '/'.
Rows endpoint_rows(const std::string& page) {
  Rows rows = {{"ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"}};
  for (const std::string& line : split(page, "\n")) {
    const auto parts = split(line, "::");
    if (parts.size() < 4 || parts[parts.size() - 2] != "health_flags") continue;
    const std::string flags = "/" + parts.back();
    const bool outlier = flags.find("/failed_outlier_check") != std::string::npos;
    std::string address = parts[1];
    // An IPv6 address has colons of its own.
    for (std::size_t i = 2; i + 2 < parts.size(); ++i) address += "::" + parts[i];
    rows.push_back({address, parts.back() == "healthy" ? "HEALTHY" : "UNHEALTHY",
                    outlier ? "FAILED" : "OK", parts[0]});
  }
  return rows;
}

Outcome<std::string> fetch(const Session& session, const std::string& pod,
                           const std::string& address, const std::string& path) {
  if (!address.empty()) {
    TRY(const HttpAnswer answer, http_call({.url = "http://" + address + path,
                                            .timeout = std::chrono::milliseconds(10000)}));
    if (answer.status != 200) return problem("it answered " + std::to_string(answer.status));
    return answer.body;
  }
  TRY(Cluster cluster, open_cluster(session));
  const std::size_t slash = pod.find('/');
  const std::string ns = slash != std::string::npos ? pod.substr(0, slash)
                         : session.ns.empty()       ? cluster.default_namespace()
                                                    : session.ns;
  const std::string name = slash == std::string::npos ? pod : pod.substr(slash + 1);
  return cluster.pod_page({.ns = ns, .pod = name, .port = 15000, .path = path});
}

}  // namespace

Outcome<Rows> proxy_rows(ProxyPart part, const std::string& page) {
  if (part == ProxyPart::kEndpoint) return endpoint_rows(page);
  const Json dump = parse_json(page);
  if (!member(dump, "configs").is_array()) return problem("this is no /config_dump");
  switch (part) {
    case ProxyPart::kCluster:
      return cluster_rows(dump);
    case ProxyPart::kListener:
      return listener_rows(dump);
    case ProxyPart::kRoute:
      return route_rows(dump);
    case ProxyPart::kSecret:
      return secret_rows(dump);
    case ProxyPart::kBootstrap:
      return bootstrap_rows(dump);
    case ProxyPart::kEndpoint:
    case ProxyPart::kAll:
      break;
  }
  Rows rows = {{"SECTION"}};
  for (const Json& one : member(dump, "configs")) rows.push_back({text(one, "@type")});
  return rows;
}

int proxy_config(const Session& session, ProxyPart part, const std::string& pod,
                 const std::string& address) {
  if (pod.empty() && address.empty()) return complain("say which pod, or --address");
  const bool endpoints = part == ProxyPart::kEndpoint;
  const auto page = fetch(session, pod, address, endpoints ? "/clusters" : "/config_dump");
  if (!page) return complain(page.error());
  const auto rows = proxy_rows(part, *page);
  if (!rows) return complain(rows.error());
  Json shown = Json::array();
  if (part == ProxyPart::kAll) {
    shown = parse_json(*page);
  } else {
    for (std::size_t i = 1; i < rows->size(); ++i) {
      Json row = Json::object();
      for (std::size_t k = 0; k < rows->front().size(); ++k) row[rows->front()[k]] = (*rows)[i][k];
      shown.push_back(std::move(row));
    }
  }
  print(session, shown, table(*rows));
  return kOk;
}

}  // namespace mesh::cli
