#pragma once
// Everything that can be set at start. Flags win over the environment, whose names are those of
// Istio's proxies.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "mesh/base/environment.h"
#include "mesh/net/address.h"

namespace mesh::waypoint {

struct Settings {
  std::string pod_name;                                             // POD_NAME
  std::string pod_namespace;                                        // POD_NAMESPACE
  std::string service_account;                                      // SERVICE_ACCOUNT
  std::string gateway;                                              // GATEWAY_NAME
  std::string instance_ip = "127.0.0.1";                            // INSTANCE_IP
  std::string node_name;                                            // NODE_NAME
  std::string cluster_id = "Kubernetes";                            // CLUSTER_ID
  std::string cluster_domain = "cluster.local";                     // CLUSTER_DOMAIN
  std::string trust_domain = "cluster.local";                       // TRUST_DOMAIN
  std::string xds_address = "https://localhost:15012";              // XDS_ADDRESS
  std::string ca_address;                                           // CA_ADDRESS, else xds_address
  std::string xds_hostname;                                         // ALT_XDS_HOSTNAME
  std::string ca_hostname;                                          // ALT_CA_HOSTNAME
  std::string delta_xds = "true";                                   // ISTIO_DELTA_XDS
  std::string root_cert = "./var/run/secrets/istio/root-cert.pem";  // XDS_ROOT_CA
  std::string token = "./var/run/secrets/tokens/istio-token";       // AUTH_TOKEN, a path
  std::string log_level = "info";                                   // WEFT_LOG
  bool log_json = false;                                            // LOG_FORMAT
  std::string access_log = "/dev/stdout";  // ACCESS_LOG; empty: only where configured
  unsigned workers = 0;                    // WAYPOINT_WORKER_THREADS; never 0 once parsed
  net::SocketAddress hbone;                // [::]:15008
  net::SocketAddress admin;                // 127.0.0.1:15000; loopback only
  net::SocketAddress metrics;              // [::]:15020
  net::SocketAddress readiness;            // [::]:15021
  std::chrono::nanoseconds drain_delay = std::chrono::seconds(1);  // DRAIN_DELAY
  std::chrono::nanoseconds termination_deadline = std::chrono::seconds(5);
  std::chrono::seconds secret_ttl = std::chrono::hours(24);  // SECRET_TTL

  // "spiffe://DOMAIN/ns/NS/sa/SA"
  std::string identity() const;
};

struct ParsedSettings {
  std::optional<Settings> settings;  // none: print `text` and exit with `status`
  int status = 0;
  std::string text;
};
ParsedSettings parse_settings(std::vector<std::string> arguments, const Environment& environment,
                              unsigned cpus);

}  // namespace mesh::waypoint
