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
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/xds/ads_state.h"

namespace mesh::workload {
class Directory;
}

namespace mesh::xds {

// The names of istio_xds_connection_terminations_total's reason.
enum class Termination : std::uint8_t { kConnectionError, kError, kReconnect, kComplete };
inline constexpr int kTerminationCount = 4;
std::string_view termination_name(Termination termination);  // "ConnectionError", …

struct AdsCounters {
  std::uint64_t terminations[kTerminationCount] = {};
  std::uint64_t messages[kResourceTypeCount] = {};  // responses, by type
  std::uint64_t message_bytes[kResourceTypeCount] = {};
  std::uint64_t nacks[kResourceTypeCount] = {};
  bool connected = false;
};

struct AdsClientOptions {
  grpc::ChannelOptions channel;
  AdsOptions ads;
};

class AdsClient {
 public:
  // Gets every new Directory, in order, on the main ring. Posts it to every worker, and calls
  // applied() with its `sequence` when all of them use it.
  using Publish = std::function<void(std::shared_ptr<const workload::Directory> directory,
                                     std::uint64_t sequence)>;
  // One line for the log: connected, disconnected and why, rejected resources. Rate is bounded by
  // the backoff and the stream.
  enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn };
  using Log = std::function<void(LogLevel level, std::string_view line)>;

  AdsClient(io::Ring& ring, AdsClientOptions options, Publish publish, Log log);
  ~AdsClient();

  // Runs until cancelled.
  io::Task<void> run();

  // Every worker uses the Directory that was published with this sequence.
  void applied(std::uint64_t sequence);

  // The first responses of both types are applied: the node may carry traffic.
  bool complete() const { return state_.complete(); }
  std::string_view control_version() const { return state_.control_version(); }
  const AdsCounters& counters() const { return counters_; }
  const AdsState& state() const { return state_; }

  // On demand mode only. Errors: kExhausted.
  Result<Done> subscribe(ResourceType type, std::string name);

 private:
  struct Impl;
  AdsState state_;
  AdsCounters counters_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::xds
