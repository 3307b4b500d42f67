// Telemetry: what waypoints are told to trace and log, whose word counts, and what is said about
// the rest.

#include <fstream>
#include <sstream>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "control/status.h"
#include "control/telemetry/log_format.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

using nlohmann::json;

constexpr const char* kProviders = R"(
extensionProviders:
- name: otel
  opentelemetry: {service: obs/otel.obs.svc.cluster.local, port: 4317, maxTagLength: 64}
- name: web-otel
  opentelemetry:
    service: otel.obs.svc.cluster.local
    port: 4318
    http: {path: /v1/traces, timeout: 3s}
- {name: wrong-port, opentelemetry: {service: otel.obs.svc.cluster.local, port: 4319}}
- {name: gone, opentelemetry: {service: nobody.obs.svc.cluster.local, port: 4317}}
- {name: short, envoyFileAccessLog: {logFormat: {text: "%RESPONSE_CODE% %REQ(X-A?X-B):5%"}}}
- name: json
  envoyFileAccessLog: {logFormat: {labels: {code: "%RESPONSE_CODE%"}}, omitEmptyValues: true}
- {name: odd, envoyFileAccessLog: {logFormat: {text: "%NOBODY_KNOWS%"}}}
- {name: file, envoyFileAccessLog: {path: /var/log/a}}
- {name: als, envoyOtelAls: {service: otel.obs.svc.cluster.local, port: 4317}}
)";
constexpr const char* kCollector = R"(
apiVersion: v1
kind: Service
metadata: {name: otel, namespace: obs}
spec:
  clusterIP: 10.96.7.7
  selector: {app: otel}
  ports: [{name: grpc-otlp, port: 4317}, {name: http-otlp, port: 4318}, {name: odd, port: 4319}]
)";

std::string telemetry(const std::string& name, const std::string& ns, const std::string& spec,
                      const std::string& created = "") {
  return "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: " + name +
         ", namespace: " + ns +
         (created.empty() ? "" : ", creationTimestamp: \"" + created + "\"") + "}\nspec: " + spec +
         "\n";
}

struct Translated {
  json http = json::object();  // of the chain of Service web
  json tcp = json::object();   // of Service db's
  std::vector<std::string> notes;
  std::map<std::string, StatusCondition> statuses;  // of Telemetry, by name
};

std::string world_text() {
  const std::ifstream file(std::string(GOLDEN_FOLDER) + "/envoy/tcp-service.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str() + "\n---\n" + kCollector;
}

void find_chains(const json& listener, Translated& made) {
  for (const json& chain : listener["filterChains"]) {
    const std::string name = chain.value("name", "");
    for (const json& filter : chain["filters"]) {
      const json& config = filter["typedConfig"];
      if (name == "inbound-vip|80|http|web.shop.svc.cluster.local" &&
          config.contains("routeConfig")) {
        made.http = config;
      }
      if (name == "inbound-vip|5432|tcp|db.shop.svc.cluster.local" && config.contains("cluster")) {
        made.tcp = config;
      }
    }
  }
  REQUIRE_FALSE(made.http.empty());
  REQUIRE_FALSE(made.tcp.empty());
}

Translated translate(const std::string& objects, const std::string& more_config = {}) {
  Folder folder;
  const manifest::Parsed written = manifest::parse("m.yaml", world_text() + "\n" + objects);
  for (const manifest::Problem& problem : written.problems) UNSCOPED_INFO(problem.to_string());
  folder.put("m.yaml", written);
  const Settings settings;
  auto parsed = manifest::parse_mesh_config("mesh.yaml", kProviders + more_config);
  REQUIRE(parsed.problems.empty());
  const World world(folder.settle(),
                    std::make_shared<manifest::MeshConfig>(std::move(parsed.config)));
  const WaypointConfig config = translate_for_tests(world, settings);
  Translated made;
  const std::string type(xds::message_of(type_url(EnvoyType::kListener)));
  const std::string& bytes = config.of(EnvoyType::kListener).at("main_internal");
  CHECK(xds::unknown_fields(type, bytes).empty());
  find_chains(json::parse(xds::to_json(type, bytes)), made);
  for (const PolicyNote& note : config.notes) {
    made.notes.push_back(note.object.to_string() + ": " + note.text);
  }
  for (const auto* one : world.all<manifest::Telemetry>()) {
    made.statuses[one->metadata.name] = telemetry_status(world, settings, *one);
  }
  return made;
}

const json& provider_of(const Translated& made) {
  return made.http.at("tracing").at("provider").at("typedConfig");
}

std::string condition_of(const json& log) {
  return log.at("filter").at("extensionFilter").at("typedConfig").at("expression");
}

TEST_CASE("a Telemetry sends spans to its collector, over gRPC or HTTP") {
  const Translated made = translate(telemetry("t", "shop", R"(
  tracing:
  - providers: [{name: otel}]
    randomSamplingPercentage: 25
    customTags:
      env: {literal: {value: prod}}
      who: {header: {name: x-user, defaultValue: nobody}})"));
  CHECK(made.notes.empty());
  CHECK(made.statuses.at("t").holds);
  const json& tracing = made.http.at("tracing");
  CHECK(tracing.at("randomSampling").at("value") == 25);
  CHECK(tracing.at("maxPathTagLength") == 64);
  CHECK(provider_of(made).at("serviceName") == "waypoint.shop");
  CHECK(provider_of(made).at("grpcService").at("envoyGrpc").at("clusterName") ==
        "outbound|4317||otel.obs.svc.cluster.local");
  CHECK(tracing.at("customTags").at(0).at("literal").at("value") == "prod");
  CHECK(tracing.at("customTags").at(1).at("requestHeader").at("defaultValue") == "nobody");
  CHECK_FALSE(made.http.contains("accessLog"));

  const Translated http =
      translate(telemetry("t", "shop", "{tracing: [{providers: [{name: web-otel}]}]}"));
  const json& uri = provider_of(http).at("httpService").at("httpUri");
  CHECK(uri.at("uri") == "http://otel.obs.svc.cluster.local:4318/v1/traces");
  CHECK(uri.at("cluster") == "outbound|4318||otel.obs.svc.cluster.local");
  CHECK(http.http.at("tracing").at("randomSampling").at("value") == 1);
}

TEST_CASE("a collector that is not there is noted, and nothing is traced") {
  for (const auto& [provider, why] : std::map<std::string, std::string>{
           {"gone", "there is no service nobody.obs"}, {"wrong-port", "not declared as gRPC"}}) {
    INFO(provider);
    const Translated made =
        translate(telemetry("t", "shop", "{tracing: [{providers: [{name: " + provider + "}]}]}"));
    CHECK_FALSE(made.http.contains("tracing"));
    REQUIRE_FALSE(made.notes.empty());
    CHECK(made.notes.front().find("Telemetry shop/t: tracing: provider " + provider) == 0);
    CHECK(made.notes.front().find(why) != std::string::npos);
  }
}

TEST_CASE("the nearer scope wins, field by field") {
  const std::string wide =
      telemetry("mesh", "istio-system",
                "{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 10}]}");
  const std::string ns = telemetry("ns", "shop", "{tracing: [{randomSamplingPercentage: 20}]}");
  const std::string gateway =
      telemetry("gw", "shop",
                "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}], "
                "tracing: [{randomSamplingPercentage: 30}]}");
  const std::string service = telemetry("svc", "shop",
                                        "{targetRefs: [{group: '', kind: Service, name: web}], "
                                        "tracing: [{randomSamplingPercentage: 40}]}");
  const auto sampling = [](const Translated& made) {
    return made.http.at("tracing").at("randomSampling").at("value").get<double>();
  };
  CHECK(sampling(translate(wide)) == 10);
  CHECK(sampling(translate(wide + ns)) == 20);
  CHECK(sampling(translate(wide + ns + gateway)) == 30);
  CHECK(sampling(translate(wide + ns + gateway + service)) == 40);
  const std::string other = telemetry("svc", "shop",
                                      "{targetRefs: [{group: '', kind: Service, name: db}], "
                                      "tracing: [{randomSamplingPercentage: 50}]}");
  CHECK(sampling(translate(wide + other)) == 10);
  CHECK_FALSE(translate(ns).http.contains("tracing"));  // nobody to send to
  const std::string off = telemetry("quiet", "shop", "{tracing: [{disableSpanReporting: true}]}");
  CHECK_FALSE(translate(wide + off).http.contains("tracing"));
  const std::string client =
      telemetry("c", "shop", "{tracing: [{match: {mode: CLIENT}, randomSamplingPercentage: 60}]}");
  CHECK(sampling(translate(wide + client)) == 10);
  CHECK(sampling(translate("", "defaultProviders: {tracing: [otel]}\n")) == 1);
}

TEST_CASE("of two for one scope the older counts, and the other says so") {
  const Translated made =
      translate(telemetry("a", "shop",
                          "{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 1}]}",
                          "2026-02-01T00:00:00Z") +
                telemetry("b", "shop",
                          "{tracing: [{providers: [{name: otel}], randomSamplingPercentage: 2}]}",
                          "2026-01-01T00:00:00Z"));
  CHECK(made.http.at("tracing").at("randomSampling").at("value") == 2);
  CHECK(made.statuses.at("b").holds);
  CHECK_FALSE(made.statuses.at("a").holds);
  CHECK(made.statuses.at("a").reason == "Conflicted");
  CHECK(made.statuses.at("a").message.find("shop/b") != std::string::npos);
}

TEST_CASE("logs go where they are asked for, as they are asked for") {
  const Translated made = translate(telemetry("t", "shop", R"(
  accessLogging:
  - providers: [{name: short}, {name: json}]
    filter: {expression: "response.code >= 400 || request.method == 'PUT'"}
  - providers: [{name: envoy}])"));
  CHECK(made.statuses.at("t").message == "for every waypoint of the namespace");
  for (const json* chain : {&made.http, &made.tcp}) {
    const json& logs = chain->at("accessLog");
    REQUIRE(logs.size() == 3);
    CHECK(logs[0]["typedConfig"]["logFormat"]["textFormatSource"]["inlineString"] ==
          "%RESPONSE_CODE% %REQ(X-A?X-B):5%\n");
    CHECK(condition_of(logs[0]) == "response.code >= 400 || request.method == 'PUT'");
    CHECK(logs[1]["typedConfig"]["logFormat"]["jsonFormat"]["code"] == "%RESPONSE_CODE%");
    CHECK(logs[1]["typedConfig"]["logFormat"]["omitEmptyValues"] == true);
    CHECK_FALSE(logs[2].contains("filter"));
    CHECK(logs[2]["typedConfig"]["path"] == "/dev/stdout");
  }
}

TEST_CASE("logs that are disabled are none, and those of the mesh come unasked") {
  const std::string off = telemetry("quiet", "shop", "{accessLogging: [{disabled: true}]}");
  for (const char* config : {"", "accessLogFile: /dev/stdout\n"}) {
    INFO(config);
    const Translated made = translate(off, config);
    REQUIRE(made.http.at("accessLog").size() == 1);
    const json& never = made.http.at("accessLog")[0].at("filter").at("statusCodeFilter");
    CHECK(never.at("comparison").at("value").at("defaultValue") == 1000);
  }
  CHECK(translate("", "accessLogFile: /dev/stdout\n").http.at("accessLog").size() == 1);
  CHECK_FALSE(translate("").http.contains("accessLog"));
  // Nobody is named, and yet something is asked for.
  const Translated asked = translate(
      telemetry("t", "shop", "{accessLogging: [{filter: {expression: 'response.code > 1'}}]}"));
  CHECK(condition_of(asked.http.at("accessLog")[0]) == "response.code > 1");
  // A service of its own against the namespace's.
  const Translated on =
      translate(off + telemetry("loud", "shop",
                                "{targetRefs: [{group: '', kind: Service, name: web}], "
                                "accessLogging: [{providers: [{name: json}]}]}"));
  CHECK_FALSE(on.http.at("accessLog")[0].contains("filter"));
  CHECK(on.tcp.at("accessLog")[0].contains("filter"));
}

TEST_CASE("what is not done is refused by name, and costs nothing else") {
  const std::pair<const char*, const char*> kCases[] = {
      {"{accessLogging: [{providers: [{name: als}]}]}", "envoyOtelAls is not supported"},
      {"{accessLogging: [{providers: [{name: nobody}]}]}", "provider nobody is not known"},
      {"{accessLogging: [{providers: [{name: odd}]}]}", "%NOBODY_KNOWS% is not supported"},
      {"{accessLogging: [{providers: [{name: file}]}]}", "not to /var/log/a"},
      {"{accessLogging: [{providers: [{name: envoy}], filter: {expression: connection.mtls}}]}",
       "connection.mtls"},
      {"{tracing: [{providers: [{name: json}]}]}", "not one of traces"},
      {"{tracing: [{providers: [{name: otel}], customTags: {a: {environment: {name: B}}}}]}",
       "a: environment is not supported"},
      {"{tracing: [{providers: [{name: otel}], customTags: {a: {formatter: {value: '%B%'}}}}]}",
       "a: formatter is not supported"},
      {"{tracing: [{enableIstioTags: false}]}", "tracing.enableIstioTags"},
      {"{tracing: [{providers: [{name: otel}, {name: web-otel}]}]}", "to otel alone"},
      {"{metrics: [{overrides: [{disabled: true}]}]}", "metrics.overrides"},
      {"{metrics: [{providers: [{name: stackdriver}]}]}", "stackdriver"},
      {"{selector: {matchLabels: {a: b}}, tracing: [{providers: [{name: otel}]}]}", "targetRefs"},
      {"{targetRefs: [{group: '', kind: Service, name: nobody}]}",
       "there is no Service shop/nobody"},
  };
  for (const auto& [spec, why] : kCases) {
    INFO(spec);
    const Translated made = translate(telemetry("t", "shop", spec));
    CHECK(made.statuses.at("t").reason != "Accepted");
    CHECK(made.statuses.at("t").message.find(why) != std::string::npos);
  }
  // A condition that nobody can ask makes the log say more.
  const Translated wide = translate(telemetry(
      "t", "shop",
      "{accessLogging: [{providers: [{name: envoy}], filter: {expression: connection.mtls}}]}"));
  CHECK_FALSE(wide.http.at("accessLog")[0].contains("filter"));
  CHECK_FALSE(translate(telemetry("t", "shop", "{accessLogging: [{providers: [{name: odd}]}]}"))
                  .http.contains("accessLog"));
}

TEST_CASE("a Telemetry that names somebody whom nobody knows is not accepted") {
  const auto status = [](const std::string& spec) {
    const StatusCondition said = translate(telemetry("t", "shop", spec)).statuses.at("t");
    return (said.holds ? "True " : "False ") + said.reason;
  };
  // The rest of it is in force all the same.
  const std::string both = "{accessLogging: [{providers: [{name: json}, {name: nobody}]}]}";
  CHECK(status(both) == "False UnsupportedValue");
  CHECK_FALSE(translate(telemetry("t", "shop", both)).http.at("accessLog").empty());
  CHECK(status("{tracing: [{providers: [{name: nobody}]}]}") == "False UnsupportedValue");
  CHECK(status("{accessLogging: [{providers: [{name: als}]}]}") == "False UnsupportedValue");
  CHECK(status("{tracing: [{providers: [{name: otel}]}]}") == "True Accepted");
  CHECK(status("{tracing: [{providers: [{name: otel}, {name: web-otel}]}]}") ==
        "True PartiallyInvalid");
  CHECK(status("{metrics: [{providers: [{name: prometheus}]}]}") == "True Accepted");
  CHECK(status("{metrics: [{providers: [{name: prometheus}, {name: stackdriver}]}]}") ==
        "False UnsupportedValue");
  CHECK(status("{metrics: [{reportingInterval: 5s}]}") == "True PartiallyInvalid");
  // Nothing is asked of them here.
  CHECK(status("{tracing: [{match: {mode: CLIENT}, providers: [{name: nobody}]}]}") ==
        "True Accepted");
}

TEST_CASE("formats that Envoy would refuse are told from the others") {
  for (const char* good : {"", "a%%b", "%RESPONSE_CODE%", "%REQ(:METHOD)%", "%REQ(A?B):10%",
                           "%START_TIME(%Y/%m/%d)% x", "%GRPC_STATUS(NUMBER)%",
                           "%PROTOCOL%%DURATION%", "%DYNAMIC_METADATA(a.b:c_d:e):9%"}) {
    INFO(good);
    CHECK(log_format_problem(good) == "");
  }
  for (const char* bad :
       {"%", "%RESPONSE_CODE", "%ROTOCOL%", "%REQ%", "%REQ()%", "%REQ(a b)%", "%PROTOCOL(a)%",
        "%REQ(A):x%", "%START_TIME(%", "%CEL(a)%", "%GRPC_STATUS(A)%", "%DYNAMIC_METADATA%",
        "%DYNAMIC_METADATA(a)%", "%DYNAMIC_METADATA(a:)%", "%DYNAMIC_METADATA(a::b)%"}) {
    INFO(bad);
    CHECK(log_format_problem(bad) != "");
  }
}

}  // namespace
}  // namespace mesh::control
