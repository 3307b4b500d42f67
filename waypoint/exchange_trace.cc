// The part of an exchange that is seen in a trace: one span a request.

#include "waypoint/exchange.h"
#include "waypoint/tracer.h"

namespace mesh::waypoint {
namespace {

using tracing::FinishedSpan;

// Empty is not said.
void say(FinishedSpan& span, std::string_view name, std::string_view value) {
  constexpr std::size_t kValueMax = 1024;
  if (!value.empty()) span.texts.emplace_back(name, value.substr(0, kValueMax));
}

std::string_view part(std::string_view text, int index) {
  for (; index > 0; --index) text.remove_prefix(std::min(text.find(';') + 1, text.size()));
  return text.substr(0, std::min(text.find(';'), text.size()));
}

// Istio's names for both ends. Who calls says so itself; its identity is proven.
void say_peers(FinishedSpan& span, const Caller& caller, const Record& record) {
  say(span, "istio.source_workload", caller.labels.workload);
  say(span, "istio.source_namespace", caller.ns);
  say(span, "istio.source_canonical_service", caller.labels.service);
  say(span, "istio.source_canonical_revision", caller.labels.revision);
  say(span, "istio.source_cluster_id", caller.labels.cluster);
  say(span, "source.principal", caller.principal);
  const std::string_view to = record.upstream_workload;
  if (to.find(';') == std::string_view::npos) return;
  say(span, "istio.destination_workload", part(to, 0));
  say(span, "istio.destination_namespace", part(to, 1));
  say(span, "istio.destination_canonical_service", part(to, 2));
  say(span, "istio.destination_canonical_revision", part(to, 3));
  say(span, "istio.destination_cluster_id", part(to, 4));
}

void say_request(FinishedSpan& span, const Caller& caller, const Record& record,
                 std::string_view scheme, std::size_t max_path) {
  say(span, "component", "proxy");
  say(span, "http.method", record.method);
  say(span, "http.url",
      std::string(scheme) + "://" + record.authority + record.path.substr(0, max_path));
  say(span, "http.protocol", record.protocol);
  say(span, "guid:x-request-id", record.request_id);
  say(span, "user_agent", record.user_agent);
  say(span, "peer.address", caller.address.ip.to_string());
  say(span, "upstream_cluster", record.cluster);
  if (record.upstream.port != 0) say(span, "upstream_address", record.upstream.to_string());
  say(span, "response_flags", record.flags.to_string());
  if (record.grpc_status >= 0) {
    say(span, "grpc.status_code", std::to_string(record.grpc_status));
  }
  span.numbers = {{"http.status_code", static_cast<std::uint64_t>(std::max(record.status, 0))},
                  {"request_size", record.request_bytes},
                  {"response_size", record.response_bytes}};
}

}  // namespace

void Exchange::begin_trace() {
  if (!http_.tracing || http_.tracing->cluster.empty() || context_.tracer == nullptr) return;
  trace_ = tracing::begin(*http_.tracing, tracing::parent_of(request_.headers), context_.dice);
  tracing::inject(trace_, request_.headers);
  record_.trace_id = trace_.trace.text();
}

void Exchange::end_trace(io::Duration lasted) {
  if (!trace_.sampled) return;
  const auto begun = static_cast<std::uint64_t>(record_.wall.time_since_epoch().count());
  FinishedSpan span{.span = trace_,
                    .name = "ingress",
                    .begun_ns = begun,
                    .ended_ns = begun + static_cast<std::uint64_t>(lasted.count()),
                    .state = std::string(http::header_text(request_.headers, "tracestate").text()),
                    .failed = record_.status >= 500 || record_.status == 0};
  if (decision_.route != nullptr && !decision_.route->operation.empty()) {
    span.name = decision_.route->operation;
  }
  say_request(span, caller_, record_, request_.scheme, http_.tracing->max_path);
  say_peers(span, caller_, record_);
  for (const auto& [name, value] : http_.tracing->literal_tags) say(span, name, value);
  for (const auto& [name, header, fallback] : http_.tracing->header_tags) {
    const auto value = http::header_text(request_, header);
    say(span, name, value.present() ? value.text() : fallback);
  }
  context_.tracer->finished(chain_, std::move(span));
}

}  // namespace mesh::waypoint
