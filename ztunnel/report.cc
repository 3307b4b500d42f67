#include "ztunnel/report.h"

#include <cstring>

#include "ztunnel/labels.h"

namespace mesh::ztunnel {

using telemetry::AccessEvent;
using telemetry::Reporter;

std::string describe(const Error& error) {
  if (error.os_errno != 0) {
    char text[128];
    // The GNU variant: may return a string of its own.
    return std::string(strerror_r(error.os_errno, text, sizeof text)) + " (os error " +
           std::to_string(error.os_errno) + ")";
  }
  if (error.reason == Reason::kTimedOut) return "deadline has elapsed";
  std::string text(error.during);
  if (!text.empty()) text += ": ";
  text += reason_name(error.reason);
  return text;
}

Report::Report(const ReportOwner& owner, Reporter reporter, const net::SocketAddress& from,
               const net::SocketAddress& to)
    : source_address(from),
      destination_address(to),
      owner_(owner),
      reporter_(reporter),
      begun_(owner.ring.now()) {}

Report::~Report() { MESH_CHECK(finished_); }

telemetry::TcpLabels Report::labels(const std::string& from, const std::string& to) const {
  telemetry::TcpLabels labels{.reporter = reporter_,
                              .source = tcp_end(source.get(), from),
                              .destination = tcp_end(destination.get(), to)};
  if (service != nullptr) {
    labels.service = service->key.hostname;
    labels.service_namespace = service->key.ns;
    labels.service_name = service->name;
  }
  labels.mutual_tls = mutual_tls;
  return labels;
}

std::string Report::source_name() const {
  return mutual_tls && source_id != nullptr ? source_id->to_string() : std::string();
}

std::string Report::destination_name() const {
  if (destination_id != nullptr) return destination_id->to_string();
  const auto id = destination == nullptr ? std::nullopt : destination->identity();
  return id ? id->to_string() : std::string();
}

// The source's principal is known by mutual TLS only; the destination's also by its name.
void Report::open() {
  series_ = owner_.shard.find(labels(source_name(), destination_name()));
  series_->opened();
  owner_.shard.socket_opened(reporter_);
  if (owner_.telemetry.access.wants(AccessEvent::kOpened, false)) log(AccessEvent::kOpened, {});
}

void Report::finish(const Ending& ending) {
  MESH_CHECK(!finished_);
  finished_ = true;
  if (ending.reason) owner_.telemetry.refused(reporter_, *ending.reason, ending.policy);
  if (series_) {
    owner_.shard.socket_closed(reporter_);
    if (ending.flags == "-") {
      series_->closed();
    } else {
      const auto flagged = owner_.shard.with_flags(series_, ending.flags);
      flagged->closed();
      if (ending.failed) flagged->failed();
    }
    log(AccessEvent::kComplete, ending);
    return;
  }
  // Not understood, or nowhere to go: Istio counts nothing; we count a failure of nobody known.
  telemetry::TcpLabels labels{.reporter = reporter_};
  labels.response_flags = ending.flags == "-" ? "CONNECT" : ending.flags;
  owner_.shard.find(labels)->failed();
  log(AccessEvent::kFailed, ending);
}

void Report::log(AccessEvent event, const Ending& ending) const {
  if (!owner_.telemetry.access.wants(event, !ending.text.empty())) return;
  const auto end_of = [](const net::SocketAddress& address, const workload::Workload* workload,
                         std::string_view identity) {
    telemetry::AccessEnd end{.address = address, .identity = identity};
    if (workload == nullptr) return end;
    end.workload = workload->name;
    end.workload_namespace = workload->ns;
    end.cluster = workload->cluster_id;
    return end;
  };
  const std::string from = source_name();
  const std::string to = mutual_tls ? destination_name() : std::string();
  const bool inbound = reporter_ == Reporter::kDestination;
  const auto duration =
      std::chrono::duration_cast<std::chrono::milliseconds>(owner_.ring.now() - begun_);
  telemetry::AccessRecord record{
      .event = event,
      .unix_nanoseconds = owner_.ring.wall_now().time_since_epoch().count(),
      .source = end_of(source_address, source.get(), from),
      .destination = end_of(destination_address, destination.get(), to),
      .hbone_address = authority,
      .service = service != nullptr ? std::string_view(service->key.hostname) : "",
      .inbound = inbound,
      // As seen by this proxy: an inbound one sends the responses.
      .bytes_sent = inbound ? response_bytes_ : request_bytes_,
      .bytes_received = inbound ? request_bytes_ : response_bytes_,
      .duration_milliseconds = duration.count(),
      .error = ending.text,
      .policy = ending.policy,
      .reason = ending.reason,
      .refused = ending.failed};
  owner_.telemetry.access.write(record);
}

}  // namespace mesh::ztunnel
