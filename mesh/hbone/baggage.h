#pragma once
// The headers of an HBONE request: who speaks (baggage), for whom (forwarded), in which trace.
// Building them is exact; parsing them is bounded and never fatal, because they only label metrics
// and logs. No identity and no source address is ever taken from them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/net/address.h"

namespace mesh::hbone {

inline constexpr std::size_t kBaggageBytesMax = 8192;
inline constexpr std::size_t kBaggageMembersMax = 64;

// Empty members are left out on the wire.
struct Baggage {
  std::string cluster{};
  std::string ns{};
  std::string workload_type{};  // "deployment", "cronjob", "pod", "job": the key of `workload`
  std::string workload{};
  std::string service{};   // service.name
  std::string revision{};  // service.version
  std::string region{};
  std::string zone{};

  friend bool operator==(const Baggage&, const Baggage&) = default;
};

// k8s.cluster.name=,k8s.namespace.name=,k8s.TYPE.name=,service.name=,service.version=,
// cloud.region=,cloud.availability_zone=
std::string to_header(const Baggage& baggage);
// What it says, as far as it is understood; none when it is over the limits. The last value of a
// repeated key counts; percent escapes are decoded; values with control characters are dropped.
std::optional<Baggage> parse_baggage(std::string_view header);

struct Forwarded {
  std::optional<net::SocketAddress> client{};  // for=
  std::string host{};                          // the service the client addressed; may be empty
};
// for="10.0.0.1:4000";host=svc.ns.svc.cluster.local
std::string to_header(const Forwarded& forwarded);
std::optional<Forwarded> parse_forwarded(std::string_view header);

struct TraceParent {
  std::uint64_t trace_high = 0;
  std::uint64_t trace_low = 0;
  std::uint64_t span = 0;
};
// 00-<32 hex>-<16 hex>-00
std::string to_header(const TraceParent& trace);
std::optional<TraceParent> parse_traceparent(std::string_view header);

}  // namespace mesh::hbone
