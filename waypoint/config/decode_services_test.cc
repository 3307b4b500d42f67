// Filters that ask services: what is honoured, and what is refused by its name.

#include <catch2/catch_test_macros.hpp>

#include "waypoint/config/decode.h"

namespace mesh::waypoint::config {
namespace {

Decoded<Extension> decoded(const std::string& type, const std::string& fields) {
  return decode_extension_json(
      R"({"name":"a","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.http.)" +
      type + "\"" + (fields.empty() ? "" : ",") + fields + "}}");
}
template <class T>
T made(const std::string& type, const std::string& fields) {
  const auto got = decoded(type, fields);
  INFO(got.problem);
  REQUIRE(got.problem.empty());
  REQUIRE(got.value.has_value());
  return std::get<T>(got.value->filter.settings);
}
std::string problem(const std::string& type, const std::string& fields) {
  return decoded(type, fields).problem;
}

constexpr const char* kAuthz = "ext_authz.v3.ExtAuthz";
constexpr const char* kProc = "ext_proc.v3.ExternalProcessor";
constexpr const char* kLimit = "ratelimit.v3.RateLimit";
const std::string kGrpc = R"("grpcService":{"envoyGrpc":{"clusterName":"c"}})";
const std::string kLimitService =
    R"("domain":"d","rateLimitService":{"grpcService":{"envoyGrpc":{"clusterName":"c"}}})";

TEST_CASE("ext_authz, every field of it") {
  const auto authz =
      made<ExtAuthz>(kAuthz, kGrpc + R"(,"failureModeAllow":true,"failureModeAllowHeaderAdd":true,
    "withRequestBody":{"maxRequestBytes":7,"allowPartialMessage":true,"packAsBytes":true},
    "clearRouteCache":true,"statusOnError":{"code":"ServiceUnavailable"},
    "metadataContextNamespaces":["a","b"],"filterEnabled":{"defaultValue":{"numerator":5}},
    "denyAtDisable":{"defaultValue":true},"disallowedHeaders":{"patterns":[{"exact":"x"}]})");
  CHECK(authz.cluster == "c");
  CHECK(authz.timeout.count() == 200);
  CHECK((authz.failure_mode_allow && authz.failure_mode_allow_header));
  CHECK((authz.max_request_bytes == 7 && authz.allow_partial_message && authz.pack_as_bytes));
  CHECK(authz.clear_route_cache);
  CHECK(authz.status_on_error == 503);
  CHECK(authz.metadata_namespaces.size() == 2);
  CHECK(authz.enabled == Fraction{.numerator = 5, .denominator = 100});
  CHECK(authz.deny_at_disable);
  CHECK(authz.disallowed_headers.size() == 1);
  const auto http = made<ExtAuthz>(kAuthz, R"("httpService":{"serverUri":{"uri":"http://a",
    "cluster":"c","timeout":"1s"},"pathPrefix":"/p","authorizationResponse":{
    "dynamicMetadataFromHeaders":{"patterns":[{"exact":"x"}]}}})");
  CHECK_FALSE(http.grpc);
  CHECK(http.timeout.count() == 1000);
  CHECK(http.metadata_from_headers.size() == 1);
}

TEST_CASE("what is not honoured of a filter that asks is refused by its name") {
  const std::pair<const char*, const char*> kAuthzCases[] = {
      {R"("includePeerCertificate":true)", "includePeerCertificate"},
      {R"("includeTlsSession":true)", "includeTlsSession"},
      {R"("typedMetadataContextNamespaces":["a"])", "typedMetadataContextNamespaces"},
      {R"("bootstrapMetadataLabelsKey":"a")", "bootstrapMetadataLabelsKey"},
      {R"("withRequestBody":{})", "a body of no bytes"},
      {R"("filterEnabled":{})", "a fraction without a value"}};
  for (const auto& [field, named] : kAuthzCases) {
    INFO(field);
    CHECK(problem(kAuthz, kGrpc + "," + field).contains(named));
  }
  const std::pair<const char*, const char*> kProcCases[] = {
      {R"("observabilityMode":true)", "observabilityMode"},
      {R"("sendBodyWithoutWaitingForHeaderResponse":true)", "sendBodyWithoutWaiting"},
      {R"("requestAttributes":["a"])", "requestAttributes"},
      {R"("processingMode":{"requestBodyMode":"FULL_DUPLEX_STREAMED"})", "requestBodyMode"},
      {R"("processingMode":{"responseBodyMode":"GRPC"})", "responseBodyMode"}};
  for (const auto& [field, named] : kProcCases) {
    INFO(field);
    CHECK(problem(kProc, kGrpc + "," + field).contains(named));
  }
  CHECK(problem(kLimit, kLimitService + R"(,"requestType":"internal")").contains("requestType"));
  CHECK(problem(kLimit, R"("domain":"d")").contains("no service"));
  CHECK(problem(kAuthz, "").contains("no service"));
}

TEST_CASE("ext_proc and the global rate limit, every field of them") {
  const auto proc = made<ExtProc>(kProc, kGrpc + R"(,"failureModeAllow":true,
    "messageTimeout":"1s","maxMessageTimeout":"2s","allowModeOverride":true,
    "disableImmediateResponse":true,"routeCacheAction":"CLEAR","processingMode":{
    "requestHeaderMode":"SKIP","requestBodyMode":"STREAMED","responseBodyMode":"BUFFERED_PARTIAL",
    "responseTrailerMode":"SEND"},"mutationRules":{"allowAllRouting":true,"disallowIsError":true,
    "allowExpression":{"regex":"x-.*"}},"forwardRules":{"allowedHeaders":{"patterns":[
    {"exact":"a"}]}})");
  CHECK((proc.failure_mode_allow && proc.allow_mode_override && proc.disable_immediate_response));
  CHECK(proc.message_timeout.count() == 1000);
  CHECK(proc.max_message_timeout.count() == 2000);
  CHECK(proc.route_cache == ExtProc::RouteCache::kClear);
  CHECK(proc.request_header == ExtProc::Send::kSkip);
  CHECK(proc.request_body == ExtProc::Body::kStreamed);
  CHECK(proc.response_body == ExtProc::Body::kBufferedPartial);
  CHECK(proc.response_trailer == ExtProc::Send::kSend);
  CHECK((proc.rules.allow_routing && proc.rules.disallow_is_error && proc.rules.allow_expression));
  CHECK(proc.allowed_headers.size() == 1);
  const auto limit = made<RateLimitService>(kLimit, kLimitService + R"(,"timeout":"1s",
    "failureModeDeny":true,"rateLimitedAsResourceExhausted":true,"stage":2,
    "enableXRatelimitHeaders":"DRAFT_VERSION_03","disableXEnvoyRatelimitedHeader":true,
    "rateLimitedStatus":{"code":"ServiceUnavailable"},"statusOnError":{"code":"BadGateway"},
    "responseHeadersToAdd":[{"header":{"key":"x-a","value":"1"}}])");
  CHECK(limit.timeout.count() == 1000);
  CHECK((limit.failure_mode_deny && limit.grpc_resource_exhausted && limit.ratelimit_headers));
  CHECK(limit.disable_x_envoy_ratelimited);
  CHECK(limit.stage == 2);
  CHECK(limit.status == 503);
  CHECK(limit.status_on_error == 502);
  CHECK(limit.response_headers.size() == 1);
}

}  // namespace
}  // namespace mesh::waypoint::config
