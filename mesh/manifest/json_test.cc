#include "mesh/manifest/json.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/manifest/parse.h"

namespace mesh::manifest {
namespace {

Parsed object(Kind kind, std::string_view text) {
  const auto value = read_json(text);
  REQUIRE(value);
  return parse_object("kubernetes", kind, *value);
}

}  // namespace

TEST_CASE("a pod from an API server is the same object as from a file") {
  const Parsed from_server = object(Kind::kPod, R"({
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "uid": "u-1",
                 "resourceVersion": "812", "generation": 3,
                 "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}]},
    "spec": {"nodeName": "n1", "containers": [{"ports": [{"containerPort": 80, "name": "http"}]}]},
    "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
               "conditions": [{"type": "Ready", "status": "True"}]}})");
  REQUIRE(from_server.objects.size() == 1);
  const Pod& pod = std::get<Pod>(from_server.objects[0].object);
  CHECK(pod.metadata.resource_version == "812");
  CHECK(pod.metadata.generation == 3);
  CHECK(pod.metadata.labels.at("app") == "web");
  CHECK(pod.ips.size() == 2);
  CHECK(pod.ready == true);
  CHECK(pod.containers.at(0).ports.at(0).port == 80);
}

TEST_CASE("security objects are read as strictly from JSON as from YAML") {
  const Parsed good = object(Kind::kAuthorizationPolicy, R"({
    "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
    "metadata": {"name": "deny", "namespace": "shop", "generation": 1, "resourceVersion": "9"},
    "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"ports": ["80"]}}]}]},
    "status": {"conditions": []}})");
  CHECK(good.problems.empty());
  CHECK(good.objects.size() == 1);

  const Parsed bad = object(Kind::kAuthorizationPolicy, R"({
    "metadata": {"name": "deny", "namespace": "shop"},
    "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"portz": ["80"]}}]}]}})");
  CHECK(bad.objects.empty());
  REQUIRE(bad.broken.size() == 1);
  CHECK(bad.broken[0].key.to_string() == "AuthorizationPolicy shop/deny");
  REQUIRE(bad.problems.size() == 1);
  CHECK(bad.problems[0].to_string() ==
        "kubernetes: AuthorizationPolicy shop/deny: spec.rules[0].to[0].operation.portz: "
        "unknown field");

  // A number where text must be is one, as in YAML without quotes.
  const Parsed number = object(Kind::kAuthorizationPolicy, R"({
    "metadata": {"name": "deny", "namespace": "shop"},
    "spec": {"rules": [{"to": [{"operation": {"ports": [80]}}]}]}})");
  CHECK(number.broken.size() == 1);
}

TEST_CASE("an object that hides its name is unidentified") {
  CHECK(object(Kind::kPod, R"({"metadata": {"namespace": "shop"}})").unidentified);
  CHECK(object(Kind::kPod, R"({"metadata": {"name": "../x"}})").unidentified);
  CHECK(object(Kind::kPod, R"([1, 2])").unidentified);
}

TEST_CASE("a list hands over its items one at a time and keeps what is around them") {
  std::vector<std::string> names;
  const auto list = read_json_list(
      R"({"kind": "PodList", "metadata": {"resourceVersion": "77", "continue": "abc"},
          "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}, "items": [1, [2]]}]})",
      [&](Value&& item) {
        names.push_back(item.find("metadata")->find("name")->text);
        if (names.size() == 2) CHECK(item.find("items")->items.size() == 2);
      });
  REQUIRE(list);
  CHECK(names == std::vector<std::string>{"a", "b"});
  CHECK(list->find("items")->items.empty());
  CHECK(list->find("metadata")->find("resourceVersion")->text == "77");
}

TEST_CASE("what is not one JSON value within the limits is refused") {
  const auto why = [](std::string_view text) {
    const auto value = read_json(text);
    return value ? std::string("read") : value.error();
  };
  CHECK(why("") == "not JSON, at byte 1");
  CHECK(why(R"({"a": 1)") == "not JSON, at byte 8");
  CHECK(why(R"({"a": 1} x)") == "not JSON, at byte 10");
  CHECK(why(R"({"a": 1, "a": 2})") == "the key \"a\" is given twice");
  CHECK(why("\"\xff\"") == "not JSON, at byte 2");
  CHECK(why(std::string(64, '[') + std::string(64, ']')) == "read");
  CHECK(why(std::string(65, '[') + std::string(65, ']')) == "nested too deeply");
  std::string many = "[0";
  for (int i = 0; i < 200'000; ++i) many += ",0";
  CHECK(why(many + "]") == "too many values");
  // Many keys cost what they weigh.
  std::string keys = "{\"k\": 0";
  for (int i = 0; i < 100'000; ++i) keys += ",\"k" + std::to_string(i) + "\": 0";
  CHECK(why(keys + "}") == "read");
  CHECK(why(keys + ",\"k77777\": 0}") == "the key \"k77777\" is given twice");
}

TEST_CASE("managed fields are passed over, however deep") {
  const std::string deep = std::string(500, '[') + std::string(500, ']');
  const auto value = read_json(R"({"metadata": {"managedFields": )" + deep + R"(, "name": "a"}})");
  REQUIRE(value);
  const Value* metadata = value->find("metadata");
  CHECK(metadata->find("managedFields")->is_null());
  CHECK(metadata->find("name")->text == "a");
  // Elsewhere it is a field like any other.
  CHECK_FALSE(read_json(R"({"spec": {"managedFields": )" + deep + "}}"));
}

}  // namespace mesh::manifest
