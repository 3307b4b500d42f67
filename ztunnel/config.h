#pragma once
// Everything that can be set, parsed once at start; printed by /config_dump. Flags win over the
// environment, whose names are those of Istio's ztunnel.

#include <chrono>
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/environment.h"
#include "mesh/net/address.h"
#include "ztunnel/route.h"

namespace mesh::ztunnel {

struct Config {
  std::string node_name;                         // NODE_NAME
  std::string cluster_id = "Kubernetes";         // CLUSTER_ID
  std::string cluster_domain = "cluster.local";  // CLUSTER_DOMAIN
  std::string trust_domain = "cluster.local";    // TRUST_DOMAIN
  std::string network;                           // NETWORK
  std::string instance_ip = "1.1.1.1";           // INSTANCE_IP
  std::string pod_name;                          // POD_NAME
  std::string pod_namespace;                     // POD_NAMESPACE
  std::string preferred_namespace;               // PREFERED_SERVICE_NAMESPACE
  // XDS_ADDRESS; in a pod of Kubernetes https://istiod.istio-system.svc:15012
  std::string xds_address = "https://localhost:15012";
  std::string ca_address;    // CA_ADDRESS, else xds_address
  std::string xds_hostname;  // ALT_XDS_HOSTNAME
  std::string ca_hostname;   // ALT_CA_HOSTNAME
  // XDS_ROOT_CA, CA_ROOT_CA: a path, SYSTEM or PEM; the authority's is the other's when not given.
  std::string root_cert = "./var/run/secrets/istio/root-cert.pem";
  std::string ca_root_cert;
  std::string token = "./var/run/secrets/tokens/istio-token";  // AUTH_TOKEN, a path or the token
  std::map<std::string, std::string> xds_headers, ca_headers;  // XDS_HEADER_name, CA_HEADER_name
  std::map<std::string, std::string> node_metadata;            // ISTIO_META_NAME
  std::string zds_socket = "/var/run/ztunnel/ztunnel.sock";    // INPOD_UDS
  std::string agent_socket;  // WEFT_AGENT_SOCKET; empty: older connections are never ended
  std::string resolv_conf = "/etc/resolv.conf";  // RESOLV_CONF
  std::vector<net::IpAddress> dns_servers;       // of resolv_conf
  std::vector<std::string> dns_search;           // of resolv_conf, not the cluster's
  std::string log_level = "info";                // WEFT_LOG, RUST_LOG
  bool log_json = false;                         // LOG_FORMAT
  bool dns_proxy = true;                         // ISTIO_META_DNS_CAPTURE
  bool ipv6 = true;                              // IPV6_ENABLED
  unsigned workers = 0;                          // ZTUNNEL_WORKER_THREADS; never 0 once parsed
  UnknownDestinations unknown_destinations = UnknownDestinations::kPassthrough;
  net::SocketAddress admin;      // 127.0.0.1:15000; loopback only
  net::SocketAddress metrics;    // [::]:15020
  net::SocketAddress readiness;  // [::]:15021
  std::chrono::nanoseconds termination_deadline = std::chrono::seconds(5);
  std::chrono::nanoseconds pool_idle_release = std::chrono::minutes(5);
  std::chrono::nanoseconds ready_deadline = std::chrono::seconds(5);  // what is held, for how long
  std::chrono::seconds secret_ttl = std::chrono::hours(24);           // SECRET_TTL
  // The kernel cannot steer captured connections to one of several listeners (before 6.6).
  bool one_listener_per_pod = false;
  unsigned streams_per_tunnel = 100;  // POOL_MAX_STREAMS_PER_CONNECTION
  // auto, system, or an algorithm's name: mesh/hbone/congestion.h
  std::string tunnel_congestion_control = "auto";  // WEFT_TUNNEL_CONGESTION_CONTROL
  // Limits that no setting changes.
  std::size_t pods_max = 4096;
  std::size_t pod_connections_max = 16384;  // of a pod on a lane; of a peer: hbone::PeerLimits
};

struct ParsedConfig {
  std::optional<Config> config;  // none: print `text` and exit with `status`
  int status = 0;
  std::string text;
};
// `arguments` without the program's name. `cpus` is what this machine has. `variables`: as environ,
// for settings of which the environment says the names, too.
ParsedConfig parse_config(std::vector<std::string> arguments, const Environment& environment,
                          unsigned cpus, const char* const* variables = nullptr);

// "5s", "1m30s", "250ms", "24h".
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);
// "4", "25%", "0" (all); at least 1.
std::optional<unsigned> parse_workers(std::string_view text, unsigned cpus);

}  // namespace mesh::ztunnel
