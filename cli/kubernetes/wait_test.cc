#include "cli/kubernetes/wait.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/manifest/parse.h"

namespace mesh::cli {
namespace {

std::string waited(const std::vector<std::string>& pages) {
  std::vector<AppliedAnswer> answers;
  for (const std::string& page : pages) {
    answers.push_back(read_applied("r" + std::to_string(answers.size()), page));
  }
  return waiting_for(answers);
}

}  // namespace

TEST_CASE("applied: every replica knows it, and every node has it from one of them") {
  constexpr const char* kOne = R"({"known":true,"version":3,"current":["a"],"absent":["b"]})";
  constexpr const char* kTwo = R"({"known":true,"version":9,"current":["b"],"absent":["a"]})";
  CHECK(waited({kOne, kTwo}).empty());
  CHECK(waited({kOne}) == "b (not connected)");
  CHECK(waited({kOne, R"({"known":true,"pending":["b"],"absent":["a"]})"}) == "b");
  // A node with streams to two replicas lacks it when one of them has not delivered.
  CHECK(waited({kOne, kTwo, R"({"known":true,"pending":["a"]})"}) == "a");
  CHECK(waited({kOne, kTwo, R"({"known":false})"}) == "r2 (has not read it)");
  CHECK(waited({kOne, "[]"}).starts_with("r1: /debug/applied: not what was expected"));
  CHECK(waited({}) == "a replica of control");
  CHECK(waiting_for({read_applied("r", problem("r does not answer: no"))}) ==
        "r does not answer: no");
}

TEST_CASE("objects by the words that kubectl takes") {
  using manifest::Kind;
  struct Row {
    std::vector<std::string> words;
    Kind kind;
    const char* ns;
    const char* name;
  };
  for (const Row& row : {
           Row{{"authorizationpolicy/web"}, Kind::kAuthorizationPolicy, "shop", "web"},
           Row{{"AuthorizationPolicy", "web"}, Kind::kAuthorizationPolicy, "shop", "web"},
           Row{{"authorizationpolicies.security.istio.io", "other/web"},
               Kind::kAuthorizationPolicy,
               "other",
               "web"},
           Row{{"services", "web"}, Kind::kService, "shop", "web"},
           Row{{"namespace/web"}, Kind::kNamespace, "", "web"},
       }) {
    INFO(row.words[0]);
    const auto object = object_name(row.words, "shop");
    REQUIRE(object);
    CHECK(object->kind == row.kind);
    CHECK(object->ns == row.ns);
    CHECK(object->name == row.name);
  }
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"service"}, {"service/"}, {"nonsense/web"}, {"a", "b", "c"}, {}}) {
    CHECK_FALSE(object_name(words, "shop"));
  }
  const auto map = object_name({"configmap/istio"}, "shop");
  REQUIRE(map);
  CHECK_FALSE(map->kind.has_value());
  CHECK(map->name == "istio");
}

TEST_CASE("every kind that control reads can be waited for, of others it is said what to do") {
  for (const manifest::KnownKind& known : manifest::known_kinds()) {
    const auto object = object_name({std::string(known.name), "x"}, "shop");
    REQUIRE(object);
    CHECK(object->kind == known.kind);
    CHECK(object->ns == (known.namespaced ? "shop" : ""));
  }
  const auto said = [](const char* word) { return object_name({word, "x"}, "shop").error(); };
  CHECK(said("secrets").contains("weft ca status"));
  CHECK(said("Deployment").contains("kubectl rollout status"));
  CHECK(said("envoyfilters.networking.istio.io").contains("no effect"));
  CHECK(said("leases").contains("not read by Weft"));
  CHECK(read_applied("r", std::string(R"({"known":false,"notRead":"no"})")).not_read == "no");
}

}  // namespace mesh::cli
