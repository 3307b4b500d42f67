#include "ztunnel/telemetry.h"

namespace mesh::ztunnel {
namespace {

int add_process_and_build(telemetry::Metrics& metrics) {
  telemetry::add_process_metrics(metrics);
  const auto build = metrics.gauge("istio_build", "Istio component build info.");
  metrics.set(build, telemetry::LabelText().add("component", "ztunnel").add("tag", WEFT_VERSION),
              1);
  return 0;
}

}  // namespace

Telemetry::Telemetry(telemetry::Log& sink)
    : log(sink),
      access(sink),
      process_and_build_(add_process_and_build(metrics)),
      xds_terminations(
          metrics.counter("istio_xds_connection_terminations",
                          "The total number of completed connections to xds server (unstable).")),
      xds_messages(
          metrics.counter("istio_xds_message", "Total number of messages received (unstable).")),
      xds_bytes(metrics.counter("istio_xds_message_bytes",
                                "Total number of bytes received (unstable).", "bytes")),
      tcp(metrics),
      dns_requests(
          metrics.counter("istio_dns_requests", "Total number of DNS requests (unstable).")),
      dns_upstream_requests(
          metrics.counter("istio_dns_upstream_requests",
                          "Total number of DNS requests forwarded to upstream (unstable).")),
      dns_upstream_failures(
          metrics.counter("istio_dns_upstream_failures",
                          "Total number of DNS requests that failed to forward upstream "
                          "(unstable).")),
      dns_upstream_seconds(metrics.histogram(
          "istio_dns_upstream_request_duration_seconds",
          "Total time in seconds Istio takes to get DNS response from upstream (unstable).",
          "seconds", {0.0005, 0.001, 0.01, 0.1, 1.0, 5.0})),
      proxies_active(metrics.gauge("workload_manager_active_proxy_count",
                                   "The total number current workloads with active proxies "
                                   "(unstable).")),
      proxies_pending(metrics.gauge("workload_manager_pending_proxy_count",
                                    "The total number current workloads with pending proxies "
                                    "(unstable).")),
      proxies_started(metrics.counter("workload_manager_proxies_started",
                                      "The total number of proxies that were started "
                                      "(unstable).")),
      proxies_stopped(metrics.counter("workload_manager_proxies_stopped",
                                      "The total number of proxies that were stopped "
                                      "(unstable).")),
      refusals(metrics.counter("weft_connections_refused",
                               "Connections refused or ended by this proxy, by reason and "
                               "deciding policy.")),
      zds_errors(metrics.counter("weft_zds_errors",
                                 "Messages of the node agent that broke the protocol.")),
      older_ended(metrics.counter("weft_older_connections_ended",
                                  "Connections older than their pod's enrolment that were ended "
                                  "because its policies refuse plaintext.")),
      older_failures(metrics.counter("weft_older_connections_failures",
                                     "Times the node agent could not be asked to list or end "
                                     "older connections.")) {
  metrics.source([this](std::string& out) {
    telemetry::append_family_header(
        out, "weft_log_lines_dropped",
        "Log lines that did not fit the queue, or could not be written.", "counter");
    out += "weft_log_lines_dropped_total " + std::to_string(log.sink().dropped()) + "\n";
    telemetry::append_family_header(out, "weft_log_lines_limited",
                                    "Refused connections beyond the rate that is logged.",
                                    "counter");
    out += "weft_log_lines_limited_total " + std::to_string(access.limited()) + "\n";
  });
}

void Telemetry::refused(telemetry::Reporter reporter, Reason reason, std::string_view policy) {
  telemetry::LabelText labels;
  labels.add("reporter", telemetry::reporter_name(reporter)).add("reason", reason_name(reason));
  if (!policy.empty()) labels.add("policy", policy);
  metrics.add(refusals, labels);
}

}  // namespace mesh::ztunnel
