#pragma once
// Everything that can be set, parsed once at start. Flags win over the environment, whose names are
// those that ztunnel reads.

#include <expected>
#include <string>
#include <vector>

#include "mesh/base/environment.h"

namespace mesh::sds {

struct Config {
  std::string control = "https://istiod.istio-system.svc:15012";   // XDS_ADDRESS
  std::string root_cert = "/var/run/secrets/istio/root-cert.pem";  // XDS_ROOT_CA
  std::string token = "/var/run/secrets/tokens/istio-token";       // AUTH_TOKEN, a path
  std::string folder = "/etc/weft/secrets";                        // WEFT_SDS_FOLDER
  std::string bootstrap;                                           // --bootstrap; empty: none
  std::string pod_name, pod_namespace, instance_ip;  // POD_NAME, POD_NAMESPACE, INSTANCE_IP
  std::string service_account;                       // SERVICE_ACCOUNT
  std::string trust_domain = "cluster.local";        // TRUST_DOMAIN
  std::string cluster_domain = "cluster.local";      // CLUSTER_DOMAIN
  std::string cluster_id = "Kubernetes";             // CLUSTER_ID
  bool ask_ready = false;                            // --is-ready
  bool whole = false;                                // --state-of-the-world, instead of delta
  std::vector<std::string> command;                  // after --
};

struct ConfigError {
  int status = 1;  // 0: help or version was asked for
  std::string text;
};

std::expected<Config, ConfigError> read_config(int argc, const char* const* argv,
                                               const Environment& environment);

}  // namespace mesh::sds
