// State of the world in, differences out; and the answers back.

#include "waypoint/sotw.h"

#include <catch2/catch_test_macros.hpp>

#include "waypoint/delta.h"

namespace mesh::waypoint {
namespace {

const std::string kClusters(type_url(EnvoyType::kCluster));
const std::string kEndpoints(type_url(EnvoyType::kEndpoints));

// A resource whose first field is its name.
xds::RawResource resource(const std::string& url, const std::string& name, char extra = 0) {
  std::string bytes = "\n" + std::string(1, static_cast<char>(name.size())) + name;
  if (extra != 0) bytes += std::string("\x10") + extra;
  return {.name = name, .type_url = url, .bytes = bytes};
}

xds::SotwResponse response(const std::string& url, const std::string& version,
                           std::vector<xds::RawResource> resources) {
  return {.version = version, .type_url = url, .nonce = "n" + version, .resources = resources};
}

std::string names(const xds::DeltaResponse& delta) {
  std::string all;
  for (const auto& one : delta.resources) all += "+" + one.name;
  for (const auto& one : delta.removed) all += "-" + one;
  return all;
}

xds::DeltaRequest ack(const std::string& url, const std::string& nonce) {
  return {.type_url = url, .response_nonce = nonce};
}

TEST_CASE("what is not named any more is gone, where a response is the whole") {
  Sotw sotw;
  const auto a = resource(kClusters, "a"), b = resource(kClusters, "b");
  CHECK(names(sotw.translate(response(kClusters, "1", {a, b}))) == "+a+b");
  CHECK(names(sotw.translate(response(kClusters, "2", {a, b}))).empty());
  CHECK(names(sotw.translate(response(kClusters, "3", {resource(kClusters, "a", 1)}))) == "+a-b");
  sotw.connected();
  CHECK(names(sotw.translate(response(kClusters, "4", {b}))) == "+b-a");
  const auto e = resource(kEndpoints, "e"), f = resource(kEndpoints, "f");
  CHECK(names(sotw.translate(response(kEndpoints, "1", {e, f}))) == "+e+f");
  CHECK(names(sotw.translate(response(kEndpoints, "2", {f}))).empty());
}

TEST_CASE("what was refused is looked at again when it comes again") {
  Sotw sotw;
  const auto a = resource(kClusters, "a");
  CHECK(names(sotw.translate(response(kClusters, "1", {a}))) == "+a");
  auto nack = ack(kClusters, "n1");
  nack.error = "a: no";
  const auto said = sotw.translate(nack);
  REQUIRE(said.has_value());
  CHECK(said->error == "a: no");
  CHECK(said->version.empty());
  CHECK(said->response_nonce == "n1");
  CHECK(names(sotw.translate(response(kClusters, "2", {a}))) == "+a");
}

TEST_CASE("an answer names the newest response, its version, and everything that is asked for") {
  Sotw sotw;
  // Nothing is asked for yet: no names would mean all of them.
  CHECK_FALSE(sotw.translate(xds::DeltaRequest{.type_url = kEndpoints}).has_value());
  const auto first =
      sotw.translate(xds::DeltaRequest{.type_url = kEndpoints, .subscribe = {"b", "a"}});
  REQUIRE(first.has_value());
  CHECK(first->names == std::vector<std::string>{"a", "b"});
  CHECK(first->response_nonce.empty());
  (void)sotw.translate(response(kEndpoints, "1", {resource(kEndpoints, "a")}));
  // While an answer is due names wait for it.
  CHECK_FALSE(sotw.translate(xds::DeltaRequest{.type_url = kEndpoints, .subscribe = {"c"}}));
  (void)sotw.translate(response(kEndpoints, "2", {resource(kEndpoints, "a", 1)}));
  CHECK_FALSE(sotw.translate(ack(kEndpoints, "n1")).has_value());
  const auto answer = sotw.translate(ack(kEndpoints, "n2"));
  REQUIRE(answer.has_value());
  CHECK(answer->version == "2");
  CHECK(answer->response_nonce == "n2");
  CHECK(answer->names == std::vector<std::string>{"a", "b", "c"});
  const auto fewer =
      sotw.translate(xds::DeltaRequest{.type_url = kEndpoints, .unsubscribe = {"a", "b", "c"}});
  REQUIRE(fewer.has_value());
  CHECK(fewer->names.empty());
  CHECK(fewer->version == "2");
}

TEST_CASE("messages survive their encoding, and a resource without a name does not") {
  xds::SotwRequest request{
      .version = "1", .type_url = kClusters, .names = {"a"}, .response_nonce = "n", .error = "e"};
  CHECK(xds::decode_sotw_request(xds::encode(request)).value() == request);
  const auto sent = response(kClusters, "1", {resource(kClusters, "web")});
  const auto read = xds::decode_sotw_response(xds::encode(sent));
  REQUIRE(read.has_value());
  CHECK(read->resources[0].name == "web");
  CHECK(read->resources[0].version == "1");
  auto nameless = sent;
  nameless.resources[0].bytes = "\x10\x01";
  CHECK_FALSE(xds::decode_sotw_response(xds::encode(nameless)).has_value());
  CHECK_FALSE(xds::decode_sotw_response("\xff\xff").has_value());
}

}  // namespace
}  // namespace mesh::waypoint
