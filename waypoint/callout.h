#pragma once
// Callouts: requests of the waypoint's own to a cluster by its name: whole requests over HTTP, gRPC
// calls of one message and of streams. They go where requests go (balancer, breaker, tunnels,
// outlier detection), and are counted there.
//
// Errors, of all of them: kNoEndpoint (no such cluster, or nobody in it), kExhausted (its breaker),
// those of Upstreams::open(), kTimedOut, kTooLarge, kMalformed, kPeerReset, kPeerClosed,
// kCancelled. What was sent on a kept connection that turns out dead is sent once more.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/grpc/status.h"
#include "mesh/io/task.h"
#include "waypoint/context.h"
#include "waypoint/http/request.h"

namespace mesh::waypoint {

// No callout lasts longer, but for streams; a timeout of zero is this.
inline constexpr io::Duration kCalloutMax = std::chrono::seconds(600);
inline constexpr int kCalloutInterimsMax = 16;

// One endpoint, in place of whom the balancer would choose; counted by `breaker`. Borrowed as long
// as the call lasts.
struct Aim {
  const config::Cluster& cluster;
  const config::Endpoint& endpoint;
  balance::Breaker& breaker;
};

struct HttpCall {
  std::string cluster = {};
  const Aim* aim = nullptr;    // null: one of `cluster`
  http::Request request = {};  // without an authority: the cluster's name
  std::string body = {};       // content-length is set for one, and where there is a wrong one
  io::Duration timeout = std::chrono::seconds(5);  // to the answer's last byte
  std::size_t response_max = 64 * 1024;            // of its body; beyond it: kTooLarge
};
struct HttpAnswer {
  int status = 0;
  h2::Headers headers = {};
  std::string body = {};
};
// HTTP/2 if the cluster says so, else HTTP/1.1.
io::Task<Result<HttpAnswer>> call_http(RingContext& context, config::SnapshotPtr snapshot,
                                       HttpCall call);

struct GrpcCall {
  std::string cluster = {};
  const Aim* aim = nullptr;    // null: one of `cluster`
  std::string authority = {};  // empty: the cluster's name
  std::string path = {};       // "/package.Service/Method"
  h2::Headers metadata = {};
  io::Duration timeout = std::chrono::seconds(5);  // of call_grpc()
  std::size_t message_max = 64 * 1024;             // of an answer; beyond it: kTooLarge
};
struct GrpcAnswer {
  grpc::Status status = {};
  std::string message = {};  // of a good status; exactly one came
};
// One message there and one back, over HTTP/2.
io::Task<Result<GrpcAnswer>> call_grpc(RingContext& context, config::SnapshotPtr snapshot,
                                       GrpcCall call, std::string message);

// A gRPC call with messages both ways. Destroying it resets what has not ended. One reader and one
// writer at a time.
class GrpcStream {
 public:
  // Sends the call's head. `GrpcCall::timeout`: of this step.
  static io::Task<Result<std::unique_ptr<GrpcStream>>> open(RingContext& context,
                                                            config::SnapshotPtr snapshot,
                                                            GrpcCall call);
  virtual ~GrpcStream() = default;
  // Done when accepted for sending, within the peer's flow control.
  virtual io::Task<Result<Done>> send(std::string_view message) = 0;
  virtual io::Task<Result<Done>> finish_sending() = 0;
  // The next message; none: the call has ended, see status(). After kCancelled nothing is lost.
  virtual io::Task<Result<std::optional<std::string>>> receive() = 0;
  virtual const grpc::Status& status() const = 0;
};

}  // namespace mesh::waypoint
