#include "control/folder.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

std::string pod(const std::string& name, const std::string& node = "n1") {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
         "}\nspec: {nodeName: " + node + "}\n";
}
std::string broken_pod(const std::string& name) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {nodeName: [x]}\n";
}

constexpr const char* kGoodRules = "[{to: [{operation: {ports: ['80']}}]}]";
constexpr const char* kBadRules = "[{to: [{operation: {ports: [http]}}]}]";

std::string policy(const std::string& name, const std::string& rules,
                   const std::string& app = "web") {
  return "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " +
         name + ", namespace: shop}\nspec: {selector: {matchLabels: {app: " + app +
         "}}, rules: " + rules + "}\n";
}

std::string text_of(const manifest::ObjectKey& key, const manifest::Object& object) {
  if (const auto* pod = std::get_if<manifest::Pod>(&object)) return key.name + "@" + pod->node_name;
  const auto& policy = std::get<manifest::AuthorizationPolicy>(object);
  CHECK(policy.metadata.name == key.name);
  const bool deny = policy.action == manifest::AuthorizationAction::kDeny;
  return key.name + (deny ? ": DENY" : ": ALLOW") +
         " app=" + (policy.selector ? policy.selector->at("app") : "*");
}

class Bench {
 public:
  void put(const std::string& file, const std::string& text) {
    folder_.put(file, manifest::parse(file, text));
  }
  void remove(const std::string& file) { folder_.remove(file); }
  // "a@n1 b@n2", "p: DENY app=web, q: ALLOW app=db": what is in force.
  std::string settle() {
    std::string text;
    for (const auto& [key, object] : folder_.settle()) {
      const char* between = text.find(':') == std::string::npos ? " " : ", ";
      text += (text.empty() ? "" : between) + text_of(key, *object);
    }
    return text;
  }
  std::size_t problems() const { return folder_.problems().size(); }
  const manifest::Problem& problem(std::size_t i = 0) const { return folder_.problems().at(i); }

 private:
  Folder folder_;
};

}  // namespace

TEST_CASE("what files say is in force until they no longer say it") {
  Bench bench;
  bench.put("1.yaml", pod("a") + pod("b"));
  bench.put("2.yaml", pod("c"));
  CHECK(bench.settle() == "a@n1 b@n1 c@n1");
  bench.put("1.yaml", pod("a", "n2"));
  CHECK(bench.settle() == "a@n2 c@n1");
  bench.remove("2.yaml");
  CHECK(bench.settle() == "a@n2");
}

TEST_CASE("a file that is not YAML for a moment changes nothing") {
  Bench bench;
  bench.put("1.yaml", pod("a") + pod("b"));
  bench.settle();
  bench.put("1.yaml", pod("a", "n2") + "---\nkind: [");
  CHECK(bench.settle() == "a@n1 b@n1");
  CHECK(bench.problems() == 1);
  bench.put("1.yaml", pod("a", "n2"));
  CHECK(bench.settle() == "a@n2");
  CHECK(bench.problems() == 0);
}

TEST_CASE("an invalid object keeps its last good version, the others of the file move on") {
  Bench bench;
  bench.put("1.yaml", pod("a") + pod("b"));
  bench.settle();
  bench.put("1.yaml", broken_pod("a") + pod("b", "n2"));
  CHECK(bench.settle() == "a@n1 b@n2");
  bench.put("1.yaml", broken_pod("a"));
  CHECK(bench.settle() == "a@n1");
  bench.put("1.yaml", "");
  CHECK(bench.settle().empty());
}

TEST_CASE("an invalid object keeps its last good version when it moves to another file") {
  Bench bench;
  bench.put("1.yaml", pod("a"));
  bench.settle();
  bench.remove("1.yaml");
  bench.put("2.yaml", broken_pod("a"));
  CHECK(bench.settle() == "a@n1");
  bench.remove("2.yaml");
  CHECK(bench.settle().empty());
}

TEST_CASE("an object that never was good and means to close nothing is not in force") {
  Bench bench;
  bench.put("1.yaml", broken_pod("a"));
  CHECK(bench.settle().empty());
  REQUIRE(bench.problems() == 1);
  CHECK(bench.problem().in_force == "it was never good here: it is left out");
}

TEST_CASE("a policy that never was good closes what it selects, until it is mended or gone") {
  Bench bench;
  bench.put("1.yaml", policy("p", kBadRules));
  CHECK(bench.settle() == "p: DENY app=web");
  REQUIRE(bench.problems() == 1);
  CHECK(bench.problem().to_string() ==
        "1.yaml:5: AuthorizationPolicy shop/p: spec.rules[0].to[0].operation.ports[0]: \"http\" is "
        "not a port, 1 to 65535; it was never good here: all that it selects is denied");
  // Another mistake in it: it still never was good.
  bench.put("1.yaml", policy("p", "[{nonsense: 1}]"));
  CHECK(bench.settle() == "p: DENY app=web");
  bench.put("1.yaml", policy("p", kGoodRules));
  CHECK(bench.settle() == "p: ALLOW app=web");
  bench.put("1.yaml", policy("p", kBadRules));
  CHECK(bench.settle() == "p: ALLOW app=web");
  CHECK(bench.problem().in_force == "what was good before stays in force");
  bench.remove("1.yaml");
  CHECK(bench.settle().empty());
  bench.put("1.yaml", policy("p", kBadRules));
  CHECK(bench.settle() == "p: DENY app=web");
  bench.remove("1.yaml");
  CHECK(bench.settle().empty());
  CHECK(bench.problems() == 0);
}

TEST_CASE("a good version in another file wins over what would stand for it") {
  Bench bench;
  bench.put("1.yaml", policy("p", kBadRules));
  bench.settle();
  bench.put("2.yaml", policy("p", kGoodRules));
  CHECK(bench.settle() == "p: ALLOW app=web");
  REQUIRE(bench.problems() == 1);
  CHECK(bench.problem().in_force == "that of this name in 2.yaml is in force");
  // It stays what it was when that file goes: this one still has it, and it was good.
  bench.remove("2.yaml");
  CHECK(bench.settle() == "p: ALLOW app=web");
  CHECK(bench.problem().in_force == "what was good before stays in force");
}

TEST_CASE("two policies of one name that never were good close both what they select") {
  Bench bench;
  const std::string other = policy("p", kGoodRules, "db");
  bench.put("1.yaml", policy("p", kGoodRules) + other);
  CHECK(bench.settle() == "p: DENY app=web, p#2: DENY app=db");
  bench.put("2.yaml", policy("p", kBadRules, "x"));
  CHECK(bench.settle() == "p: DENY app=web, p#2: DENY app=db, p#3: DENY app=x");
  bench.put("1.yaml", other);
  CHECK(bench.settle() == "p: ALLOW app=db");
}

TEST_CASE("of a new file that is not YAML, what can be told of its objects is closed") {
  Bench bench;
  const std::string bad =
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
      "metadata: {name: p, namespace: shop}\n"
      "spec:\n  selector: {matchLabels: {app: web}}\n  rules: [\n";
  bench.put("1.yaml", bad + pod("a"));
  CHECK(bench.settle() == "p: DENY app=web");
  REQUIRE(bench.problems() == 3);
  CHECK(bench.problem(0).in_force ==
        "what was good before stays in force, what is new is left out");
  CHECK(bench.problem(1).to_string() ==
        "1.yaml:9: Pod default/a: its file is not YAML; it was never good here: it is left out");
  CHECK(bench.problem(2).object == "AuthorizationPolicy shop/p");
  CHECK(bench.problem(2).in_force == "it was never good here: all that it selects is denied");
  bench.put("1.yaml", policy("p", kGoodRules) + pod("a"));
  CHECK(bench.settle() == "a@n1 p: ALLOW app=web");
  // What was good stays; what is new in it is closed.
  bench.put("1.yaml", policy("q", kGoodRules, "db") + bad + pod("a"));
  CHECK(bench.settle() == "a@n1 p: ALLOW app=web, q: DENY app=db");
  CHECK(bench.problems() == 2);
  bench.put("1.yaml", policy("p", kBadRules));
  CHECK(bench.settle() == "p: ALLOW app=web");
  bench.put("1.yaml", "[");
  CHECK(bench.settle() == "p: ALLOW app=web");
  bench.put("1.yaml", "---\napiVersion: v1\nkind: Pod\n");
  CHECK(bench.settle() == "p: ALLOW app=web");
  bench.remove("1.yaml");
  CHECK(bench.settle().empty());
}

TEST_CASE("a document without a name may be any of those that are missing") {
  Bench bench;
  bench.put("1.yaml", pod("a") + pod("b"));
  bench.settle();
  bench.put("1.yaml", pod("b", "n2") + "---\napiVersion: v1\nkind: Pod\n");
  CHECK(bench.settle() == "a@n1 b@n2");
}

TEST_CASE("of two files with one object the first one keeps it, and the other is told") {
  Bench bench;
  bench.put("2.yaml", pod("a", "n2"));
  bench.settle();
  bench.put("1.yaml", pod("a", "n1"));
  CHECK(bench.settle() == "a@n2");
  REQUIRE(bench.problems() == 1);
  CHECK(bench.problem().to_string() ==
        "1.yaml:2: Pod default/a: metadata.name: there are two objects of this name: the other is "
        "in 2.yaml; that one is in force");
  bench.remove("2.yaml");
  CHECK(bench.settle() == "a@n1");
  CHECK(bench.problems() == 0);
}

}  // namespace mesh::control
