#pragma once
// Everything that weft-control can be told, read once from flags and environment.

#include <chrono>
#include <expected>
#include <set>
#include <string>
#include <vector>

#include "control/world.h"
#include "mesh/net/address.h"
#include "mesh/telemetry/log.h"

namespace mesh::control {

// Of the waypoints that are deployed: ours, stock Envoy, and what stands beside it.
struct WaypointImages {
  std::string weft = "weft-waypoint:" WEFT_VERSION;
  std::string envoy = "envoy";
  std::string sds = "weft-sds:" WEFT_VERSION;
};

struct Config {
  std::string manifests;   // empty: the API server is the store
  std::string kubeconfig;  // empty: that of the cluster we run in
  std::string context;
  std::string ns = "weft-system";                    // ours
  std::string pod = "weft-control";                  // what we are called in the Lease
  std::set<std::string, std::less<>> node_accounts;  // of ztunnels: "NAMESPACE/NAME"
  std::chrono::seconds rotation_wait{0};
  bool istio_root_map = true;  // ConfigMaps istio-ca-root-cert are ours to write
  WaypointImages waypoint_images;
  bool waypoint_seccomp_localhost = true;
  std::string mesh_config;      // a file; empty: none
  std::string mesh_config_map;  // on an API server: of our namespace
  std::string state;
  std::string tokens;  // STATE/tokens unless said; on an API server: none unless said
  net::SocketAddress listen;
  net::SocketAddress debug_listen;
  Settings settings;
  std::chrono::seconds certificate_lifetime{24 * 3600};
  std::vector<std::string> serving_names;  // of the certificate on `listen`, the usual ones too
  telemetry::LogFormat log_format = telemetry::LogFormat::kText;
  std::string log_level = "info";
};

// What to print and exit with, instead of running: help, version, or one line about a mistake.
struct Leave {
  int status = 1;
  std::string text;
};

std::expected<Config, Leave> read_config(int argc, const char* const* argv);

// "90", "30s", "5m", "24h", "7d"; 1 second to 10 years.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);

}  // namespace mesh::control
