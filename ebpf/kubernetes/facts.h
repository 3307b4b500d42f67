#pragma once
// What the agent knows of a pod and of a namespace from the API server, and whether such a pod
// belongs into the mesh. Pure.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/manifest/yaml.h"
#include "mesh/net/address.h"

namespace mesh::ebpf {

// "istio.io/dataplane-mode", or its synonym "weft.dev/dataplane-mode". A value that is neither
// "ambient" nor "none" is as if it were not there.
enum class DataplaneMode { kUnset, kAmbient, kNone };

struct PodFacts {
  std::string uid = {}, name = {}, ns = {};
  std::string service_account = {};
  std::vector<net::IpAddress> ips = {};
  DataplaneMode mode = DataplaneMode::kUnset;
  bool host_network = false;
  bool sidecar = false;    // Istio's: its traffic goes through a proxy of its own
  bool finished = false;   // Succeeded or Failed: nothing of it runs any more
  bool annotated = false;  // "ambient.istio.io/redirection" is "enabled"
};

struct NamespaceFacts {
  std::string name;
  DataplaneMode mode = DataplaneMode::kUnset;
};

// As an API server sends them; none when it cannot be read.
std::optional<PodFacts> read_pod(const manifest::Value& object);
std::optional<NamespaceFacts> read_namespace(const manifest::Value& object);

// `ns`: the mode of its namespace. The pod's own label wins over its namespace's.
bool belongs_into_mesh(const PodFacts& pod, DataplaneMode ns,
                       std::span<const std::string> excluded_namespaces);

}  // namespace mesh::ebpf
