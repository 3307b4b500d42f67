#pragma once
// Which connections older than a pod's enrolment may not go on. They are plaintext and pass by the
// proxy, so its policies are asked here, and the node agent ends them. Pure.

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/net/address.h"
#include "mesh/workload/directory.h"

namespace mesh::ztunnel {

struct OlderConnection {
  net::SocketAddress local = {};
  net::SocketAddress remote = {};
};

struct OlderConnections {
  std::vector<OlderConnection> listed = {};
  std::uint64_t total = 0;  // the agent lists the first 1000

  bool all_listed() const { return listed.size() >= total; }
};

// Is there any policy that could refuse a connection to `workload`?
bool has_policies(const workload::Directory& directory, const workload::Workload& workload);

// Who refuses one of `connections` for want of an identity: the policy's key, or why there is none
// ("(no allow policy matched)"). None: all may go on. Nobody can tell which side dialled an older
// connection, so each is judged as one to `workload`, on its local port.
std::optional<std::string> refused_by(const workload::Directory& directory,
                                      const workload::Workload& workload,
                                      std::span<const OlderConnection> connections);

// The agent's socket: one JSON object a packet. `operation` is "connections" or "end-connections".
std::string encode_agent_request(std::string_view operation, std::string_view uid);
// Its answers. The error says what is wrong, in the agent's words if it said so.
std::expected<OlderConnections, std::string> decode_connections(std::string_view answer);
std::expected<std::uint64_t, std::string> decode_ended(std::string_view answer);

}  // namespace mesh::ztunnel
