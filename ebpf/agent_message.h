#pragma once
// The agent socket's messages: one JSON object a packet, both ways.
//
//   {"op":"add","uid","name","namespace","serviceAccount","ips":[...]} with the descriptor of the
//     pod's network namespace; optional "netnsPath": where it can be found again after a restart
//   {"op":"del","uid"}  {"op":"list"}  {"op":"connections","uid"}  {"op":"end-connections","uid"}
//   {"op":"status"}     {"op":"shutdown","detach":true|false}
//   From the CNI plugin, when the agent knows pods from the API server:
//   {"op":"cni-add","name","namespace","containerId","ips","netnsPath"} with the descriptor;
//     {"op":"cni-check",...} alike; optional "uid", as not every runtime tells it
//   {"op":"cni-del","name","namespace","containerId"}  {"op":"cni-gc","containerIds":[...]}
//   -> {"ok":true,...} or {"ok":false,"error":"...","retry":true|absent}
//
// Limits: 64 KiB a request, 8 levels of nesting, 253 bytes a name, 16 addresses, 1024 container
// ids. A member we do not
// know is an error: a caller that means something by it must not believe it was heard.

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ebpf/pod.h"
#include "ebpf/shared.h"

namespace mesh::ebpf {

inline constexpr std::size_t kRequestBytesMax = 64 * 1024;
inline constexpr std::size_t kContainersMax = 1024;
inline constexpr std::size_t kListedConnectionsMax = 1000;

enum class Operation {
  kAdd,
  kDel,
  kList,
  kConnections,
  kEndConnections,
  kStatus,
  kShutdown,
  kCniAdd,
  kCniCheck,
  kCniDel,
  kCniGc,
};

bool is_of_cni(Operation operation);

struct AgentRequest {
  Operation operation = Operation::kStatus;
  PodInfo pod = {};  // kAdd: everything; kDel, kConnections, kEndConnections: the uid
  bool detach = false;
  std::vector<std::string> container_ids = {};  // kCniGc: those that are there
};

// The request, or what is wrong with it, in words for its sender. Never throws.
std::expected<AgentRequest, std::string> parse_request(std::string_view text);

struct PodStatus {
  const PodInfo* pod = nullptr;
  std::uint64_t older_connections = 0;
  std::span<const std::uint64_t> counters;  // by weft_outcome; zeros are left out
};

std::string format_error(std::string_view error);
std::string format_ok();
std::string format_added(bool ztunnel_knows);
std::string format_enrolled(
    bool enrolled);  // to a CNI plugin: the pod is in the mesh, or not to be
std::string format_retry(std::string_view error);  // the same question later may be answered better
std::string format_list(std::span<const PodStatus> pods, std::size_t ztunnels);
// At most kListedConnectionsMax of them; "total" says how many there are.
std::string format_connections(std::span<const weft_connection> connections);
std::string format_ended(unsigned connections);

struct AgentStatus {
  std::string node;
  std::size_t pods = 0;
  std::size_t ztunnels = 0;
  std::uint64_t refused_callers = 0, refused_requests = 0, refused_ztunnels = 0;  // Refusals::Kind
  std::string attach;  // "tcx" or "clsact"
};
std::string format_status(const AgentStatus& status);

}  // namespace mesh::ebpf
