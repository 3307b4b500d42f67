#pragma once
// `weft proxy-config cluster|listener|route|endpoint|all`: what a waypoint is configured with, from
// the admin pages /config_dump and /clusters in Envoy's shape, so of stock Envoy too.

#include <string>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

enum class ProxyPart { kCluster, kListener, kRoute, kSecret, kBootstrap, kEndpoint, kAll };

// Rows of a table, headings first, in istioctl's columns. `page`: /clusters for kEndpoint, else
// /config_dump. Errors: not such a page.
Outcome<std::vector<std::vector<std::string>>> proxy_rows(ProxyPart part, const std::string& page);

// `pod`: [NAMESPACE/]POD of a waypoint; `address`: an admin address instead.
int proxy_config(const Session& session, ProxyPart part, const std::string& pod,
                 const std::string& address);

}  // namespace mesh::cli
