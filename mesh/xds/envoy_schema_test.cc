#include "mesh/xds/envoy_schema.h"

#include <catch2/catch_test_macros.hpp>

#include "envoy/http_connection_manager.pb.h"
#include "envoy/http_rbac.pb.h"
#include "envoy/listener.pb.h"

namespace mesh::xds {
namespace {

constexpr std::string_view kRbac = "envoy.extensions.filters.http.rbac.v3.RBAC";
constexpr std::string_view kListener = "envoy.config.listener.v3.Listener";

// Field 99, a varint.
const std::string kForeign("\x98\x06\x01", 3);

std::string rbac(const std::string& in_policy) {
  envoy::config::rbac::v3::Policy policy;
  policy.add_permissions()->set_any(true);
  policy.add_principals()->set_any(true);
  REQUIRE(policy.MergeFromString(in_policy));
  envoy::extensions::filters::http::rbac::v3::RBAC filter;
  (*filter.mutable_rules()->mutable_policies())["deny-all"] = policy;
  return filter.SerializeAsString();
}

TEST_CASE("what our subset has is known") {
  CHECK(known_message(kRbac));
  CHECK(known_message("google.protobuf.Duration"));
  CHECK_FALSE(known_message("io.istio.http.peer_metadata.Config"));
  CHECK(message_of("type.googleapis.com/a.B") == "a.B");
  CHECK(unknown_fields(kRbac, rbac("")).empty());
}

TEST_CASE("an unknown field is named with its place, through maps and lists") {
  const auto found = unknown_fields(kRbac, rbac(kForeign));
  REQUIRE(found.size() == 1);
  CHECK(found[0] == "rules.policies[deny-all]: field 99 is unknown");
}

TEST_CASE("an Any is followed, and its type must be ours") {
  envoy::config::listener::v3::Listener listener;
  auto* filters = listener.add_filter_chains();
  auto* rbac_filter = filters->add_filters()->mutable_typed_config();
  rbac_filter->set_type_url("type.googleapis.com/" + std::string(kRbac));
  rbac_filter->set_value(rbac("") + kForeign);
  auto* foreign = filters->add_filters()->mutable_typed_config();
  foreign->set_type_url("type.googleapis.com/stats.PluginConfig");
  const auto found = unknown_fields(kListener, listener.SerializeAsString());
  REQUIRE(found.size() == 2);
  CHECK(found[0] == "filterChains[0].filters[0].typedConfig: field 99 is unknown");
  CHECK(found[1] == "filterChains[0].filters[1].typedConfig: stats.PluginConfig is unknown");
}

TEST_CASE("a known number with another wire type is told") {
  // Listener.name (1) as a varint
  const auto found = unknown_fields(kListener, std::string("\x08\x01", 2));
  REQUIRE(found.size() == 1);
  CHECK(found[0] == "name: not a value of its type");
}

TEST_CASE("bytes that are no message, and types that are not ours, are told") {
  CHECK(unknown_fields(kListener, "\xff").size() == 1);
  CHECK(unknown_fields("a.B", "") == std::vector<std::string>{"a.B is unknown"});
}

TEST_CASE("what is told is bounded") {
  std::string many;
  for (int i = 0; i < 100; ++i) many += kForeign;
  CHECK(unknown_fields(kListener, many, 5).size() == 5);
}

TEST_CASE("nesting is bounded") {
  envoy::config::rbac::v3::Permission rule;
  rule.set_any(true);
  for (int i = 0; i < 60; ++i) {
    envoy::config::rbac::v3::Permission outer;
    *outer.mutable_not_rule() = rule;
    rule = outer;
  }
  constexpr std::string_view kPermission = "envoy.config.rbac.v3.Permission";
  CHECK(unknown_fields(kPermission, rule.SerializeAsString()).empty());
  for (int i = 0; i < 10; ++i) {
    envoy::config::rbac::v3::Permission outer;
    *outer.mutable_not_rule() = rule;
    rule = outer;
  }
  CHECK(unknown_fields(kPermission, rule.SerializeAsString()).size() == 1);
  CHECK(to_json(kPermission, rule.SerializeAsString()).empty());
}

}  // namespace
}  // namespace mesh::xds
