#pragma once
// The access log: one record a connection, in Istio's shape, text or JSON.
//
// Keys in Istio's order; after `error` come two of ours, `reason` (result.h's name) and `policy`
// (which policy decided), both only when there is one, so a parser of Istio's log reads ours.

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/net/address.h"
#include "mesh/telemetry/log.h"

namespace mesh::telemetry {

// What is known of one end. Empty text is left out.
struct AccessEnd {
  net::SocketAddress address = {};
  std::string_view workload = {}, workload_namespace = {}, identity = {}, cluster = {};
};

enum class AccessEvent : std::uint8_t {
  kOpened,    // debug
  kComplete,  // info; error when there is one
  kFailed,    // warn; refused before the request was understood: addresses and error only
};

struct AccessRecord {
  AccessEvent event = AccessEvent::kComplete;
  std::int64_t unix_nanoseconds = 0;
  AccessEnd source = {}, destination = {};
  std::string_view hbone_address = {};  // the CONNECT authority
  std::string_view service = {};        // hostname
  bool inbound = false;
  std::uint64_t bytes_sent = 0, bytes_received = 0;
  std::int64_t duration_milliseconds = 0;
  std::string_view error = {}, policy = {};
  std::optional<Reason> reason = {};
  bool refused = false;  // no byte of it was carried
};

Level access_level(const AccessRecord& record);
void append_access_text(std::string& out, const AccessRecord& record);
void append_access_json(std::string& out, const AccessRecord& record);

// What strangers can cause at line rate is limited: kFailed (garbage, failed handshakes), and what
// is understood and refused, for each reason.
inline constexpr unsigned kFailedLinesPerSecond = 50;
inline constexpr unsigned kRefusedLinesPerSecond = 100;

// Threads: any; never waits. Lines that do not fit the sink are dropped there and counted.
class AccessLog {
 public:
  explicit AccessLog(Log& log) : log_(log) {}
  // Cheap; ask before gathering what a record needs.
  bool wants(AccessEvent event, bool has_error) const;
  void write(const AccessRecord& record);
  // Records that were not written.
  std::uint64_t limited() const { return limited_.load(std::memory_order_relaxed); }

 private:
  struct Bucket {
    std::atomic<std::int64_t> second{0};
    std::atomic<unsigned> used{0};
  };
  static constexpr std::size_t kReasonsMax = 64;
  bool within_limit(Bucket& bucket, unsigned most, std::int64_t second);
  bool may_pass(const AccessRecord& record);

  Log& log_;
  Bucket failed_;
  std::array<Bucket, kReasonsMax> refused_{};  // by Reason
  std::atomic<std::uint64_t> limited_{0};
};

}  // namespace mesh::telemetry
