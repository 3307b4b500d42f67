#pragma once
// The access log: one record a connection, in Istio's shape, text or JSON.
//
// Keys in Istio's order; after `error` come two of ours, `reason` (result.h's name) and `policy`
// (which policy decided), both only when there is one, so a parser of Istio's log reads ours.

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

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
  std::string_view error = {}, reason = {}, policy = {};
};

Level access_level(const AccessRecord& record);
void append_access_text(std::string& out, const AccessRecord& record);
void append_access_json(std::string& out, const AccessRecord& record);

// What strangers can cause at line rate (kFailed: garbage, failed handshakes) is limited.
inline constexpr unsigned kFailedLinesPerSecond = 50;

// Threads: any; never waits. Lines that do not fit the sink are dropped there and counted.
class AccessLog {
 public:
  explicit AccessLog(Log& log) : log_(log) {}
  // Cheap; ask before gathering what a record needs.
  bool wants(AccessEvent event, bool has_error) const;
  void write(const AccessRecord& record);
  // kFailed records that were not written.
  std::uint64_t limited() const { return limited_.load(std::memory_order_relaxed); }

 private:
  bool within_limit(std::int64_t second);

  Log& log_;
  std::atomic<std::int64_t> second_{0};
  std::atomic<unsigned> used_{0};
  std::atomic<std::uint64_t> limited_{0};
};

}  // namespace mesh::telemetry
