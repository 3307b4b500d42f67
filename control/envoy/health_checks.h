#pragma once
// The annotation weft.dev/health-check of a DestinationRule or, where that has none, of the
// Service or ServiceEntry: whether endpoints are well is asked by the waypoint, not by Kubernetes
// alone. Words between spaces:
//
//   http PATH | grpc [SERVICE] | tcp | none
//   [every TIME] [timeout TIME] [healthy COUNT] [unhealthy COUNT] [port NUMBER] [host NAME]
//
// The first line says how, the second, in any order and each once, when and where; as a
// kubelet's probes unless said: every 10s, timeout 1s, healthy 1, unhealthy 3, the port that is
// called, the service's own name as the host. TIME is a number of ms, s or m. http: 200 to 399 is
// well, and another status counts as one failure; grpc: SERVING of grpc.health.v1 is well, and
// another answer counts at once; tcp: whoever accepts a connection is. `none`: a rule for a service
// that has checks. A word of the second line is no SERVICE.
//
// What cannot be read is noted by its object's name, and nobody is checked: checks can only take
// away endpoints that Kubernetes calls ready, so nothing is let in by their absence, and a slip of
// the pen must not leave a service without anybody.
//
// Who is behind another waypoint is checked by that one. Stock Envoy makes its checks on a thread
// that its internal listeners, and with them tunnels, do not exist on: each would fail. It
// is told to check only endpoints outside the mesh, and the object is noted.

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "control/envoy/clusters.h"

namespace envoy::config::endpoint::v3 {
class Endpoint;
}

namespace mesh::control {

inline constexpr std::string_view kHealthAnnotation = "weft.dev/health-check";

struct HealthAsk {
  enum class Kind : std::uint8_t { kNone, kHttp, kGrpc, kTcp };
  Kind kind = Kind::kNone;
  std::string path;        // of kHttp
  std::string service;     // of kGrpc; empty: the server as a whole
  std::string host;        // empty: the service's own name
  std::uint16_t port = 0;  // of endpoints; 0: the one that is called
  std::chrono::milliseconds every{10'000}, timeout{1'000};
  std::uint32_t healthy = 1, unhealthy = 3;
};

// Limits: 2 KiB, `every` 100 ms to an hour, `timeout` 10 ms to a minute, counts 1 to 100. Errors:
// what is wrong.
std::expected<HealthAsk, std::string> parse_health_check(std::string_view text);

// What the annotation asks for, as health_checks of the cluster that is otherwise complete. Gives
// what of it is not done, and why; empty: all is.
std::string fill_health_check(const WaypointClient& client, const ClusterUse& use,
                              envoy::config::cluster::v3::Cluster& to);

// How the endpoints of a cluster with such checks are asked.
class EndpointChecks {
 public:
  EndpointChecks(const WaypointClient& client, const ClusterUse& use);
  void fill(bool tunnelled, envoy::config::endpoint::v3::Endpoint* into) const;

 private:
  bool tunnels_too_;
  std::optional<HealthAsk> ask_;  // none: nobody is checked
};

}  // namespace mesh::control
