#include "mesh/manifest/mesh_config.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::manifest {
namespace {

constexpr const char* kBoth = R"(
accessLogFile: /dev/stdout
extensionProviders:
- name: otel
  opentelemetry: {service: otel.infra.svc.cluster.local, port: 4317}
- name: one
  envoyExtAuthzGrpc:
    service: infra/authz.infra.svc.cluster.local
    port: 9000
    timeout: 2s
    failOpen: true
    statusOnError: "503"
    clearRouteCache: true
    includeRequestBodyInCheck: {maxRequestBytes: 1024, allowPartialMessage: true}
- name: two
  envoyExtAuthzHttp:
    service: authz.infra.svc.cluster.local
    port: 8000
    pathPrefix: /check
    includeRequestHeadersInCheck: [X-User, x-a*]
    includeAdditionalHeadersInCheck: {x-from: mesh}
    headersToUpstreamOnAllow: [x-authz]
    headersToDownstreamOnAllow: [x-checked]
    headersToDownstreamOnDeny: ["*"]
)";

TEST_CASE("a provider that is no map is a problem, and nothing else") {
  for (const char* text : {"extensionProviders: [text]", "extensionProviders: [[a, b]]",
                           "extensionProviders: [null]", "extensionProviders: text"}) {
    INFO(text);
    CHECK_FALSE(parse_mesh_config("mesh.yaml", text).problems.empty());
  }
}

TEST_CASE("authorizers of a mesh configuration") {
  const ParsedMeshConfig parsed = parse_mesh_config("mesh.yaml", kBoth);
  REQUIRE(parsed.problems.empty());
  REQUIRE(parsed.config.authorizers.size() == 2);
  const AuthzProvider& one = *parsed.config.authorizer("one");
  CHECK(one.grpc);
  CHECK(one.ns == "infra");
  CHECK(one.host == "authz.infra.svc.cluster.local");
  CHECK(one.port == 9000);
  CHECK(one.timeout == std::chrono::seconds(2));
  CHECK(one.fail_open);
  CHECK(one.status_on_error == 503);
  CHECK(one.clear_route_cache);
  REQUIRE(one.body);
  CHECK(one.body->max_bytes == 1024);
  CHECK(one.body->allow_partial);
  const AuthzProvider& two = *parsed.config.authorizer("two");
  CHECK_FALSE(two.grpc);
  CHECK(two.timeout == std::chrono::seconds(600));
  CHECK_FALSE(two.fail_open);
  CHECK(two.status_on_error == 403);
  CHECK(two.path_prefix == "/check");
  CHECK(two.request_headers == std::vector<std::string>{"x-user", "x-a*"});
  CHECK(two.upstream_headers == std::vector<std::string>{"x-authz"});
  CHECK(two.client_headers_on_allow == std::vector<std::string>{"x-checked"});
  CHECK(two.client_headers_on_deny == std::vector<std::string>{"*"});
  CHECK(parsed.config.authorizer("otel") == nullptr);
}

TEST_CASE("who counts, and who sees requests, of a mesh configuration") {
  const ParsedMeshConfig parsed = parse_mesh_config("m.yaml", R"(
extensionProviders:
- {name: usual, weftRateLimitGrpc: {service: h, port: 1, domain: d}}
- name: limits
  weftRateLimitGrpc: {service: n/h, port: 8081, domain: shop, timeout: 1s, failOpen: true}
- {name: seen, weftExtProcGrpc: {service: h, port: 1}}
- name: edit
  weftExtProcGrpc:
    service: n/h
    port: 9000
    messageTimeout: 1s
    failOpen: true
    allowModeOverride: true
    processingMode:
      requestHeaderMode: SKIP
      requestBodyMode: BUFFERED_PARTIAL
      requestTrailerMode: SEND
      responseHeaderMode: SEND
      responseBodyMode: STREAMED
      responseTrailerMode: SKIP
)");
  REQUIRE(parsed.problems.empty());
  const LimitProvider& usual = *parsed.config.limiter("usual");
  CHECK((usual.timeout == std::chrono::milliseconds(20) && !usual.fail_open));
  const LimitProvider& limits = *parsed.config.limiter("limits");
  CHECK((limits.ns == "n" && limits.host == "h" && limits.port == 8081));
  CHECK((limits.domain == "shop" && limits.fail_open));
  CHECK(limits.timeout == std::chrono::seconds(1));
  using Body = ProcessorProvider::Body;
  const ProcessorProvider& seen = *parsed.config.processor("seen");
  CHECK((seen.message_timeout == std::chrono::milliseconds(200) && !seen.fail_open));
  CHECK_FALSE(seen.allow_mode_override);
  for (const auto& side : {seen.request, seen.response}) {
    CHECK((side.headers && side.body == Body::kNone && !side.trailers));
  }
  const ProcessorProvider& edit = *parsed.config.processor("edit");
  CHECK((edit.fail_open && edit.allow_mode_override && edit.ns == "n" && edit.port == 9000));
  CHECK(edit.message_timeout == std::chrono::seconds(1));
  CHECK((!edit.request.headers && edit.request.body == Body::kBufferedPartial));
  CHECK((edit.request.trailers && edit.response.headers && !edit.response.trailers));
  CHECK(edit.response.body == Body::kStreamed);
  CHECK((parsed.config.limiter("edit") == nullptr && parsed.config.processor("limits") == nullptr));
  CHECK(parsed.config.why_not("edit", "limits") == "provider edit: not one of limits");
}

TEST_CASE("one who counts or sees and cannot be honoured is an error that names its field") {
  const std::string longest(257, 'd');
  const std::pair<std::string, const char*> kCases[] = {
      {"weftRateLimitGrpc: {port: 1, domain: d}", "service"},
      {"weftRateLimitGrpc: {service: h, domain: d}", "port"},
      {"weftRateLimitGrpc: {service: h, port: 1}", "domain"},
      {"weftRateLimitGrpc: {service: h, port: 1, domain: " + longest + "}", "domain"},
      {"weftRateLimitGrpc: {service: h, port: 1, domain: d, timeout: 0s}", "timeout"},
      {"weftRateLimitGrpc: {service: h, port: 1, domain: d, timeout: 11m}", "timeout"},
      {"weftRateLimitGrpc: {service: h, port: 1, domain: d, failOpen: maybe}", "failOpen"},
      {"weftRateLimitGrpc: {service: h, port: 1, domain: d, failureModeDeny: true}",
       "failureModeDeny"},
      {"weftExtProcGrpc: {port: 1}", "service"},
      {"weftExtProcGrpc: {service: h, port: 1, messageTimeout: 0s}", "messageTimeout"},
      {"weftExtProcGrpc: {service: h, port: 1, messageTimeout: 11m}", "messageTimeout"},
      {"weftExtProcGrpc: {service: h, port: 1, timeout: 1s}", "timeout"},
      {"weftExtProcGrpc: {service: h, port: 1, processingMode: {bodyMode: NONE}}", "bodyMode"},
      {"weftExtProcGrpc: {service: h, port: 1, processingMode: {requestHeaderMode: NONE}}",
       "requestHeaderMode"},
      {"weftExtProcGrpc: {service: h, port: 1, processingMode: {responseBodyMode: "
       "FULL_DUPLEX_STREAMED}}",
       "responseBodyMode"},
      {"weftExtProcGrpc: {service: h, port: 1, processingMode: [NONE]}", "processingMode"}};
  for (const auto& [text, field] : kCases) {
    INFO(text);
    const ParsedMeshConfig parsed =
        parse_mesh_config("m.yaml", "extensionProviders:\n- name: a\n  " + text + "\n");
    REQUIRE_FALSE(parsed.problems.empty());
    CHECK(parsed.problems[0].to_string().contains(field));
  }
}

TEST_CASE("a mesh configuration may lie in its ConfigMap, or be empty") {
  const ParsedMeshConfig parsed = parse_mesh_config("m.yaml",
                                                    "apiVersion: v1\nkind: ConfigMap\nmetadata: "
                                                    "{name: istio}\ndata:\n  mesh: |\n"
                                                    "    extensionProviders:\n    - name: a\n"
                                                    "      envoyExtAuthzGrpc: {service: h, "
                                                    "port: 1}\n");
  CHECK(parsed.problems.empty());
  CHECK(parsed.config.authorizer("a") != nullptr);
  CHECK(parse_mesh_config("m.yaml", "").problems.empty());
}

TEST_CASE("an authorizer that cannot be honoured is an error that names its field") {
  const std::pair<const char*, const char*> kCases[] = {
      {"envoyExtAuthzGrpc: {port: 1}", "service"},
      {"envoyExtAuthzGrpc: {service: h}", "port"},
      {"envoyExtAuthzGrpc: {service: h, port: 1, timeout: 0s}", "timeout"},
      {"envoyExtAuthzGrpc: {service: h, port: 1, timeout: 1h}", "timeout"},
      {"envoyExtAuthzGrpc: {service: h, port: 1, statusOnError: \"9\"}", "statusOnError"},
      {"envoyExtAuthzGrpc: {service: h, port: 1, pathPrefix: /a}", "pathPrefix"},
      {"envoyExtAuthzHttp: {service: h, port: 1, pathPrefix: a}", "pathPrefix"},
      {"envoyExtAuthzHttp: {service: h, port: 1, headersToUpstreamOnAllow: [a*b]}",
       "headersToUpstreamOnAllow"},
      {"envoyExtAuthzHttp: {service: h, port: 1, includeRequestBodyInCheck: {}}",
       "maxRequestBytes"}};
  for (const auto& [text, field] : kCases) {
    INFO(text);
    const ParsedMeshConfig parsed = parse_mesh_config(
        "m.yaml", "extensionProviders:\n- name: a\n  " + std::string(text) + "\n");
    REQUIRE_FALSE(parsed.problems.empty());
    CHECK(parsed.problems[0].to_string().contains(field));
  }
  CHECK_FALSE(parse_mesh_config("m.yaml", "a: [").problems.empty());
  const ParsedMeshConfig twice = parse_mesh_config(
      "m.yaml",
      "extensionProviders:\n- {name: a, envoyExtAuthzGrpc: {service: h, port: 1}}\n"
      "- {name: a, envoyExtAuthzHttp: {service: h, port: 2}}\n");
  CHECK(twice.problems.size() == 1);
}

}  // namespace
}  // namespace mesh::manifest
