#pragma once
// What the whole process counts and logs; shared by all rings.

#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/telemetry/access_log.h"
#include "mesh/telemetry/log.h"
#include "mesh/telemetry/metrics.h"
#include "mesh/telemetry/tcp_metrics.h"

namespace mesh::ztunnel {

struct Telemetry {
  explicit Telemetry(telemetry::Log& log);

  // A connection that was refused or ended, and why; by which policy, where one decided.
  void refused(telemetry::Reporter reporter, Reason reason, std::string_view policy);

  telemetry::Log& log;
  telemetry::AccessLog access;
  telemetry::Metrics metrics;

 private:
  // Registered in the order in which they print.
  int process_and_build_;

 public:
  telemetry::Metrics::Family xds_terminations, xds_messages, xds_bytes;
  telemetry::TcpMetrics tcp;
  telemetry::Metrics::Family dns_requests, dns_upstream_requests, dns_upstream_failures,
      dns_upstream_seconds;
  telemetry::Metrics::Family proxies_active, proxies_pending, proxies_started, proxies_stopped;
  telemetry::Metrics::Family refusals;
  telemetry::Metrics::Family zds_errors;
  telemetry::Metrics::Family older_ended, older_failures;
};

}  // namespace mesh::ztunnel
