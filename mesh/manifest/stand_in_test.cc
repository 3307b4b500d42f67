#include "mesh/manifest/stand_in.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/manifest/json.h"
#include "mesh/manifest/parse.h"

namespace mesh::manifest {
namespace {

// What stands for an object shop/x with a spec, and with this beside its name and namespace.
std::shared_ptr<const Object> of(Kind kind, const std::string& spec, const std::string& more = "") {
  const auto value = read_json(R"({"metadata": {"name": "x", "namespace": "shop")" + more +
                               R"(}, "spec": )" + spec + "}");
  REQUIRE(value);
  return stand_in({kind, "shop", "x"}, *value);
}

template <class T>
const T& closed(Kind kind, const std::string& spec, const std::string& more = "") {
  static std::shared_ptr<const Object> last;
  last = of(kind, spec, more);
  REQUIRE(last != nullptr);
  CHECK(key_of(*last) == ObjectKey{kind, "shop", "x"});
  return std::get<T>(*last);
}

const Labels kWeb = {{"app", "web"}};

}  // namespace

TEST_CASE("a policy that cannot be read denies all that it selects, or its namespace") {
  constexpr auto kKind = Kind::kAuthorizationPolicy;
  using Policy = AuthorizationPolicy;
  const std::string web = R"({"selector": {"matchLabels": {"app": "web"}}, "rulez": []})";
  const Policy& policy = closed<Policy>(kKind, web);
  CHECK(policy.action == AuthorizationAction::kDeny);
  CHECK(policy.rules.size() == 1);
  CHECK(policy.selector == kWeb);
  // What is wrong is its metadata.
  CHECK(closed<Policy>(kKind, web, R"(, "labels": 3)").selector == kWeb);
  for (const char* spec : {R"({"selector": {"matchLabels": {"app": ["web"]}}})",
                           R"({"selector": {"matchLabels": {"app": "w*"}}})",
                           R"({"selector": {"matchLabels": {"app": "web"}, "more": []}})",
                           R"({"targetRefs": [{"kind": "Service", "name": "web"}]})", "3"}) {
    INFO(spec);
    CHECK_FALSE(closed<Policy>(kKind, spec).selector.has_value());
  }
}

TEST_CASE("a PeerAuthentication that cannot be read asks for mutual TLS where it is for") {
  const auto& peer = closed<PeerAuthentication>(
      Kind::kPeerAuthentication,
      R"({"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": "MAYBE"}})");
  CHECK(peer.mode == MtlsMode::kStrict);
  CHECK(peer.selector == kWeb);
}

TEST_CASE("a RequestAuthentication that cannot be read is for its targets, or its namespace") {
  constexpr auto kKind = Kind::kRequestAuthentication;
  using Read = RequestAuthentication;
  const auto& targets = closed<Read>(
      kKind, R"({"targetRefs": [{"group": "", "kind": "Service", "name": "web"}], "jwtRules": 3})");
  CHECK(targets.closed == Read::Closed::kTargets);
  CHECK(targets.targets.size() == 1);
  CHECK(closed<Read>(kKind, R"({"targetRefs": 3})").closed == Read::Closed::kNamespace);
}

TEST_CASE("a DestinationRule that cannot be read is closed by the TLS that it asks for") {
  constexpr auto kKind = Kind::kDestinationRule;
  const auto with = [](const std::string& tls) {
    return R"({"host": "web", "odd": 1, "trafficPolicy": {"tls": {"mode": ")" + tls + R"("}}})";
  };
  CHECK(closed<DestinationRule>(kKind, with("SIMPLE")).closed);
  CHECK(closed<DestinationRule>(kKind, with("SOMETIMES")).closed);
  const auto& tunnels = closed<DestinationRule>(kKind, with("ISTIO_MUTUAL"));
  CHECK_FALSE(tunnels.closed);
  CHECK(tunnels.policy.tls->mode == "ISTIO_MUTUAL");
  CHECK(of(kKind, with("DISABLE")) == nullptr);
  CHECK(of(kKind, R"({"host": "web", "odd": 1})") == nullptr);
  CHECK(of(kKind, R"({"host": 3, "trafficPolicy": {"tls": {}}})") == nullptr);
}

TEST_CASE("entries that cannot be read are closed where they are") {
  CHECK(closed<WorkloadEntry>(Kind::kWorkloadEntry, R"({"address": "192.0.2.7", "weight": -1})")
            .closed);
  CHECK(of(Kind::kWorkloadEntry, R"({"address": "vm.example", "weight": -1})") == nullptr);
  const auto& entry = closed<ServiceEntry>(
      Kind::kServiceEntry, R"({"hosts": ["out.example", "a/b"], "addresses": ["192.0.2.1", "x"]})");
  CHECK(entry.closed);
  CHECK(entry.hosts == std::vector<std::string>{"out.example"});
  CHECK(entry.addresses.size() == 1);
  CHECK(closed<ServiceEntry>(Kind::kServiceEntry, R"({"addresses": ["192.0.2.1"]})").hosts ==
        std::vector<std::string>{"x.shop.refused.invalid"});
}

TEST_CASE("what closes nothing is left out, and each kind says what holds") {
  CHECK(of(Kind::kPod, R"({"nodeName": []})") == nullptr);
  CHECK(of(Kind::kHttpRoute, R"({"rules": 3})") == nullptr);
  for (const KnownKind& known : known_kinds()) {
    CHECK(std::string(stand_in_words(known.kind)).starts_with("it was never good here: "));
  }
}

}  // namespace mesh::manifest
