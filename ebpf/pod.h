#pragma once
// What the agent is told of a pod, as a value.

#include <string>
#include <string_view>
#include <vector>

#include "mesh/net/address.h"

namespace mesh::ebpf {

struct PodInfo {
  std::string uid;
  std::string name;
  std::string ns;
  std::string service_account;
  std::vector<net::IpAddress> ips;
  std::string netns_path = {};    // may be empty
  std::string container_id = {};  // of its sandbox; empty unless a CNI plugin said so
};

// Limits of the fields above; what a node agent may be told of.
inline constexpr std::size_t kUidBytesMax = 128;
inline constexpr std::size_t kNameBytesMax = 253;
inline constexpr std::size_t kPathBytesMax = 1024;
inline constexpr std::size_t kPodAddressesMax = 16;

// Letters, digits and ".-_": what Kubernetes names and uids are made of, and nothing that means
// something in a path or a log line.
bool is_plain_name(std::string_view text, std::size_t bytes_max);

}  // namespace mesh::ebpf
