#pragma once
// Report: what one connection leaves behind. Opened once its way is known, finished exactly once;
// in between it counts bytes. Everything an operator reads about a connection is written here.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/telemetry/tcp_metrics.h"
#include "mesh/workload/workload.h"
#include "ztunnel/telemetry.h"

namespace mesh::ztunnel {

// How a connection ended. No reason: well.
struct Ending {
  std::optional<Reason> reason = {};
  std::string text = {};         // the access log's error
  std::string_view flags = "-";  // response_flags, a literal
  std::string policy = {};       // that decided
  // It never worked: counted as failed too.
  bool failed = false;
};

struct ReportOwner {
  io::Ring& ring;
  Telemetry& telemetry;
  telemetry::TcpMetrics::Shard& shard;
};

class Report {
 public:
  Report(const ReportOwner& owner, telemetry::Reporter reporter, const net::SocketAddress& source,
         const net::SocketAddress& destination);
  ~Report();  // finish() was called (checked)
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // Set before open().
  workload::WorkloadPtr source = {}, destination = {};
  workload::ServicePtr service = {};
  net::SocketAddress source_address, destination_address;
  std::string authority = {};  // HBONE only
  // Proven by the handshake; borrowed, and shown with mutual TLS only. A destination without one is
  // shown by its workload's name.
  const net::SpiffeId* source_id = nullptr;
  const net::SpiffeId* destination_id = nullptr;
  bool mutual_tls = false;

  // The request is understood: counted as opened, and logged at debug.
  void open();
  bool is_open() const { return static_cast<bool>(series_); }

  // Bytes of the request direction (client to server), and of the response direction.
  void count_request(std::size_t bytes) {
    request_bytes_ += bytes;
    series_->received(bytes);
  }
  void count_response(std::size_t bytes) {
    response_bytes_ += bytes;
    series_->sent(bytes);
  }

  void finish(const Ending& ending);

 private:
  void log(telemetry::AccessEvent event, const Ending& ending) const;
  std::string source_name() const;
  std::string destination_name() const;
  telemetry::TcpLabels labels(const std::string& from, const std::string& to) const;

  const ReportOwner& owner_;
  const telemetry::Reporter reporter_;
  bool finished_ = false;
  io::TimePoint begun_;
  std::uint64_t request_bytes_ = 0, response_bytes_ = 0;
  telemetry::TcpSeriesRef series_;
};

// "Connection refused (os error 111)", "deadline has elapsed", or the reason's name and step.
std::string describe(const Error& error);

}  // namespace mesh::ztunnel
