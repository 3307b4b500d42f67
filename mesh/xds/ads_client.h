#pragma once
// AdsClient: keeps this node's Directory equal to what control says, for as long as the process
// lives. One delta ADS stream over mesh/grpc, reconnected with backoff; the last good state stays
// in force while there is none.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/grpc/channel.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/workload/directory.h"
#include "mesh/workload/policy_order.h"
#include "mesh/xds/ads_state.h"
#include "mesh/xds/decode.h"

namespace mesh::xds {

// The names of istio_xds_connection_terminations_total's reason.
enum class Termination : std::uint8_t { kConnectionError, kError, kReconnect, kComplete };
inline constexpr int kTerminationCount = 4;
std::string_view termination_name(Termination termination);  // "ConnectionError", …

struct AdsCounters {
  std::uint64_t terminations[kTerminationCount] = {};
  std::uint64_t messages[kResourceTypeCount] = {};  // responses, by type
  std::uint64_t message_bytes[kResourceTypeCount] = {};
  std::uint64_t nacks[kResourceTypeCount] = {};  // responses that were answered with a NACK
  bool connected = false;                        // a stream is open
};

struct AdsClientOptions {
  grpc::ChannelOptions channel;
  AdsOptions ads;
  DecodeOptions decode;
  workload::PolicyWaits waits;
};

class AdsClient {
 public:
  // Gets every new Directory, in order, on the main ring. Posts it to every worker, and calls
  // applied() with its `sequence` when all of them use it. May call applied() at once. `sequence`
  // may stand still: what came last then waits for something else (workload/policy_order.h).
  using Publish = std::function<void(workload::DirectoryPtr directory, std::uint64_t sequence)>;
  // One line for the log: connected, disconnected and why, rejected resources.
  enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn };
  using Log = std::function<void(LogLevel level, std::string_view line)>;

  AdsClient(io::Ring& ring, AdsClientOptions options, Publish publish, Log log);
  ~AdsClient();  // after run() has ended

  // Runs until cancelled.
  io::Task<void> run();

  // Every worker uses a Directory that was published with this sequence (and all before it).
  void applied(std::uint64_t sequence);

  // The first responses of both types are applied: the node may carry traffic.
  bool complete() const;
  std::string_view control_version() const;
  const AdsCounters& counters() const;
  const AdsState& state() const;

  // On demand mode only. Errors: kExhausted, kTooLarge.
  Result<Done> subscribe(ResourceType type, std::string name);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::xds
