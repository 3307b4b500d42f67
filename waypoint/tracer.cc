#include "waypoint/tracer.h"

#include <algorithm>
#include <utility>

#include "mesh/io/timer.h"

namespace mesh::waypoint {
namespace {

constexpr const char* kMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

// Where a chain's spans go.
bool same_collector(const config::Tracing& a, const config::Tracing& b) {
  return a.cluster == b.cluster && a.authority == b.authority && a.http == b.http &&
         a.http_path == b.http_path && a.service_name == b.service_name;
}

struct Uri {
  std::string authority, path;
};
// "http://collector:4318/v1/traces"; a path alone has no authority.
Uri split(std::string_view uri) {
  if (const auto scheme = uri.find("://"); scheme != std::string_view::npos) {
    uri.remove_prefix(scheme + 3);
    const std::size_t slash = std::min(uri.find('/'), uri.size());
    return {std::string(uri.substr(0, slash)),
            slash == uri.size() ? "/" : std::string(uri.substr(slash))};
  }
  return {{}, uri.starts_with('/') ? std::string(uri) : "/v1/traces"};
}

}  // namespace

Tracer::Tracer(RingContext& context, std::string node)
    : context_(context), node_(std::move(node)), enough_(context.ring) {}

void Tracer::finished(config::ChainPtr chain, tracing::FinishedSpan span) {
  const std::size_t more = tracing::weight(span);
  if (queue_.size() >= kQueueMax || bytes_ + more > kQueueBytesMax) {
    ++counts_.dropped;
    return;
  }
  bytes_ += more;
  queue_.push_back({std::move(chain), std::move(span)});
  if (queue_.size() >= kBatchMax) enough_.set();
}

io::Task<void> Tracer::run() {
  for (;;) {
    const auto waited =
        co_await io::with_deadline(context_.ring, kFlushEvery, "spans", enough_.wait());
    if (!waited && waited.error().reason == Reason::kCancelled) co_return;
    const auto done = co_await export_all();
    if (!done && done.error().reason == Reason::kCancelled) co_return;
  }
}

io::Task<void> Tracer::flush(io::Duration limit) {
  (void)co_await io::with_deadline(context_.ring, limit, "spans", export_all());
  counts_.dropped += queue_.size();
  queue_.clear();
}

io::Task<Result<Done>> Tracer::export_all() {
  while (!queue_.empty()) {
    enough_.reset();
    CO_TRY_DO(co_await export_batch());
  }
  co_return Done{};
}

// Errors: kCancelled alone; whatever else goes wrong costs the batch.
io::Task<Result<Done>> Tracer::export_batch() {
  const config::ChainPtr chain = queue_.front().chain;
  const config::Tracing& to = *chain->http->tracing;
  std::vector<tracing::FinishedSpan> spans;
  while (!queue_.empty() && spans.size() < kBatchMax &&
         same_collector(*queue_.front().chain->http->tracing, to)) {
    bytes_ -= tracing::weight(queue_.front().span);
    spans.push_back(std::move(queue_.front().span));
    queue_.pop_front();
  }
  std::string message = tracing::encode_request(spans, to.service_name, node_);
  bool taken = false;
  std::optional<Error> failure;
  if (to.http) {
    Uri uri = split(to.http_path);
    HttpCall call{.cluster = to.cluster, .body = std::move(message), .timeout = kExportWithin};
    call.request = {.method = "POST",
                    .authority = std::move(uri.authority),
                    .path = std::move(uri.path),
                    .headers = {{"content-type", "application/x-protobuf"}}};
    const auto answer = co_await call_http(context_, context_.snapshot, std::move(call));
    taken = answer && answer->status / 100 == 2;
    if (!answer) failure = answer.error();
  } else {
    GrpcCall call{.cluster = to.cluster,
                  .authority = to.authority,
                  .path = kMethod,
                  .timeout = kExportWithin};
    const auto answer =
        co_await call_grpc(context_, context_.snapshot, std::move(call), std::move(message));
    taken = answer && answer->status.ok();
    if (!answer) failure = answer.error();
  }
  (taken ? counts_.exported : counts_.dropped) += spans.size();
  if (failure && failure->reason == Reason::kCancelled) co_return std::unexpected(*failure);
  co_return Done{};
}

}  // namespace mesh::waypoint
