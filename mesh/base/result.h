#pragma once
// Result<T>: a T, or the Error that says why there is none.
//
// Three kinds of failure, three mechanisms, never mixed:
//   the program is wrong   -> MESH_CHECK, abort        (a broken invariant)
//   the world went wrong   -> Result<T>                (reset, timeout, no descriptors left)
//   the answer is "no"     -> an ordinary return type  (Verdict, std::optional, an enum)
//
// An Error is 16 bytes, trivially copyable and never allocates: a proxy under attack makes failures
// at line rate. `reason` is a closed set that doubles as the label in metrics, in the access log
// and in the CLI (reason_name()); adding one is a change that operators see.

#include <cerrno>
#include <cstdint>
#include <expected>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mesh/base/check.h"

namespace mesh {

enum class Reason : std::uint8_t {
  // the transport
  kCancelled,    // we asked the operation to stop, and it did
  kPeerClosed,   // end of stream where more bytes were due
  kPeerReset,    // RST, EPIPE, RST_STREAM: the peer gave up
  kTimedOut,     // a deadline of ours passed
  kRefused,      // nobody listens there
  kUnreachable,  // no route to that address
  kExhausted,    // a limit of ours or the kernel's: descriptors, streams, buffers
  kSystem,       // any other errno; see os_errno
  // the peer's bytes
  kProtocol,   // the peer broke the protocol
  kMalformed,  // input that does not parse
  kTooLarge,   // input beyond a documented limit
  kFlood,      // legal frames at a rate that is an attack
  // identity
  kTlsHandshake,   // no common parameters, or the handshake broke off
  kNoCertificate,  // the peer showed none
  kUntrusted,      // a chain that does not lead to a root of ours
  kExpired,        // outside the validity of a certificate
  kWrongIdentity,  // a valid certificate of somebody else
  kNoIdentity,     // we have no certificate (yet) to speak for this workload
  // the mesh's answer
  kDenied,            // a policy said no, and is named beside this reason
  kPolicyUnusable,    // a policy of this scope is unknown or does not compile: the scope is closed
  kPolicyChanged,     // an open connection is no longer allowed
  kUnknownWorkload,   // no such workload or service in a complete snapshot
  kNotReady,          // no complete snapshot, or no news of this pod, before the deadline
  kNoEndpoint,        // a service without a healthy endpoint
  kWaypointMissing,   // a waypoint is required and cannot be reached or found
  kRejectedResource,  // the control plane's resource for this destination did not decode
  kLoop,              // a connection to the proxy's own ports
  kWrongTarget,       // a CONNECT for an address that is not this pod's
  kDraining,          // the proxy or the pod is going away
  kPassthroughRefused,  // an unknown destination, and the setting that refuses those
};
inline constexpr int kReasonCount = static_cast<int>(Reason::kPassthroughRefused) + 1;

// "denied", "timed_out", …: the one spelling in logs, metrics and the CLI.
std::string_view reason_name(Reason reason);

struct [[nodiscard]] Error {
  Reason reason = Reason::kSystem;
  int os_errno = 0;         // 0 when the kernel was not involved
  const char* during = "";  // a string literal naming the step: "connect", "tls handshake"
};
static_assert(sizeof(Error) == 16 && std::is_trivially_copyable_v<Error>);

template <class T>
using Result = std::expected<T, Error>;

struct Done {};  // Result<Done>: success that carries no value

// return failed(Reason::kTimedOut, "tls handshake");
constexpr std::unexpected<Error> failed(Reason reason, const char* during) {
  return std::unexpected(Error{.reason = reason, .during = during});
}

// return failed_with_errno(errno, "connect");
// Maps an errno (> 0) to the Reason an operator would look for.
std::unexpected<Error> failed_with_errno(int os_errno, const char* during);

// Propagation: TRY in a function, CO_TRY in a coroutine. Statements on purpose: co_await inside a
// statement expression is not portable.
//   CO_TRY(const unsigned sent, co_await socket.send(bytes));   take the value, or leave
//   CO_TRY_DO(co_await socket.send_all(bytes));                 succeed, or leave
#define TRY(target, expression) MESH_TRY_IMPL_(return, MESH_UNIQUE_(result), target, expression)
#define CO_TRY(target, expression) \
  MESH_TRY_IMPL_(co_return, MESH_UNIQUE_(result), target, expression)
#define TRY_DO(expression) \
  if (auto result_ = (expression); !result_) return std::unexpected(result_.error())
#define CO_TRY_DO(expression) \
  if (auto result_ = (expression); !result_) co_return std::unexpected(result_.error())

#define MESH_TRY_IMPL_(leave, temporary, target, expression) \
  auto temporary = (expression);                             \
  if (!temporary) leave std::unexpected(temporary.error());  \
  target = *std::move(temporary)
#define MESH_UNIQUE_(name) MESH_CONCAT_(name##_, __LINE__)
#define MESH_CONCAT_(a, b) MESH_CONCAT2_(a, b)
#define MESH_CONCAT2_(a, b) a##b

}  // namespace mesh
