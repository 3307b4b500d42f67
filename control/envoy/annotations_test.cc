#include "control/envoy/annotations.h"

#include <catch2/catch_test_macros.hpp>

#include "control/status.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {
namespace {

// The first condition of the object that is the last document, or of its first parent:
// "False UnsupportedValue MESSAGE"; "" when nothing is said of it.
std::string status(const std::string& text) {
  manifest::Parsed parsed = manifest::parse("x.yaml", text);
  REQUIRE_FALSE(parsed.has_errors());
  Objects objects;
  manifest::ObjectKey last;
  for (auto& one : parsed.objects) {
    last = manifest::key_of(one.object);
    objects[last] = std::make_shared<const manifest::Object>(std::move(one.object));
  }
  Settings settings;
  settings.annotation_faults = annotation_faults;
  for (const ObjectStatus& one : compute_statuses(World(objects), settings)) {
    if (one.object != last) continue;
    const StatusConditions& all = one.parents.empty() ? one.conditions : one.parents[0].conditions;
    REQUIRE_FALSE(all.empty());
    return std::string(all[0].holds ? "True " : "False ") + all[0].reason + " " + all[0].message;
  }
  return "";
}

std::string object(const std::string& head, const std::string& annotation,
                   const std::string& spec) {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
         "spec: {ports: [{port: 80}]}\n---\napiVersion: " +
         head + "\nmetadata: {name: web, namespace: shop, annotations: {" + annotation +
         "}}\nspec: " + spec + "\n";
}

const char* const kLimit = "weft.dev/local-rate-limit: ";
const char* const kBalancer = "weft.dev/load-balancer: ";

}  // namespace

TEST_CASE("a route whose limit cannot be read is not accepted") {
  for (const char* head : {"gateway.networking.k8s.io/v1\nkind: HTTPRoute",
                           "gateway.networking.k8s.io/v1\nkind: GRPCRoute"}) {
    const auto with = [&](const std::string& value) {
      return status(object(head, kLimit + value,
                           "{parentRefs: [{group: '', kind: Service, name: web}], rules: "
                           "[{backendRefs: [{name: web, port: 80}]}]}"));
    };
    CHECK(with("10/s").starts_with("True Accepted"));
    CHECK(with("many").starts_with("False UnsupportedValue weft.dev/local-rate-limit: \"many\": "));
    CHECK(with("''").ends_with("says nothing: its requests are answered 500"));
    CHECK(with("10/s, weft.dev/rate-limit: '?'")
              .starts_with("False UnsupportedValue weft.dev/rate-limit: "));
  }
}

TEST_CASE("rules and services say which of their annotations cannot be read") {
  const auto rule = [](const std::string& kind, const std::string& annotation,
                       const std::string& spec) {
    return status(object("networking.istio.io/v1\nkind: " + kind, annotation, spec));
  };
  const std::string hosts = "{hosts: [web], http: [{route: [{destination: {host: web}}]}]}";
  CHECK(rule("VirtualService", std::string(kLimit) + "10/s", hosts).empty());
  CHECK(rule("VirtualService", std::string(kLimit) + "'10'", hosts)
            .starts_with("True PartiallyInvalid weft.dev/local-rate-limit: \"10\": "));
  CHECK(rule("DestinationRule", std::string(kBalancer) + "peak-ewma", "{host: web}").empty());
  const std::string only = "True PartiallyInvalid weft.dev/load-balancer: there is only peak-ewma";
  CHECK(rule("DestinationRule", std::string(kBalancer) + "fastest", "{host: web}") == only);
  CHECK(rule("ServiceEntry", std::string(kBalancer) + "fastest",
             "{hosts: [a.example], resolution: DNS, ports: [{number: 80, name: http}]}") == only);
  CHECK(status("apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop, annotations: "
               "{weft.dev/load-balancer: x}}\nspec: {}\n") == only);
  const std::string check = "weft.dev/health-check: ";
  CHECK(rule("DestinationRule", check + "http /healthz", "{host: web}").empty());
  CHECK(rule("DestinationRule", check + "http healthz", "{host: web}")
            .starts_with("True PartiallyInvalid weft.dev/health-check: `http` needs a path"));
  // Of another kind it is nobody's business.
  manifest::Metadata pod;
  pod.annotations = {{"weft.dev/load-balancer", "x"}, {"weft.dev/local-rate-limit", "x"}};
  CHECK(annotation_faults(manifest::Kind::kPod, pod).empty());
}

}  // namespace mesh::control
