#include "mesh/base/result.h"

#include <array>

namespace mesh {

std::string_view reason_name(Reason reason) {
  static constexpr std::array<std::string_view, kReasonCount> kNames = {
      "cancelled",        "peer_closed",         "peer_reset", "timed_out",
      "refused",          "unreachable",         "exhausted",  "system",
      "protocol",         "malformed",           "too_large",  "flood",
      "tls_handshake",    "no_certificate",      "untrusted",  "expired",
      "wrong_identity",   "no_identity",         "denied",     "policy_unusable",
      "policy_changed",   "unknown_workload",    "not_ready",  "no_endpoint",
      "waypoint_missing", "rejected_resource",   "loop",       "wrong_target",
      "draining",         "passthrough_refused",
  };
  static_assert(!kNames.back().empty());
  const auto index = static_cast<std::size_t>(reason);
  MESH_CHECK(index < kNames.size());
  return kNames[index];
}

std::unexpected<Error> failed_with_errno(int os_errno, const char* during) {
  MESH_CHECK(os_errno > 0);
  const auto with = [&](Reason reason) {
    return std::unexpected(Error{.reason = reason, .os_errno = os_errno, .during = during});
  };
  switch (os_errno) {
    case ECANCELED:
      return with(Reason::kCancelled);
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
      return with(Reason::kPeerReset);
    case ECONNREFUSED:
      return with(Reason::kRefused);
    case ETIMEDOUT:
    case ETIME:
      return with(Reason::kTimedOut);
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
      return with(Reason::kUnreachable);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return with(Reason::kExhausted);
    default:
      return with(Reason::kSystem);
  }
}

}  // namespace mesh
