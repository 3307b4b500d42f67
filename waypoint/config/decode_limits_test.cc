// The limits of README.md, reached.

#include <string>

#include <catch2/catch_test_macros.hpp>

#include "waypoint/config/decode.h"
#include "waypoint/config/tree.h"

namespace mesh::waypoint::config {
namespace {

std::string repeated(const std::string& one, std::size_t times) {
  std::string list;
  list.reserve((one.size() + 1) * times);
  for (std::size_t i = 0; i < times; ++i) {
    if (i > 0) list += ',';
    list += one;
  }
  return list;
}

TEST_CASE("a table of 65536 routes is taken, of one more refused") {
  const auto table = [](std::size_t routes) {
    return decode_routes_json(
        R"({"name":"r","virtualHosts":[{"name":"v","domains":["*"],"routes":[)" +
        repeated(R"({"match":{"prefix":"/"},"route":{"cluster":"k"}})", routes) + "]}]}");
  };
  CHECK(table(65'536).problem == "");
  CHECK(table(65'537).problem.contains("more than 65536 routes"));
}

TEST_CASE("100000 endpoints of a cluster are taken, one more refused") {
  const auto endpoints = [](std::size_t count) {
    const std::string one =
        R"({"endpoint":{"address":{"socketAddress":{"address":"10.0.0.1","portValue":80}}}})";
    return decode_endpoints_json(R"({"clusterName":"k","endpoints":[{"lbEndpoints":[)" +
                                 repeated(one, count) + "]}]}");
  };
  CHECK(endpoints(100'000).problem == "");
  CHECK(endpoints(100'001).problem.contains("more than 100000 endpoints"));
}

TEST_CASE("texts, bodies and notes are bounded") {
  const auto name = [](std::size_t bytes) {
    return decode_cluster_json(R"({"type":"EDS","name":")" + std::string(bytes, 'a') + "\"}")
        .problem;
  };
  CHECK(name(65'536) == "");
  CHECK(name(65'537).contains("longer than 65536 bytes"));
  const auto body = [](std::size_t bytes) {
    return decode_routes_json(
               R"({"name":"r","virtualHosts":[{"name":"v","domains":["*"],"routes":[{"match":)"
               R"({"prefix":"/"},"directResponse":{"status":200,"body":{"inlineString":")" +
               std::string(bytes, 'a') + R"("}}}]}]})")
        .problem;
  };
  CHECK(body(1 << 20) == "");
  CHECK(body((1 << 20) + 1).contains("longer than 1048576 bytes"));
  std::string fields;
  for (int i = 0; i < 300; ++i) fields += ",\"f" + std::to_string(i) + "\":1";
  const auto many = decode_cluster_json(R"({"type":"EDS","name":"k")" + fields + "}");
  CHECK(many.problem == "");
  CHECK(many.not_honoured.size() == Input::kMaxLeftovers);
}

TEST_CASE("JSON ends at its depth and its number of values") {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(Tree::parse(nested(Tree::kMaxDepth)) != nullptr);
  CHECK(Tree::parse(nested(Tree::kMaxDepth + 1)) == nullptr);
  CHECK(Tree::parse("[" + repeated("1", Tree::kMaxNodes) + "]") == nullptr);
}

}  // namespace
}  // namespace mesh::waypoint::config
