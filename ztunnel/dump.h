#pragma once
// /config_dump: what this proxy knows, in Istio's shape, so that istioctl and `weft ztunnel-config`
// read it. Pure: values in, JSON out. Private keys are never among them.

#include <map>
#include <string>
#include <vector>

#include "mesh/identity/certificate_store.h"
#include "mesh/workload/directory.h"
#include "ztunnel/node.h"

namespace mesh::ztunnel {

struct DumpInput {
  const Config& config;
  const workload::Directory& directory;
  std::vector<identity::CertificateInfo> certificates;
  const std::map<std::string, PodEntry>& pods;
  std::vector<ConnectionRow> connections;
  std::string control_version;  // of the snapshot in force
};

std::string dump(const DumpInput& input);

// RFC 3339, whole seconds.
std::string rfc3339(std::chrono::sys_seconds when);
std::string base64(std::string_view bytes);

}  // namespace mesh::ztunnel
