#include "mesh/telemetry/tcp_metrics.h"

#include <map>

namespace mesh::telemetry {
namespace {

constexpr std::string_view kFlagsLabel = "response_flags=\"";

void append_label(std::string& out, std::string_view prefix, std::string_view name,
                  std::string_view value) {
  if (!out.empty()) out.push_back(',');
  out.append(prefix).append(name).append("=\"");
  append_escaped_label(out, value.empty() ? "unknown" : value);
  out.push_back('"');
}

void append_end(std::string& out, std::string_view prefix, const TcpEnd& end) {
  append_label(out, prefix, "workload", end.workload);
  append_label(out, prefix, "canonical_service", end.canonical_service);
  append_label(out, prefix, "canonical_revision", end.canonical_revision);
  append_label(out, prefix, "workload_namespace", end.workload_namespace);
  append_label(out, prefix, "principal", end.principal);
  append_label(out, prefix, "app", end.canonical_service);
  append_label(out, prefix, "version", end.canonical_revision);
  append_label(out, prefix, "cluster", end.cluster);
}

constexpr std::string_view kOther = "other";
constexpr TcpEnd kOtherEnd{kOther, kOther, kOther, kOther, kOther, kOther, kOther, kOther};

}  // namespace

std::string_view reporter_name(Reporter reporter) {
  return reporter == Reporter::kSource ? "source" : "destination";
}

void append_tcp_labels(std::string& out, const TcpLabels& labels) {
  append_label(out, "", "reporter", reporter_name(labels.reporter));
  append_end(out, "source_", labels.source);
  append_label(out, "", "destination_service", labels.service);
  append_label(out, "", "destination_service_namespace", labels.service_namespace);
  append_label(out, "", "destination_service_name", labels.service_name);
  append_end(out, "destination_", labels.destination);
  append_label(out, "", "request_protocol", "tcp");
  append_label(out, "", "response_flags", labels.response_flags);
  append_label(out, "", "connection_security_policy", labels.mutual_tls ? "mutual_tls" : "unknown");
  append_label(out, "source_", "region", labels.source.region);
  append_label(out, "source_", "zone", labels.source.zone);
  append_label(out, "destination_", "region", labels.destination.region);
  append_label(out, "destination_", "zone", labels.destination.zone);
}

std::uint64_t TcpSeries::total() const {
  return opened_.load(std::memory_order_relaxed) + closed_.load(std::memory_order_relaxed) +
         failed_.load(std::memory_order_relaxed) + received_.load(std::memory_order_relaxed) +
         sent_.load(std::memory_order_relaxed);
}

TcpMetrics::TcpMetrics(Metrics& metrics) {
  metrics.source([this](std::string& out) { render(out); });
}

TcpMetrics::Shard& TcpMetrics::add_shard() {
  const std::scoped_lock lock(mutex_);
  shards_.push_back(std::make_unique<Shard>());
  return *shards_.back();
}

TcpSeriesRef TcpMetrics::Shard::find_text(std::string_view text) {
  const std::scoped_lock lock(mutex_);
  auto found = series_.find(text);
  if (found == series_.end()) {
    std::string key(text);
    if (series_.size() >= kSeriesMax) {
      key.clear();
      append_tcp_labels(key, {.reporter = Reporter::kSource,
                              .source = kOtherEnd,
                              .destination = kOtherEnd,
                              .service = kOther,
                              .service_namespace = kOther,
                              .service_name = kOther});
    }
    found = series_.try_emplace(std::move(key)).first;
    found->second.labels_ = &found->first;
  }
  return TcpSeriesRef(&found->second);
}

TcpSeriesRef TcpMetrics::Shard::find(const TcpLabels& labels) {
  scratch_.clear();
  append_tcp_labels(scratch_, labels);
  return find_text(scratch_);
}

TcpSeriesRef TcpMetrics::Shard::with_flags(const TcpSeriesRef& series,
                                           std::string_view response_flags) {
  const std::string& labels = *series.series_->labels_;
  const std::size_t begin = labels.find(kFlagsLabel) + kFlagsLabel.size();
  scratch_.assign(labels, 0, begin);
  append_escaped_label(scratch_, response_flags);
  scratch_.append(labels, labels.find('"', begin));
  return find_text(scratch_);
}

void TcpMetrics::render(std::string& out) {
  struct Sums {
    std::uint64_t opened = 0, closed = 0, failed = 0, received = 0, sent = 0;
  };
  std::map<std::string, Sums> sums;
  int sockets[2] = {};
  bool sockets_used[2] = {};
  {
    const std::scoped_lock all(mutex_);
    for (const auto& shard : shards_) {
      const std::scoped_lock lock(shard->mutex_);
      for (const auto& [labels, series] : shard->series_) {
        Sums& sum = sums[labels];
        sum.opened += series.opened_.load(std::memory_order_relaxed);
        sum.closed += series.closed_.load(std::memory_order_relaxed);
        sum.failed += series.failed_.load(std::memory_order_relaxed);
        sum.received += series.received_.load(std::memory_order_relaxed);
        sum.sent += series.sent_.load(std::memory_order_relaxed);
      }
      for (int i = 0; i < 2; ++i) {
        sockets[i] += shard->sockets_[i].load(std::memory_order_relaxed);
        sockets_used[i] |= shard->sockets_used_[i].load(std::memory_order_relaxed);
      }
    }
  }
  const auto family = [&](std::string_view name, std::string_view help, auto shown, auto value) {
    bool headed = false;
    for (const auto& [labels, sum] : sums) {
      if (!shown(sum)) continue;
      if (!headed) append_family_header(out, name, help, "counter");
      headed = true;
      out.append(name).append("_total{").append(labels).append("} ");
      out.append(std::to_string(value(sum))).append("\n");
    }
  };
  const auto was_opened = [](const Sums& sum) { return sum.opened > 0; };
  family("istio_tcp_connections_opened", "The total number of TCP connections opened.", was_opened,
         [](const Sums& sum) { return sum.opened; });
  family(
      "istio_tcp_connections_closed", "The total number of TCP connections closed.",
      [](const Sums& sum) { return sum.closed > 0; }, [](const Sums& sum) { return sum.closed; });
  family("istio_tcp_received_bytes",
         "The size of total bytes received during request in case of a TCP connection.", was_opened,
         [](const Sums& sum) { return sum.received; });
  family("istio_tcp_sent_bytes",
         "The size of total bytes sent during response in case of a TCP connection.", was_opened,
         [](const Sums& sum) { return sum.sent; });
  family(
      "istio_tcp_connections_failed",
      "The total number of TCP connections that failed to establish (unstable).",
      [](const Sums& sum) { return sum.failed > 0; }, [](const Sums& sum) { return sum.failed; });
  if (!sockets_used[0] && !sockets_used[1]) return;
  append_family_header(out, "istio_tcp_sockets_open",
                       "The current number of open TCP sockets (unstable).", "gauge");
  for (const Reporter reporter : {Reporter::kDestination, Reporter::kSource}) {
    const auto i = static_cast<std::size_t>(reporter);
    if (!sockets_used[i]) continue;
    out.append("istio_tcp_sockets_open{reporter=\"").append(reporter_name(reporter));
    out.append("\"} ").append(std::to_string(sockets[i])).append("\n");
  }
}

void TcpMetrics::evict(std::chrono::nanoseconds now, std::chrono::nanoseconds idle) {
  const std::scoped_lock all(mutex_);
  struct Seen {
    std::uint64_t total = 0;
    std::uint32_t users = 0;
  };
  std::unordered_map<std::string_view, Seen> seen;
  for (const auto& shard : shards_) {
    const std::scoped_lock lock(shard->mutex_);
    for (const auto& [labels, series] : shard->series_) {
      seen[labels].total += series.total();
      seen[labels].users += series.users_.load(std::memory_order_acquire);
    }
  }
  std::vector<std::string> gone;
  for (const auto& [labels, now_seen] : seen) {
    const auto [entry, fresh] = idle_.try_emplace(std::string(labels));
    if (fresh || entry->second.total != now_seen.total || now_seen.users > 0) {
      entry->second = {.total = now_seen.total, .since = now};
    } else if (now - entry->second.since >= idle) {
      gone.push_back(entry->first);
    }
  }
  for (const std::string& labels : gone) {
    idle_.erase(labels);
    for (const auto& shard : shards_) {
      const std::scoped_lock lock(shard->mutex_);
      const auto found = shard->series_.find(labels);
      // A connection may have taken it a moment ago: then it stays on that ring.
      if (found == shard->series_.end()) continue;
      if (found->second.users_.load(std::memory_order_acquire) == 0) shard->series_.erase(found);
    }
  }
}

}  // namespace mesh::telemetry
