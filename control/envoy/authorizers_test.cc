// Policies of action CUSTOM: whom a waypoint is told to ask, and what it denies instead.

#include <fstream>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/authorizers.h"
#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

constexpr const char* kProviders = R"(
extensionProviders:
- name: ext-authz
  envoyExtAuthzGrpc:
    service: infra/authz.infra.svc.cluster.local
    port: 9000
    timeout: 2s
    failOpen: true
    statusOnError: "503"
    includeRequestBodyInCheck: {maxRequestBytes: 10, packAsBytes: true}
- name: ext-authz-http
  envoyExtAuthzHttp:
    service: authz.infra.svc.cluster.local
    port: 8000
    pathPrefix: /check
    includeAdditionalHeadersInCheck: {x-from: mesh}
    headersToDownstreamOnDeny: ["x-*"]
)";

struct Translated {
  std::string main;  // the listener, as JSON
  std::vector<std::string> notes;
};

Translated translate(std::string_view providers, const std::string& more = {}) {
  const std::ifstream file(std::string(GOLDEN_FOLDER) + "/envoy/ap-custom.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  Folder folder;
  folder.put("m.yaml", manifest::parse("m.yaml", text.str() + "\n---\n" + more));
  const Settings settings;
  auto parsed = manifest::parse_mesh_config("mesh.yaml", providers);
  REQUIRE(parsed.problems.empty());
  const World world(folder.settle(),
                    std::make_shared<manifest::MeshConfig>(std::move(parsed.config)));
  const WaypointConfig config = translate_for_tests(world, settings);
  Translated made;
  const std::string type(xds::message_of(type_url(EnvoyType::kListener)));
  made.main = xds::to_json(type, config.of(EnvoyType::kListener).at("main_internal"));
  for (const PolicyNote& note : config.notes) {
    made.notes.push_back(note.object.to_string() + ": " + note.text);
  }
  return made;
}

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST_CASE("a CUSTOM policy asks its provider, as that says") {
  const Translated made = translate(kProviders);
  CHECK(count(made.main, "filters.http.ext_authz.v3.ExtAuthz") == 2);
  for (const char* part :
       {R"("failureModeAllow":true)", R"("timeout":"2s")", R"("maxRequestBytes":10)",
        R"("packAsBytes":true)", R"("statusOnError":{"code":"ServiceUnavailable"})",
        R"("pathPrefix":"/check")", R"("key":"x-from")", R"("timeout":"600s")",
        R"("clusterName":"outbound|9000||authz.infra.svc.cluster.local")",
        R"("cluster":"outbound|8000||authz.infra.svc.cluster.local")"}) {
    INFO(part);
    CHECK(made.main.contains(part));
  }
  // The policy of the provider that nobody knows denies.
  CHECK(count(made.main, "-deny-due-to-bad-CUSTOM-action") == 1);
}

TEST_CASE("two providers of one service are told apart") {
  const Translated made = translate(kProviders, R"(
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: second, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  action: CUSTOM
  provider: {name: ext-authz-http}
  rules: [{}]
)");
  CHECK(count(made.main, "filters.http.ext_authz.v3.ExtAuthz") == 3);
  CHECK(count(made.main, R"("shadowRulesStatPrefix":"istio_ext_authz_2_")") == 1);
  CHECK(count(made.main, R"("key":"istio_ext_authz_2_shadow_effective_policy_id")") == 1);
}

TEST_CASE("a provider that cannot be asked denies, and says why") {
  const std::pair<const char*, const char*> kCases[] = {
      {"", "provider ext-authz is not known"},
      {"extensionProviders:\n- name: ext-authz\n  envoyExtAuthzGrpc: {service: no.such, port: 1}",
       "there is no service no.such"},
      {"extensionProviders:\n- name: ext-authz\n  envoyExtAuthzGrpc: {service: "
       "authz.infra.svc.cluster.local, port: 1}",
       "has no port 1"}};
  for (const auto& [providers, why] : kCases) {
    INFO(providers);
    const Translated made = translate(providers);
    CHECK(count(made.main, "ExtAuthz") == 0);
    CHECK(count(made.main, "-deny-due-to-bad-CUSTOM-action") == 3);
    bool said = false;
    for (const std::string& note : made.notes) said = said || note.contains(why);
    CHECK(said);
  }
}

}  // namespace
}  // namespace mesh::control
