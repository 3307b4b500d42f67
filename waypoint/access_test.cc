// Access logs as chains configure them, and what is counted by route.

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "waypoint/config/decode.h"
#include "waypoint/config/model.h"
#include "waypoint/stats.h"

namespace mesh::waypoint {
namespace {

using config::AccessLog;

config::AccessFormat format(std::string_view text) {
  std::vector<std::string> unknown;
  return config::parse_access_format(text, unknown).value();
}

struct Told {
  Caller caller;
  http::Request request{.method = "GET",
                        .authority = "web",
                        .path = "/a?b",
                        .headers = {{"user-agent", "a \"b\"\nc"}}};
  http::Value metadata = http::Value::object(
      {{"f", http::Value::object(
                 {{"text", http::Value::of_text("a\nb")},
                  {"truth", http::Value::of_bool(true)},
                  {"in", http::Value::object({{"number", http::Value::of_number(1.5)}})}})}});
  Record record;
  Told() {
    record.metadata = &metadata;
    caller.principal = "spiffe://cluster.local/ns/shop/sa/web";
    caller.address = net::SocketAddress::parse("10.0.0.1:5000").value();
    caller.target = net::SocketAddress::parse("10.96.0.1:80").value();
    record.status = 503;
    record.flags = Flag::kUF;
    record.request = &request;
    record.request_bytes = 5;
    record.route = "r";
    record.service_host = "web.shop";
    record.upstream_time = std::chrono::milliseconds(7);
    record.response_headers = {{"x-answer", "yes"}};
    record.grpc_status = 14;
    record.trace_id = "0af7";
  }
  std::string line(const AccessLog& log) const {
    std::string out;
    append_configured(out, log, caller, record, std::chrono::milliseconds(12));
    return out;
  }
};

TEST_CASE("operators of a line, in Envoy's words") {
  const struct {
    const char* format;
    const char* line;
  } rows[] = {
      {"%REQ(:METHOD)% %REQ(X-NONE?:PATH)% %REQ(:AUTHORITY)%", "GET /a?b web\n"},
      {"%RESPONSE_CODE%/%RESPONSE_FLAGS%", "503/UF\n"},
      {"%REQ(user-agent)%", "a \\x22b\\x22\\x0ac\n"},
      {"%REQ(none)%|%RESP(none)%|%UPSTREAM_HOST%|%REQUESTED_SERVER_NAME%", "-|-|-|-\n"},
      {"%RESP(X-ANSWER)% %RESP(x-envoy-upstream-service-time)%", "yes 7\n"},
      {"%DURATION% %BYTES_RECEIVED% %BYTES_SENT%", "12 5 0\n"},
      {"%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% "
       "%DOWNSTREAM_LOCAL_PORT%",
       "10.0.0.1:5000 10.0.0.1 80\n"},
      {"%DOWNSTREAM_PEER_URI_SAN%", "spiffe://cluster.local/ns/shop/sa/web\n"},
      {"%GRPC_STATUS% %GRPC_STATUS_NUMBER% %TRACE_ID%", "UNAVAILABLE 14 0af7\n"},
      {"%DYNAMIC_METADATA(f:text)% %DYNAMIC_METADATA(f:in:number)% %DYNAMIC_METADATA(f:truth)%",
       "a\\x0ab 1.5 true\n"},
      {"%DYNAMIC_METADATA(f:none)%|%DYNAMIC_METADATA(g:text)%|%DYNAMIC_METADATA(f:in)%", "-|-|-\n"},
      {"%REQ(:AUTHORITY):2%%%", "we%\n"},
      {"already ended\n", "already ended\n"},
  };
  const Told told;
  for (const auto& row : rows) {
    INFO(row.format);
    CHECK(told.line({.format = format(row.format)}) == row.line);
  }
}

TEST_CASE("a line of JSON has numbers, texts and nothing") {
  AccessLog log{.json = true};
  log.json_fields = {{"status", format("%RESPONSE_CODE%")},
                     {"agent", format("%REQ(user-agent)%")},
                     {"none", format("%REQ(none)%")},
                     {"both", format("%REQ(none)%-%RESPONSE_CODE%")}};
  CHECK(Told().line(log) ==
        "{\"status\":503,\"agent\":\"a \\\"b\\\"\\nc\",\"none\":null,\"both\":\"--503\"}\n");
}

TEST_CASE("a line is written when all conditions hold") {
  using Kind = AccessLog::Filter::Kind;
  const struct {
    std::vector<AccessLog::Filter> filters;
    bool written;
  } rows[] = {
      {{}, true},
      {{{.kind = Kind::kStatusAtLeast, .status = 500}}, true},
      {{{.kind = Kind::kStatusAtLeast, .status = 504}}, false},
      {{{.kind = Kind::kStatusAtMost, .status = 503}}, true},
      {{{.kind = Kind::kStatusAtMost, .status = 502}}, false},
      {{{.kind = Kind::kStatusEquals, .status = 503}}, true},
      {{{.kind = Kind::kStatusDiffers, .status = 503}}, false},
      {{{.kind = Kind::kFlags, .flags = {"UF", "UO"}}}, true},
      {{{.kind = Kind::kFlags, .flags = {"U"}}}, false},
      {{{.kind = Kind::kFlags}}, true},
      {{{.kind = Kind::kStatusEquals, .status = 503}, {.kind = Kind::kFlags, .flags = {"NR"}}},
       false},
  };
  for (const auto& row : rows) {
    AccessLog log{.format = format("x")};
    log.filters = row.filters;
    CHECK(Told().line(log) == (row.written ? "x\n" : ""));
  }
}

TEST_CASE("a condition is asked of the request and its answer") {
  const std::pair<const char*, bool> rows[] = {
      {"response.code >= 500 && response.code_details == 'd'", true},
      {"request.headers['user-agent'].startsWith('a ') && request.headers[':path'] == '/a?b'",
       true},
      {"response.headers['x-answer'] == 'yes' && response.grpc_status == 14", true},
      {"xds.route_name == 'r' && !(xds.cluster_name == 'c')", true},
      {"request.url_path == '/a' && request.path == '/a?b' && request.method == 'PUT'", true},
      {"request.host == 'web' && request.id == 'i' && request.useragent == 'u'", true},
      {"request.protocol == 'HTTP/1.1' && request.scheme == 'http'", true},
      {"response.flags in [4, 33] || request.duration < duration('12ms')", false},
      {"response.flags == 32 && request.duration == duration('12ms')", true},
      {"'none' in request.headers || request.headers['none'] == 'a'", false},
  };
  Told told;
  told.record.details = "d";
  told.record.cluster = "other";
  told.record.method = "PUT";
  told.record.path = "/a?b";
  told.record.authority = "web";
  told.record.request_id = "i";
  told.record.user_agent = "u";
  for (const auto& [text, written] : rows) {
    INFO(text);
    AccessLog log{.format = format("x")};
    std::string problem;
    log.filters = {{.kind = AccessLog::Filter::Kind::kCondition,
                    .condition = telemetry::Condition::parse(text, problem)}};
    REQUIRE(log.filters[0].condition);
    CHECK(told.line(log) == (written ? "x\n" : ""));
  }
  // A connection has no answer.
  AccessLog log{.format = format("x")};
  std::string problem;
  log.filters = {{.kind = AccessLog::Filter::Kind::kCondition,
                  .condition = telemetry::Condition::parse("response.code < 500", problem)}};
  told.record.status = 0;
  CHECK(told.line(log).empty());
}

constexpr const char* kTypes = "\"@type\":\"type.googleapis.com/";
std::string typed(const char* type) { return std::string(kTypes) + type + "\""; }

// One log of a TCP chain, as Envoy's JSON has it.
config::Decoded<config::Listener> listener(const std::string& log) {
  const std::string inputs = "envoy.extensions.matching.common_inputs.network.v3.";
  const std::string chain = R"({"name":"c","filters":[{"name":"tcp","typedConfig":{)" +
                            typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy") +
                            R"(,"statPrefix":"s","cluster":"c","accessLog":[)" + log + "]}}]}";
  const std::string action = R"({"action":{"name":"a","typedConfig":{)" +
                             typed("google.protobuf.StringValue") + R"(,"value":"c"}}})";
  const std::string tree = R"({"input":{"name":"ip","typedConfig":{)" +
                           typed((inputs + "DestinationIPInput").c_str()) +
                           R"(}},"customMatch":{"name":"ip","typedConfig":{)" +
                           typed("xds.type.matcher.v3.IPMatcher") + "}}}";
  return config::decode_listener_json(R"({"name":"main_internal","filterChains":[)" + chain +
                                      R"(],"filterChainMatcher":{"onNoMatch":)" + action +
                                      R"(,"matcherTree":)" + tree + "}}");
}

TEST_CASE("what of a log's configuration is honoured, and what is named instead") {
  const std::string loggers = "envoy.extensions.access_loggers.";
  const std::string file =
      R"({"name":"f","typedConfig":{)" + typed((loggers + "file.v3.FileAccessLog").c_str());
  const std::string cel = R"("filter":{"extensionFilter":{"name":"cel","typedConfig":{)" +
                          typed((loggers + "filters.cel.v3.ExpressionFilter").c_str()) +
                          R"(,"expression":")";
  const std::string format = file + R"(,"path":"/dev/stdout","logFormat":{"textFormatSource":{)";
  const std::string out = file + R"(,"path":"/dev/stdout"})";
  const struct {
    std::string log;
    std::size_t logs, filters;
    const char* noted;
  } rows[] = {
      {out + "}", 1, 0, nullptr},
      {file + R"(,"path":"/etc/passwd"}})", 0, 0, "/etc/passwd"},
      {out + "," + cel + R"(response.code >= 400 && response.code != 404"}}}})", 1, 1, nullptr},
      {out + "," + cel + R"(connection.mtls"}}}})", 1, 0, "connection.mtls"},
      {file +
           R"(,"path":"/dev/stdout","logFormat":{"textFormatSource":{"inlineString":"%NEW%"}}}})",
       1, 0, "%NEW%"},
      {format + R"("inlineString":"50%"}}}})", 1, 0, "not a format"},
  };
  for (const auto& row : rows) {
    INFO(row.log);
    const auto decoded = listener(row.log);
    INFO(decoded.problem);
    REQUIRE(decoded.value.has_value());
    REQUIRE(decoded.value->direct.tcp != nullptr);
    const auto& logs = decoded.value->direct.tcp->tcp->access_logs;
    REQUIRE(logs.size() == row.logs);
    if (!logs.empty()) CHECK(logs[0].filters.size() == row.filters);
    std::string notes;
    for (const auto& note : decoded.not_honoured) notes += note.path + "\n";
    INFO(notes);
    CHECK(notes.empty() == (row.noted == nullptr));
    if (row.noted != nullptr) CHECK(notes.contains(row.noted));
  }
}

TEST_CASE("a chain's own logs are written in place of the default, and routes are counted") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  telemetry::Metrics metrics;
  Stats stats(metrics);
  std::string written(4096, '\0');
  {
    telemetry::LogSink sink(ends[1]);
    Stats::Shard& shard = stats.add_shard(nullptr, &sink, false);
    Told told;
    std::vector<AccessLog> logs = {{.format = format("one")}, {.format = format("two")}};
    told.record.logs = &logs;
    shard.record(told.caller, told.record, std::chrono::milliseconds(3));
    logs.clear();  // no log configured, and no default: nothing
    shard.record(told.caller, told.record, std::chrono::milliseconds(30));
  }
  close(ends[1]);
  written.resize(static_cast<std::size_t>(read(ends[0], written.data(), written.size())));
  close(ends[0]);
  CHECK(written == "one\ntwo\n");
  const std::string series =
      "weft_waypoint_route_duration_milliseconds_bucket{destination_service=\"web.shop\","
      "route=\"r\",le=\"5.0\"} 1\n";
  CHECK(metrics.render().contains(series));
  CHECK(metrics.render().contains("istio_requests_total{"));
  // What nobody counts any more is forgotten.
  using namespace std::chrono_literals;
  stats.evict(1s);
  stats.evict(1h);
  CHECK_FALSE(metrics.render().contains("route=\"r\""));
  CHECK_FALSE(metrics.render().contains("istio_requests_total{"));
}

}  // namespace
}  // namespace mesh::waypoint
