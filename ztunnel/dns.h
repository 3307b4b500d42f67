#pragma once
// Which names this proxy answers itself, and with what: services (their addresses on this network),
// headless services (their healthy members), wildcards, short names and search domains as a pod's
// resolv.conf would expand them. Everything else is the upstream's. Pure.

#include <string>
#include <variant>
#include <vector>

#include "mesh/workload/directory.h"
#include "ztunnel/dns_message.h"

namespace mesh::ztunnel {

struct DnsClient {
  std::string_view ns = {};  // of the asking pod
  std::string_view preferred_ns = {};
  std::string_view network = {};
  std::string_view cluster_domain = "cluster.local";
  std::span<const std::string> search = {};  // of resolv.conf, beyond the cluster's own domains
};

// Not ours to answer.
struct DnsForward {};
using DnsDecision = std::variant<DnsAddresses, DnsForward>;

// An exact name before its short forms, those before search domains, a name before a wildcard. Of
// several services of one name: the client's namespace, the preferred one, a canonical one, the
// first by namespace. A known name has an answer for A and AAAA, if an empty one. Members come in
// an order that `random` decides.
DnsDecision decide_dns(const workload::Directory& directory, const DnsClient& client,
                       const DnsQuery& query, std::uint64_t random);

}  // namespace mesh::ztunnel
