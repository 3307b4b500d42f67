#include "control/envoy/checks.h"

#include <functional>

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/pieces.h"
#include "envoy/cors.pb.h"
#include "envoy/route.pb.h"

namespace mesh::control {
namespace {

using envoy::config::route::v3::Route;

TEST_CASE("regular expressions: RE2's, and not too large") {
  CHECK(is_usable_regex("/a/[0-9]+"));
  for (const char* regex : {"", "(", "(?=a)", "a{1000}{1000}", "[[:nope:]]"}) {
    INFO(regex);
    CHECK_FALSE(is_usable_regex(regex));
  }
  CHECK_FALSE(is_usable_regex(std::string(5000, 'a')));
}

TEST_CASE("path templates: whole segments, and {**} ends them") {
  for (const char* path : {"/a/{*}", "/{*}/b", "/a/{**}", "/{**}/b"}) {
    INFO(path);
    CHECK(is_path_template(path));
  }
  for (const char* path : {"a/{*}", "/a{*}", "/{**}/{*}", "/{**}/{**}", "/{x}", "/a//{*}",
                           "/a b/{*}", "/{*", "", "/a/{*}/"}) {
    INFO(path);
    CHECK_FALSE(is_path_template(path));
  }
}

// What a route that is otherwise good becomes by `change`.
std::pair<RouteFault, std::string> check(const std::function<void(Route&)>& change) {
  Route route;
  route.mutable_match()->set_prefix("/");
  route.mutable_route()->set_cluster("c");
  change(route);
  std::string why;
  const RouteFault fault = check_route(route, why);
  return {fault, why};
}

void add_header(Route& route, const char* name, const std::string& value) {
  auto* header = route.add_request_headers_to_add()->mutable_header();
  header->set_key(name);
  header->set_value(value);
}

TEST_CASE("a route that Envoy takes has no fault") {
  CHECK(check([](Route&) {}).first == RouteFault::kNone);
  CHECK(check([](Route& r) { add_header(r, "x-a", "v%%"); }).first == RouteFault::kNone);
  CHECK(check([](Route& r) { r.mutable_match()->add_headers()->set_name(":method"); }).first ==
        RouteFault::kNone);
}

TEST_CASE("a match that cannot be used is told from an action that cannot") {
  const auto kMatch = RouteFault::kMatch;
  CHECK(check([](Route& r) { r.mutable_match()->mutable_safe_regex()->set_regex("("); }).first ==
        kMatch);
  CHECK(check([](Route& r) { r.mutable_match()->set_path_separated_prefix("/a?b"); }).first ==
        kMatch);
  CHECK(check([](Route& r) { r.mutable_match()->add_headers()->set_name("a b"); }).first == kMatch);
  CHECK(check([](Route& r) {
          auto* header = r.mutable_match()->add_headers();
          header->set_name("a");
          header->mutable_string_match()->set_prefix("");
        }).first == kMatch);
  CHECK(check([](Route& r) { r.mutable_match()->add_query_parameters(); }).first == kMatch);

  const auto kAction = RouteFault::kAction;
  CHECK(check([](Route& r) { add_header(r, "x-a", "a\r\nb: c"); }).first == kAction);
  CHECK(check([](Route& r) { add_header(r, "Host", "x"); }).first == kAction);
  CHECK(check([](Route& r) { add_header(r, ":path", "x"); }).first == kAction);
  CHECK(check([](Route& r) { r.add_response_headers_to_remove(":status"); }).first == kAction);
  CHECK(check([](Route& r) { r.mutable_route()->set_host_rewrite_literal("a\nb"); }).first ==
        kAction);
  CHECK(check([](Route& r) {
          r.mutable_route()->mutable_regex_rewrite()->mutable_pattern()->set_regex("(");
        }).first == kAction);
  for (const std::string& substitution :
       {std::string("\\2"), std::string("a\r\nb"), std::string(3000, 'a')}) {
    CHECK(check([&](Route& r) {
            auto* rewrite = r.mutable_route()->mutable_regex_rewrite();
            rewrite->mutable_pattern()->set_regex("^/(a)");
            rewrite->set_substitution(substitution);
          }).second == "a rewrite's substitution cannot be used");
  }
  CHECK(check([](Route& r) {
          envoy::extensions::filters::http::cors::v3::CorsPolicy policy;
          policy.add_allow_origin_string_match()->mutable_safe_regex()->set_regex("(");
          pack(policy, &(*r.mutable_typed_per_filter_config())["envoy.filters.http.cors"]);
        }).first == kAction);
  CHECK(check([](Route& r) { r.mutable_direct_response()->set_status(199); }).first == kAction);
  CHECK(check([](Route& r) {
          for (int i = 0; i < 2; ++i) {
            auto* cluster = r.mutable_route()->mutable_weighted_clusters()->add_clusters();
            cluster->mutable_weight()->set_value(4'000'000'000);
          }
        }).second == "the weights are too large together");
  CHECK(check([](Route& r) {
          r.mutable_redirect()->set_host_redirect(std::string("a\0b", 3));
        }).first == kAction);
}

}  // namespace
}  // namespace mesh::control
