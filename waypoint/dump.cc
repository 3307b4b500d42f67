#include "waypoint/dump.h"

namespace mesh::waypoint {
std::string dump_stats(std::span<const Lane::Report> reports, const config::Snapshot& snapshot,
                       bool connected) {
  Lane::Report sum;
  for (const Lane::Report& report : reports) {
    sum.connections += report.connections;
    sum.tunnels_in += report.tunnels_in;
    sum.upstream_connections += report.upstream_connections;
    sum.upstream_dialled += report.upstream_dialled;
    sum.upstream_reused += report.upstream_reused;
    sum.ejections += report.ejections;
    sum.dry_runs.allowed += report.dry_runs.allowed;
    sum.dry_runs.denied += report.dry_runs.denied;
    sum.mirrors.sent += report.mirrors.sent;
    sum.mirrors.failed += report.mirrors.failed;
    sum.mirrors.dropped += report.mirrors.dropped;
    sum.spans.exported += report.spans.exported;
    sum.spans.dropped += report.spans.dropped;
    sum.checks.hosts += report.checks.hosts;
    sum.checks.unchecked += report.checks.unchecked;
    sum.checks.passed += report.checks.passed;
    sum.checks.failed += report.checks.failed;
  }
  std::string text;
  const auto line = [&](std::string_view name, std::uint64_t value) {
    text.append(name).append(": ").append(std::to_string(value)).append("\n");
  };
  line("cluster_manager.active_clusters", snapshot.clusters->size());
  line("control_plane.connected_state", connected ? 1 : 0);
  line("health_check.failure", sum.checks.failed);
  line("health_check.hosts", sum.checks.hosts);
  line("health_check.hosts_unchecked", sum.checks.unchecked);
  line("health_check.success", sum.checks.passed);
  line("listener.downstream_cx_active", sum.tunnels_in);
  line("listener.downstream_connect_active", sum.connections);
  line("mirror.requests_dropped", sum.mirrors.dropped);
  line("mirror.requests_failed", sum.mirrors.failed);
  line("mirror.requests_total", sum.mirrors.sent);
  line("outlier_detection.ejections_total", sum.ejections);
  line("rbac.shadow_allowed", sum.dry_runs.allowed);
  line("rbac.shadow_denied", sum.dry_runs.denied);
  line("tracing.opentelemetry.spans_dropped", sum.spans.dropped);
  line("tracing.opentelemetry.spans_sent", sum.spans.exported);
  line("upstream_cx_active", sum.upstream_connections);
  line("upstream_cx_reused", sum.upstream_reused);
  line("upstream_cx_total", sum.upstream_dialled);
  return text;
}

}  // namespace mesh::waypoint
