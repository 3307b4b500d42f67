#pragma once
// /config_dump, /listeners, /certs and /server_info in Envoy's shape: what control sent and is in
// force, as it was sent; secrets left out. Pure.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/identity/certificate_store.h"
#include "waypoint/config/model.h"
#include "waypoint/delta.h"
#include "waypoint/settings.h"

namespace mesh::waypoint {

struct KeptResource {
  std::string bytes;    // of the message
  std::string version;  // of the resource
};
using KeptResources = std::map<EnvoyType, std::map<std::string, KeptResource>>;

struct DumpSources {
  const config::Snapshot& snapshot;
  const Settings& settings;
  const KeptResources& kept;
  std::string_view waiting_for;
  std::span<const identity::CertificateInfo> certificates;
};

// BootstrapConfigDump, ClustersConfigDump, EndpointsConfigDump where asked for,
// ListenersConfigDump, RoutesConfigDump, SecretsConfigDump, and "weft": what was asked for and is
// not honoured.
std::string dump_config(const DumpSources& sources, bool include_endpoints);
std::string dump_listeners(const KeptResources& kept, bool json);
std::string dump_certificates(std::span<const identity::CertificateInfo> certificates,
                              io::WallTime now);
std::string dump_server_info(const Settings& settings, std::string_view state,
                             std::chrono::seconds uptime);

// Canonical JSON as Envoy prints it: names with underscores, private keys left out.
std::string as_envoy_prints(std::string_view canonical);

}  // namespace mesh::waypoint
