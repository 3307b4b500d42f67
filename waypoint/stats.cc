#include "waypoint/stats.h"

#include <map>

#include "waypoint/config/model.h"

namespace mesh::waypoint {
namespace {

// Envoy's bounds, of milliseconds and of bytes alike; one more bucket is +Inf.
constexpr double kBounds[] = {0.5,   1,      5,      10,      25,     50,    100,
                              250,   500,    1000,   2500,    5000,   10000, 30000,
                              60000, 300000, 600000, 1800000, 3600000};
static_assert(std::size(kBounds) + 1 == Stats::kBuckets);

void bump(std::atomic<std::uint64_t>& value, std::uint64_t by) {
  value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}
std::uint64_t get(const std::atomic<std::uint64_t>& value) {
  return value.load(std::memory_order_relaxed);
}

void label(std::string& out, std::string_view prefix, std::string_view name,
           std::string_view value) {
  if (!out.empty()) out.push_back(',');
  out.append(prefix).append(name).append("=\"");
  telemetry::append_escaped_label(out, value.empty() ? "unknown" : value);
  out.push_back('"');
}

struct End {
  std::string_view workload, service, revision, ns, principal, cluster;
};

void append_end(std::string& out, std::string_view prefix, const End& end) {
  label(out, prefix, "workload", end.workload);
  label(out, prefix, "canonical_service", end.service);
  label(out, prefix, "canonical_revision", end.revision.empty() ? "latest" : end.revision);
  label(out, prefix, "workload_namespace", end.ns);
  label(out, prefix, "principal", end.principal);
  label(out, prefix, "app", end.service);
  label(out, prefix, "version", end.revision.empty() ? "latest" : end.revision);
  label(out, prefix, "cluster", end.cluster);
}

// "web-0;shop;web;v1;Kubernetes": workload, namespace, service, version, cluster.
End end_of(std::string_view text) {
  std::string_view parts[5];
  for (std::string_view& part : parts) {
    const std::size_t end = std::min(text.find(';'), text.size());
    part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {.workload = parts[0],
          .service = parts[2],
          .revision = parts[3],
          .ns = parts[1],
          .principal = {},
          .cluster = parts[4]};
}

}  // namespace

void append_labels(std::string& out, const Caller& caller, const Record& record) {
  label(out, "", "reporter", "waypoint");
  append_end(out, "source_",
             {.workload = caller.labels.workload,
              .service = caller.labels.service,
              .revision = caller.labels.revision,
              .ns = caller.labels.ns.empty() ? caller.ns : caller.labels.ns,
              .principal = caller.principal,
              .cluster = caller.labels.cluster});
  label(out, "", "destination_service", record.service_host);
  label(out, "", "destination_service_namespace", record.service_namespace);
  label(out, "", "destination_service_name", record.service_name);
  append_end(out, "destination_", end_of(record.upstream_workload));
  label(out, "", "request_protocol", record.tcp ? "tcp" : record.grpc ? "grpc" : "http");
  if (!record.tcp) {
    label(out, "", "response_code", std::to_string(record.status));
    label(out, "", "grpc_response_status",
          record.grpc_status < 0 ? std::string() : std::to_string(record.grpc_status));
  }
  label(out, "", "response_flags", record.flags.to_string());
  label(out, "", "connection_security_policy", "mutual_tls");
}

// ---- series ----

void Stats::Shard::Histogram::observe(const double* bounds, double value) {
  std::size_t bucket = 0;
  while (bucket + 1 < kBuckets && value > bounds[bucket]) ++bucket;
  bump(buckets[bucket], 1);
  bump(count, 1);
  sum.store(sum.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

std::uint64_t Stats::Shard::Series::total() const {
  return get(count) + get(closed) + get(sent) + get(received);
}

Stats::Stats(telemetry::Metrics& metrics) {
  metrics.source([this](std::string& out) { render(out); });
}

Stats::Shard::Shard(telemetry::LogSink* access, telemetry::LogSink* configured, bool json)
    : access_(access), configured_(configured), json_(json) {}

Stats::Shard& Stats::add_shard(telemetry::LogSink* access, telemetry::LogSink* configured,
                               bool json) {
  const std::scoped_lock lock(mutex_);
  shards_.push_back(std::make_unique<Shard>(access, configured, json));
  return *shards_.back();
}

Stats::Shard::Series& Stats::Shard::find(const Caller& caller, const Record& record) {
  labels_.clear();
  append_labels(labels_, caller, record);
  const std::scoped_lock lock(mutex_);
  auto found = series_.find(labels_);
  if (found != series_.end()) return *found->second;
  if (series_.size() >= kSeriesMax) {
    labels_ = "reporter=\"waypoint\",request_protocol=\"other\"";
    if (record.tcp) labels_ = "reporter=\"waypoint\",request_protocol=\"tcp\"";
  }
  auto& made = series_[labels_];
  if (made) return *made;
  made = std::make_unique<Series>();
  made->tcp = record.tcp;
  if (!record.tcp) {
    made->milliseconds = std::make_unique<Histogram>();
    made->request_bytes = std::make_unique<Histogram>();
    made->response_bytes = std::make_unique<Histogram>();
  }
  return *made;
}

// Null: no route, or too many.
Stats::Shard::Histogram* Stats::Shard::find_route(const Record& record) {
  if (record.route.empty()) return nullptr;
  labels_.clear();
  label(labels_, "", "destination_service", record.service_host);
  label(labels_, "", "route", record.route);
  const std::scoped_lock lock(mutex_);
  auto found = series_.find(labels_);
  if (found == series_.end()) {
    if (series_.size() >= kSeriesMax) return nullptr;
    found = series_.emplace(labels_, std::make_unique<Series>()).first;
    found->second->route = true;
    found->second->milliseconds = std::make_unique<Histogram>();
  }
  bump(found->second->count, 1);
  return found->second->milliseconds.get();
}

void Stats::Shard::tcp_opened(const Caller& caller, const Record& record) {
  bump(find(caller, record).count, 1);
}

void Stats::Shard::record(const Caller& caller, const Record& record, io::Duration lasted) {
  Series& series = find(caller, record);
  if (record.tcp) {
    bump(series.closed, 1);
    bump(series.received, record.request_bytes);
    bump(series.sent, record.response_bytes);
  } else {
    bump(series.count, 1);
    series.milliseconds->observe(kBounds, static_cast<double>(lasted.count()) / 1e6);
    series.request_bytes->observe(kBounds, static_cast<double>(record.request_bytes));
    series.response_bytes->observe(kBounds, static_cast<double>(record.response_bytes));
    if (Histogram* of_route = find_route(record)) {
      of_route->observe(kBounds, static_cast<double>(lasted.count()) / 1e6);
    }
  }
  log(caller, record, lasted);
}

void Stats::Shard::log(const Caller& caller, const Record& record, io::Duration lasted) {
  line_.clear();
  if (record.logs != nullptr && !record.logs->empty()) {
    if (configured_ == nullptr) return;
    for (const config::AccessLog& one : *record.logs) {
      append_configured(line_, one, caller, record, lasted);
    }
    if (!line_.empty()) configured_->write(line_);
    return;
  }
  if (access_ == nullptr) return;
  if (json_) {
    append_access_json(line_, caller, record, lasted);
  } else {
    append_access_text(line_, caller, record, lasted);
  }
  access_->write(line_);
}

void Stats::evict(std::chrono::nanoseconds now, std::chrono::nanoseconds idle) {
  const std::scoped_lock lock(mutex_);
  for (const auto& shard : shards_) {
    const std::scoped_lock held(shard->mutex_);
    std::erase_if(shard->series_, [&](auto& item) {
      Shard::Series& series = *item.second;
      const std::uint64_t total = series.total();
      if (series.changed.count() < 0 || total != series.seen) {
        series.seen = total;
        series.changed = now;
      }
      const bool open = series.tcp && get(series.count) > get(series.closed);
      return !open && now - series.changed >= idle;
    });
  }
}

// ---- the page ----

namespace {

struct Total {
  std::uint64_t count = 0, closed = 0, sent = 0, received = 0;
};
struct HistogramTotal {
  std::uint64_t buckets[Stats::kBuckets] = {};
  std::uint64_t count = 0;
  double sum = 0;
};
struct Totals {
  std::map<std::string, Total> requests, connections;
  std::map<std::string, HistogramTotal> milliseconds, request_bytes, response_bytes, routes;
};

template <class H>
void add(HistogramTotal& into, const H& from) {
  for (std::size_t i = 0; i < Stats::kBuckets; ++i) into.buckets[i] += get(from.buckets[i]);
  into.count += get(from.count);
  into.sum += from.sum.load(std::memory_order_relaxed);
}

void print_counter(std::string& out, std::string_view name, std::string_view help,
                   const std::map<std::string, Total>& totals, std::uint64_t Total::* which) {
  if (totals.empty()) return;
  telemetry::append_family_header(out, name, help, "counter");
  for (const auto& [labels, total] : totals) {
    out.append(name).append("_total{").append(labels).append("} ");
    out.append(std::to_string(total.*which)).append("\n");
  }
}

void print_histogram(std::string& out, std::string_view name, std::string_view help,
                     const std::map<std::string, HistogramTotal>& totals) {
  if (totals.empty()) return;
  telemetry::append_family_header(out, name, help, "histogram");
  for (const auto& [labels, total] : totals) {
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < Stats::kBuckets; ++i) {
      below += total.buckets[i];
      out.append(name).append("_bucket{").append(labels).append(",le=\"");
      if (i + 1 < Stats::kBuckets) {
        telemetry::append_bound(out, kBounds[i]);
      } else {
        out.append("+Inf");
      }
      out.append("\"} ").append(std::to_string(below)).append("\n");
    }
    out.append(name).append("_sum{").append(labels).append("} ");
    telemetry::append_number(out, total.sum);
    out.append("\n").append(name).append("_count{").append(labels).append("} ");
    out.append(std::to_string(total.count)).append("\n");
  }
}

}  // namespace

void Stats::render(std::string& out) {
  Totals totals;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& shard : shards_) {
      const std::scoped_lock held(shard->mutex_);
      for (const auto& [labels, series] : shard->series_) {
        if (series->route) {
          add(totals.routes[labels], *series->milliseconds);
          continue;
        }
        Total& total = (series->tcp ? totals.connections : totals.requests)[labels];
        total.count += get(series->count);
        total.closed += get(series->closed);
        total.sent += get(series->sent);
        total.received += get(series->received);
        if (series->tcp) continue;
        add(totals.milliseconds[labels], *series->milliseconds);
        add(totals.request_bytes[labels], *series->request_bytes);
        add(totals.response_bytes[labels], *series->response_bytes);
      }
    }
  }
  print_counter(out, "istio_requests", "Requests", totals.requests, &Total::count);
  print_histogram(out, "istio_request_duration_milliseconds", "How long requests took",
                  totals.milliseconds);
  print_histogram(out, "istio_request_bytes", "Bodies of requests", totals.request_bytes);
  print_histogram(out, "istio_response_bytes", "Bodies of responses", totals.response_bytes);
  print_histogram(out, "weft_waypoint_route_duration_milliseconds",
                  "How long requests by one route took", totals.routes);
  const auto& connections = totals.connections;
  print_counter(out, "istio_tcp_connections_opened", "Connections opened", connections,
                &Total::count);
  print_counter(out, "istio_tcp_connections_closed", "Connections closed", connections,
                &Total::closed);
  print_counter(out, "istio_tcp_sent_bytes", "Bytes of responses", connections, &Total::sent);
  print_counter(out, "istio_tcp_received_bytes", "Bytes of requests", connections,
                &Total::received);
}

}  // namespace mesh::waypoint
