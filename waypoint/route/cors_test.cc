#include "waypoint/route/cors.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::route {
namespace {

config::CorsPolicy policy() {
  return {.origins = {config::StringMatch::exact("https://a.example")},
          .allow_methods = "GET,POST",
          .allow_headers = "x-a",
          .expose_headers = "x-e",
          .max_age = "600",
          .allow_credentials = true,
          .forward_not_matching_preflights = false};
}

http::Request ask(const char* method, const char* origin, bool preflight) {
  http::Request request{.method = method, .authority = "a", .path = "/", .headers = {}};
  if (*origin != '\0') request.headers.push_back({"origin", origin});
  if (preflight) request.headers.push_back({"access-control-request-method", "POST"});
  return request;
}

TEST_CASE("a preflight of an allowed origin is answered") {
  const auto policy_of = policy();
  http::Dice dice(1);
  const Cors answer = cors(&policy_of, ask("OPTIONS", "https://a.example", true), dice);
  CHECK(answer.kind == Cors::Kind::kPreflight);
  CHECK(answer.headers == h2::Headers{{"access-control-allow-origin", "https://a.example"},
                                      {"access-control-allow-credentials", "true"},
                                      {"access-control-expose-headers", "x-e"},
                                      {"access-control-allow-methods", "GET,POST"},
                                      {"access-control-allow-headers", "x-a"},
                                      {"access-control-max-age", "600"}});
}

TEST_CASE("a preflight of another origin gets no headers, or goes on") {
  auto policy_of = policy();
  http::Dice dice(1);
  const Cors refused = cors(&policy_of, ask("OPTIONS", "https://b.example", true), dice);
  CHECK(refused.kind == Cors::Kind::kPreflight);
  CHECK(refused.headers.empty());
  policy_of.forward_not_matching_preflights = true;
  CHECK(cors(&policy_of, ask("OPTIONS", "https://b.example", true), dice).kind ==
        Cors::Kind::kRefused);
}

TEST_CASE("a plain request of an allowed origin gets headers onto its response") {
  const auto policy_of = policy();
  http::Dice dice(1);
  const Cors answer = cors(&policy_of, ask("GET", "https://a.example", false), dice);
  REQUIRE(answer.kind == Cors::Kind::kForward);
  h2::Headers response = {{"access-control-allow-origin", "*"}, {"x", "y"}};
  apply_cors(answer, response);
  CHECK(response == h2::Headers{{"x", "y"},
                                {"access-control-allow-origin", "https://a.example"},
                                {"access-control-allow-credentials", "true"},
                                {"access-control-expose-headers", "x-e"}});
  CHECK(cors(&policy_of, ask("OPTIONS", "https://a.example", false), dice).kind ==
        Cors::Kind::kForward);
}

TEST_CASE("without an origin or a policy nothing happens") {
  const auto policy_of = policy();
  http::Dice dice(1);
  CHECK(cors(&policy_of, ask("GET", "", false), dice).kind == Cors::Kind::kNotCors);
  CHECK(cors(nullptr, ask("GET", "https://a.example", false), dice).kind == Cors::Kind::kNotCors);
  CHECK(cors(&policy_of, ask("GET", "https://a.example.evil", false), dice).kind ==
        Cors::Kind::kRefused);
  auto off = policy();
  off.enabled = {};
  CHECK(cors(&off, ask("GET", "https://a.example", false), dice).kind == Cors::Kind::kNotCors);
}

}  // namespace
}  // namespace mesh::waypoint::route
