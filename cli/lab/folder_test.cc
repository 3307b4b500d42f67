#include "cli/lab/folder.h"

#include <stdlib.h>

#include <catch2/catch_test_macros.hpp>

#include <filesystem>

#include "cli/lab/check.h"
#include "cli/lab/files.h"

namespace mesh::cli::lab {
namespace {

struct TemporaryFolder {
  std::string path;
  TemporaryFolder() {
    char name[] = "/tmp/weft-folder-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};

constexpr const char* kFile =
    "kind: Namespace\n"
    "apiVersion: v1\n"
    "metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n"
    "---\n"
    "kind: Pod\n"
    "apiVersion: v1\n"
    "metadata: {name: web, namespace: shop}\n"
    "spec: {containers: [{name: a, image: a, command: [sleep, \"1\"]}]}\n"
    "---\n"
    "kind: ServiceAccount\n"
    "apiVersion: v1\n"
    "metadata: {name: web, namespace: shop}\n";

}  // namespace

TEST_CASE("pods move to files of their own, and the rest keeps its lines") {
  TemporaryFolder folder;
  REQUIRE(put_manifest(folder.path, "shop.yaml", kFile));
  CHECK(exists(pod_file(folder.path, "shop", "web")));
  const auto rest = read_file(folder.path + "/shop.yaml");
  REQUIRE(rest);
  const auto documents = parse_documents("shop.yaml", *rest);
  REQUIRE(documents);
  REQUIRE(documents->size() == 2);
  CHECK(documents->at(1).kind == "ServiceAccount");
  CHECK(documents->at(1).line == 10);

  const Contents contents = read_contents(folder.path);
  CHECK(contents.problems.empty());
  CHECK(contents.pods.contains("shop/web"));
  CHECK(contents.namespace_modes.at("shop") == "ambient");
}

TEST_CASE("the items of a List get files of their own") {
  TemporaryFolder folder;
  REQUIRE(put_manifest(folder.path, "list.yaml",
                       "kind: List\napiVersion: v1\nitems:\n"
                       "- {kind: ServiceAccount, apiVersion: v1, metadata: {name: a}}\n"
                       "- {kind: Namespace, apiVersion: v1, metadata: {name: b}}\n"));
  CHECK(list_folder(folder.path) ==
        std::vector<std::string>{"namespace.b.yaml", "serviceaccount.default.a.yaml"});
}

TEST_CASE("a pod written straight into the folder is arranged") {
  TemporaryFolder folder;
  REQUIRE(write_file(folder.path + "/mine.yaml", kFile));
  REQUIRE(arrange(folder.path));
  CHECK(exists(pod_file(folder.path, "shop", "web")));
  const auto before = read_file(folder.path + "/mine.yaml");
  REQUIRE(arrange(folder.path));  // again: nothing to do
  CHECK(read_file(folder.path + "/mine.yaml") == before);
}

TEST_CASE("an object is removed wherever it is") {
  TemporaryFolder folder;
  REQUIRE(put_manifest(folder.path, "shop.yaml", kFile));
  REQUIRE(remove_object(folder.path, "pod", "shop", "web"));
  CHECK_FALSE(exists(pod_file(folder.path, "shop", "web")));
  REQUIRE(remove_object(folder.path, "serviceaccount", "", "web"));
  CHECK(parse_documents("f", *read_file(folder.path + "/shop.yaml"))->size() == 1);
  CHECK_FALSE(remove_object(folder.path, "pod", "shop", "web"));
}

TEST_CASE("what is applied replaces the object of that name wherever it was") {
  TemporaryFolder folder;
  REQUIRE(put_manifest(folder.path, "shop.yaml", kFile));
  REQUIRE(put_objects(folder.path, "-",
                      "kind: Namespace\napiVersion: v1\nmetadata: {name: shop}\n"
                      "---\nkind: ServiceAccount\napiVersion: v1\n"
                      "metadata: {name: cart, namespace: shop}\n"));
  CHECK(read_contents(folder.path).namespace_modes.at("shop").empty());
  CHECK(check_folder(folder.path).empty());  // nothing is there twice
  CHECK(exists(folder.path + "/serviceaccount.shop.cart.yaml"));
  REQUIRE(put_objects(folder.path, "-",
                      "kind: Namespace\napiVersion: v1\n"
                      "metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n"));
  CHECK(read_contents(folder.path).namespace_modes.at("shop") == "ambient");
  REQUIRE(put_objects(folder.path, "-",
                      "kind: ServiceAccount\napiVersion: v1\nmetadata: {name: cart}\n"));
  CHECK(exists(folder.path + "/serviceaccount.default.cart.yaml"));
  CHECK(exists(folder.path + "/serviceaccount.shop.cart.yaml"));  // another namespace's stays
}

TEST_CASE("an unreadable file is a problem, not an absence") {
  TemporaryFolder folder;
  REQUIRE(write_file(folder.path + "/half.yaml", "kind: Pod\nmetadata: {name"));
  const Contents contents = read_contents(folder.path);
  REQUIRE(contents.problems.size() == 1);
  CHECK(contents.problems[0].starts_with("half.yaml:"));
}

TEST_CASE("invalid manifests and two objects of one name are found before anything starts") {
  TemporaryFolder folder;
  REQUIRE(write_file(folder.path + "/a.yaml", kFile));
  CHECK(check_folder(folder.path).empty());
  REQUIRE(
      write_file(folder.path + "/b.yaml",
                 "kind: ServiceAccount\napiVersion: v1\nmetadata: {name: web, namespace: shop}\n"
                 "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                 "metadata: {name: p, namespace: shop}\nspec:\n  action: MAYBE\n  rules: [{}]\n"));
  const auto errors = check_folder(folder.path);
  INFO(errors.at(0) << "\n" << errors.at(1));
  REQUIRE(errors.size() == 2);
  CHECK(errors[0].find("b.yaml:9: AuthorizationPolicy shop/p: spec.action") != std::string::npos);
  CHECK(errors[1].find("ServiceAccount shop/web is already at") != std::string::npos);
}

}  // namespace mesh::cli::lab
