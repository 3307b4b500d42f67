#include <catch2/catch_test_macros.hpp>

#include "mesh/manifest/mesh_config.h"
#include "mesh/manifest/parse.h"

namespace mesh::manifest {
namespace {

std::string written(const std::string& spec) {
  return "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: "
         "shop}\n"
         "spec: " +
         spec + "\n";
}

std::string field_of(const std::string& spec) {
  const Parsed parsed = parse("t.yaml", written(spec));
  CHECK(parsed.objects.empty());
  return parsed.problems.empty() ? "" : parsed.problems.front().field;
}

TEST_CASE("a Telemetry is read whole") {
  const Parsed parsed = parse("t.yaml", written(R"(
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]
  tracing:
  - match: {mode: SERVER}
    providers: [{name: otel}]
    randomSamplingPercentage: 12.5
    disableSpanReporting: false
    enableIstioTags: false
    customTags:
      env: {literal: {value: prod}}
      user: {header: {name: x-user, defaultValue: nobody}}
      home: {environment: {name: HOME}}
  accessLogging:
  - providers: [{name: envoy}, {name: json}]
    filter: {expression: response.code >= 400}
  - match: {mode: CLIENT}
    disabled: true
  metrics:
  - providers: [{name: prometheus}]
    overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {x: {value: "'1'"}}}])"));
  REQUIRE(parsed.problems.empty());
  const auto& telemetry = std::get<Telemetry>(parsed.objects.at(0).object);
  CHECK(telemetry.targets.at(0).name == "waypoint");
  const TracingRule& tracing = telemetry.tracing.at(0);
  CHECK(tracing.mode == TelemetryMode::kServer);
  CHECK(tracing.providers == std::vector<std::string>{"otel"});
  CHECK(tracing.sampling == 12.5);
  CHECK(tracing.disabled == false);
  CHECK(tracing.unsupported == std::vector<std::string>{"enableIstioTags"});
  CHECK(tracing.tags.at("env").value == "prod");
  CHECK(tracing.tags.at("user").fallback == "nobody");
  CHECK(tracing.tags.at("home").source == TracingTag::Source::kEnvironment);
  CHECK(telemetry.logging.at(0).filter == "response.code >= 400");
  CHECK(telemetry.logging.at(1).mode == TelemetryMode::kClient);
  CHECK(telemetry.logging.at(1).disabled == true);
  CHECK(telemetry.metrics.at(0).has_overrides);
}

TEST_CASE("what of a Telemetry does not fit is an error that names its field") {
  CHECK(field_of("{tracing: [{sampling: 1}]}") == "spec.tracing[0].sampling");
  CHECK(field_of("{tracing: [{randomSamplingPercentage: 101}]}") ==
        "spec.tracing[0].randomSamplingPercentage");
  CHECK(field_of("{tracing: [{match: {mode: BOTH}}]}") == "spec.tracing[0].match.mode");
  CHECK(field_of("{tracing: [{customTags: {a: {}}}]}") == "spec.tracing[0].customTags.a.literal");
  CHECK(field_of("{accessLogging: [{filter: {expr: a}}]}") == "spec.accessLogging[0].filter.expr");
  CHECK(field_of("{accessLogging: [{providers: [{}]}]}") ==
        "spec.accessLogging[0].providers[0].name");
}

TEST_CASE("collectors and logs of a mesh configuration, and what is meant unasked") {
  const ParsedMeshConfig parsed = parse_mesh_config("m.yaml", R"(
accessLogFile: /dev/stdout
accessLogEncoding: JSON
defaultProviders: {tracing: [otel], metrics: [prometheus]}
extensionProviders:
- name: otel
  opentelemetry: {service: obs/otel.obs.svc.cluster.local, port: 4317, maxTagLength: 64}
- name: otel-http
  opentelemetry:
    service: otel.obs.svc.cluster.local
    port: 4318
    http: {path: v1/traces, timeout: 3s}
- name: tagged
  opentelemetry: {service: a, port: 1, http: {path: /, headers: [{name: a, value: b}]}}
- {name: resources, opentelemetry: {service: a, port: 1, resourceDetectors: {environment: {}}}}
- name: text
  envoyFileAccessLog: {path: /dev/stdout, logFormat: {text: "%RESPONSE_CODE%"}}
- name: json
  envoyFileAccessLog: {logFormat: {labels: {code: "%RESPONSE_CODE%"}}}
- name: nested
  envoyFileAccessLog: {logFormat: {labels: {code: {a: b}}}}
- {name: als, envoyOtelAls: {service: a, port: 1}}
)");
  REQUIRE(parsed.problems.empty());
  const MeshConfig& mesh = parsed.config;
  REQUIRE(mesh.tracer("otel") != nullptr);
  CHECK(mesh.tracer("otel")->ns == "obs");
  CHECK_FALSE(mesh.tracer("otel")->http);
  CHECK(mesh.tracer("otel")->max_tag_length == 64);
  CHECK(mesh.tracer("otel-http")->path == "/v1/traces");
  CHECK(mesh.tracer("otel-http")->timeout == std::chrono::seconds(3));
  CHECK(mesh.why_not("tagged", "traces").find("http.headers is not supported") !=
        std::string::npos);
  CHECK(mesh.why_not("resources", "traces").find("resourceDetectors") != std::string::npos);
  CHECK(mesh.logger("text")->text == "%RESPONSE_CODE%");
  CHECK(mesh.logger("json")->fields.at(0).second == "%RESPONSE_CODE%");
  CHECK(mesh.logger("nested") == nullptr);
  CHECK(mesh.why_not("als", "access logs") == "provider als: envoyOtelAls is not supported");
  CHECK(mesh.why_not("text", "traces") == "provider text: not one of traces");
  CHECK(mesh.why_not("none", "traces") == "provider none is not known");
  CHECK(mesh.default_tracing == std::vector<std::string>{"otel"});
  CHECK(mesh.default_logging == std::vector<std::string>{"envoy"});
  CHECK(mesh.logger("envoy")->fields.size() == 24);
  CHECK(MeshConfig().logger("envoy") != nullptr);
}

TEST_CASE("a collector or a log that cannot be read is an error") {
  for (const char* text :
       {"{name: a, opentelemetry: {service: a}}", "{name: a, opentelemetry: {port: 1}}",
        "{name: a, opentelemetry: {service: a, port: 1, http: {path: a b}}}",
        "{name: a, opentelemetry: {service: a, port: 1, grpc: {timeout: 2h}}}",
        "{name: a, opentelemetry: {service: a, port: 1, more: 1}}",
        "{name: a, envoyFileAccessLog: {logFormat: {json: a}}}"}) {
    INFO(text);
    CHECK(parse_mesh_config("m.yaml", "extensionProviders:\n- " + std::string(text) + "\n")
              .problems.size() > 0);
  }
  CHECK(parse_mesh_config("m.yaml", "accessLogEncoding: XML\n").problems.size() == 1);
  CHECK(parse_mesh_config("m.yaml", "accessLogEncoding: JSON\naccessLogFormat: \"[1]\"\n")
            .problems.size() == 1);
}

}  // namespace
}  // namespace mesh::manifest
