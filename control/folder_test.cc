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

class Bench {
 public:
  void put(const std::string& file, const std::string& text) {
    folder_.put(file, manifest::parse(file, text));
  }
  void remove(const std::string& file) { folder_.remove(file); }
  // "a@n1 b@n2": what is in force.
  std::string settle() {
    std::string text;
    for (const auto& [key, object] : folder_.settle()) {
      text +=
          (text.empty() ? "" : " ") + key.name + "@" + std::get<manifest::Pod>(*object).node_name;
    }
    return text;
  }
  std::size_t problems() const { return folder_.problems().size(); }
  const manifest::Problem& problem() const { return folder_.problems().front(); }

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

TEST_CASE("an object that never was good is not in force") {
  Bench bench;
  bench.put("1.yaml", broken_pod("a"));
  CHECK(bench.settle().empty());
  CHECK(bench.problems() == 1);
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
        "in 2.yaml");
  bench.remove("2.yaml");
  CHECK(bench.settle() == "a@n1");
  CHECK(bench.problems() == 0);
}

}  // namespace mesh::control
