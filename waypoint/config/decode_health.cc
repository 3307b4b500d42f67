// Active health checks: envoy.config.core.v3.HealthCheck.

#include <algorithm>
#include <string>

#include "mesh/base/base64.h"
#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kPayloadMax = 4096;
constexpr std::size_t kPayloadsMax = 16;
constexpr milliseconds kIntervalMin{10};

std::vector<HealthCheck::Statuses> statuses(Input& in, const Tree& at, std::string_view name) {
  std::vector<HealthCheck::Statuses> made;
  for (const Tree* one : in.list(at, name)) {
    HealthCheck::Statuses range{.from = static_cast<int>(in.signed_number(*one, "start")),
                                .to = static_cast<int>(in.signed_number(*one, "end"))};
    if (range.from < 100 || range.from >= range.to || range.to > 600) {
      in.refuse(*one, "no range of statuses");
    }
    made.push_back(range);
  }
  return made;
}

std::vector<std::pair<std::string, std::string>> headers(Input& in, const Tree& at,
                                                         std::string_view name) {
  std::vector<std::pair<std::string, std::string>> made;
  for (const Tree* one : in.list(at, name)) {
    const Tree* header = in.object(*one, "header");
    if (header == nullptr) continue;
    const std::string value = in.text(*header, "value");
    if (value.contains('%')) in.refuse(*header, "a format in a health check is not supported");
    made.emplace_back(changed_header_name(in, *one, in.text(*header, "key")), value);
    Input::overlook(*one, {"append", "appendAction", "keepEmptyValue"});
  }
  return made;
}

// Text is hexadecimal.
std::string payload(Input& in, const Tree& at) {
  if (in.one_of(at, {"text", "binary"}) == "binary") {
    const auto bytes = base64_decode(in.text(at, "binary", 2 * kPayloadMax));
    if (!bytes || bytes->size() > kPayloadMax) in.refuse(at, "no payload");
    return bytes.value_or("");
  }
  const std::string text = in.text(at, "text", 2 * kPayloadMax);
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  if (text.size() % 2 != 0 || std::ranges::any_of(text, [&](char c) { return digit(c) < 0; })) {
    in.refuse(at, "a payload that is not hexadecimal");
    return {};
  }
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1])));
  }
  return bytes;
}

void http_check(Input& in, const Tree& at, HealthCheck& check) {
  check.kind = HealthCheck::Kind::kHttp;
  check.host = in.text(at, "host");
  check.path = in.text(at, "path");
  if (!check.path.starts_with('/')) in.refuse(at, "a path that does not begin with /");
  check.headers = headers(in, at, "requestHeadersToAdd");
  check.removed_headers = in.texts(at, "requestHeadersToRemove");
  check.expected = statuses(in, at, "expectedStatuses");
  check.retriable = statuses(in, at, "retriableStatuses");
  check.http2 = in.choice(at, "codecClientType", {"HTTP1", "HTTP2"}) == 1;
  static constexpr const char* kMethods[] = {"GET",    "GET",     "HEAD",  "POST", "PUT",
                                             "DELETE", "OPTIONS", "TRACE", "PATCH"};
  check.method = kMethods[in.choice(
      at, "method",
      {"METHOD_UNSPECIFIED", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"})];
}

void tcp_check(Input& in, const Tree& at, HealthCheck& check) {
  check.kind = HealthCheck::Kind::kTcp;
  if (const Tree* send = in.object(at, "send")) check.send = payload(in, *send);
  for (const Tree* one : in.list(at, "receive")) {
    if (check.receive.size() >= kPayloadsMax) return in.refuse(*one, "too many payloads");
    check.receive.push_back(payload(in, *one));
  }
  if (!check.receive.empty() && check.send.empty()) {
    in.refuse(at, "something to receive without anything to send");
  }
}

void intervals(Input& in, const Tree& at, HealthCheck& check) {
  check.timeout = in.duration(at, "timeout", milliseconds(0));
  check.interval = in.duration(at, "interval", milliseconds(0));
  check.jitter = in.duration(at, "intervalJitter", check.jitter);
  check.jitter_percent =
      static_cast<std::uint32_t>(in.number(at, "intervalJitterPercent", 0, 1000));
  check.initial_jitter = in.duration(at, "initialJitter", check.initial_jitter);
  check.no_traffic_interval = in.duration(at, "noTrafficInterval", check.no_traffic_interval);
  check.no_traffic_healthy_interval =
      in.duration(at, "noTrafficHealthyInterval", check.no_traffic_interval);
  check.unhealthy_interval = in.duration(at, "unhealthyInterval", check.interval);
  check.unhealthy_edge_interval =
      in.duration(at, "unhealthyEdgeInterval", check.unhealthy_interval);
  check.healthy_edge_interval = in.duration(at, "healthyEdgeInterval", check.interval);
  if (check.timeout.count() <= 0) in.refuse(at, "a health check without a timeout");
  for (const milliseconds each :
       {check.interval, check.no_traffic_interval, check.no_traffic_healthy_interval,
        check.unhealthy_interval, check.unhealthy_edge_interval, check.healthy_edge_interval}) {
    if (each < kIntervalMin) return in.refuse(at, "an interval below 10 ms");
  }
}

}  // namespace

HealthCheck health_check(Input& in, const Tree& at) {
  HealthCheck check;
  intervals(in, at, check);
  const auto threshold = [&](std::string_view name) {
    if (!at.has(name)) in.refuse(at, "a health check without " + std::string(name));
    return std::max(static_cast<std::uint32_t>(in.number(at, name)), 1u);
  };
  check.unhealthy_threshold = threshold("unhealthyThreshold");
  check.healthy_threshold = threshold("healthyThreshold");
  check.reuse_connection = in.flag(at, "reuseConnection", true);
  const auto which = in.one_of(at, {"httpHealthCheck", "tcpHealthCheck", "grpcHealthCheck"});
  const Tree* how = which.empty() ? nullptr : in.object(at, which);
  if (how == nullptr) {
    in.refuse(at, "a health check of no kind that is known");
  } else if (which == "httpHealthCheck") {
    http_check(in, *how, check);
  } else if (which == "tcpHealthCheck") {
    tcp_check(in, *how, check);
  } else {
    check.kind = HealthCheck::Kind::kGrpc;
    check.grpc_service = in.text(*how, "serviceName");
    check.host = in.text(*how, "authority");
    check.headers = headers(in, *how, "initialMetadata");
  }
  return check;
}

}  // namespace mesh::waypoint::config::parts
