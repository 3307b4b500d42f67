#include "mesh/telemetry/condition.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::telemetry {
namespace {

// GET /shop/cart?id=1 of web, answered 404 after 1.5 s for want of a route; header x-a: b; no gRPC,
// no response headers.
std::optional<std::string> lookup(Attribute attribute, std::string_view header) {
  switch (attribute) {
    case Attribute::kPath:
      return "/shop/cart?id=1";
    case Attribute::kUrlPath:
      return "/shop/cart";
    case Attribute::kMethod:
      return "GET";
    case Attribute::kHost:
      return "web";
    case Attribute::kResponseCode:
      return "404";
    case Attribute::kResponseFlags:
      return "256";
    case Attribute::kDuration:
      return "1500000000";
    case Attribute::kRequestHeader:
      if (header == "x-a") return "b";
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

std::string problem_of(std::string_view text) {
  std::string problem;
  CHECK_FALSE(Condition::parse(text, problem).has_value());
  return problem;
}

TEST_CASE("conditions hold of a request as CEL has it") {
  const std::pair<const char*, bool> kCases[] = {
      {"response.code >= 400", true},
      {"response.code>=400&&response.code!=404", false},
      {"response.code == 200 || response.code == 404", true},
      {"response.code in [404, 500]", true},
      {"!(response.code < 500)", false},
      {"request.method == 'GET'", true},
      {"request.method in ['PUT', \"GET\"]", true},
      {"request.path.startsWith('/shop')", true},
      {"request.url_path.endsWith(\"cart\") && request.path.contains('id=')", true},
      {"request.headers['X-A'] == 'b'", true},
      {"'X-A' in request.headers && !('x-b' in request.headers)", true},
      {"has(response.code) && 'x-a' in response.headers", false},
      {"true && !false", true},
      {"response.code > 400 || false && true", true},
      {"(response.code > 400 || true) && false", false},
      {"request.host < 'x'", true},
      {"response.flags != 0 && response.flags in [256, 2]", true},
      {"request.duration > duration('1s') && request.duration <= duration(\"1500ms\")", true},
      {"request.duration >= duration('1m') || request.duration == duration('0s')", false},
      // What is not there is neither true nor false, and yet may not matter.
      {"request.headers['x-b'] == 'b'", false},
      {"!(request.headers['x-b'] == 'b')", false},
      {"request.headers['x-b'] == 'b' || response.code == 404", true},
      {"response.code == 200 && request.headers['x-b'] == 'b' || true", true},
      {"response.grpc_status == 0", false},
      {"has(response.grpc_status)", false},
  };
  for (const auto& [text, holds] : kCases) {
    INFO(text);
    std::string problem;
    const auto condition = Condition::parse(text, problem);
    CHECK(problem == "");
    REQUIRE(condition);
    CHECK(condition->holds(lookup) == holds);
  }
}

TEST_CASE("what is not read is refused, with the place") {
  for (const char* text :
       {"", "response.code", "response.code =", "response.code >= '400'", "request.method == 4",
        "response.code.startsWith('4')", "request.headers == 'a'", "request.headers[1] == 'a'",
        "request.path == 'a\\'b'", "request.path == 'a", "response.code >= 400 extra",
        "response.code >= 4e2", "response.code >= 4.5", "(response.code >= 400",
        "size(request.path) > 3", "request.path.matches('a')", "response.code in []",
        "response.codes > 3", "a", "&& true", "true &&", "true & false", "has()",
        // Envoy refuses the whole listener for these two.
        "has(request.headers['x-a'])", "has(request.headers)", "'a' in request.path",
        "'a' in ['a']", "'a' in", "'a' == 'a'", "'a", "response.code in [1,", "hastrue",
        "request.duration > 1", "request.duration > '1s'", "request.duration > duration('1 s')",
        "request.duration > duration('1m30s')", "request.duration > duration('25h')",
        "request.duration > duration('-1s')", "request.duration > duration(1)",
        "request.duration > duration(duration('1s'))", "response.code > duration('1s')",
        "response.flags == 'UF'", "truely"}) {
    INFO(text);
    CHECK(problem_of(text) != "");
  }
  CHECK(problem_of("connection.mtls").find("connection.mtls") != std::string::npos);
  CHECK(problem_of(std::string(5000, ' ')) == "longer than 4096 bytes");
  CHECK(problem_of(std::string(40, '(') + "true").find("32") != std::string::npos);
  CHECK(problem_of(std::string(40, '!') + "true").find("32") != std::string::npos);
  std::string many = "true";
  for (int i = 0; i < 300; ++i) many += "||true";
  CHECK(problem_of(many).find("256") != std::string::npos);
}

}  // namespace
}  // namespace mesh::telemetry
