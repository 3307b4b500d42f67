#include "cli/lab/document.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli::lab {

TEST_CASE("documents keep their place, and the types of their scalars") {
  const auto documents = parse_documents("a.yaml",
                                         "# nothing\n---\nkind: Pod\nmetadata:\n  name: web\n"
                                         "  namespace: shop\n---\n\n---\nkind: Namespace\n"
                                         "metadata: {name: shop, labels: {a: \"1\", b: 1}}\n");
  REQUIRE(documents);
  REQUIRE(documents->size() == 2);
  CHECK((*documents)[0].kind == "Pod");
  CHECK((*documents)[0].line == 3);
  CHECK((*documents)[0].line_count == 4);
  CHECK((*documents)[0].ns == "shop");
  CHECK((*documents)[1].line == 10);
  CHECK((*documents)[1].json.find("\"a\": \"1\"") != std::string::npos);
  CHECK((*documents)[1].json.find("\"b\": 1") != std::string::npos);
}

TEST_CASE("what kustomize makes objects of is none itself") {
  const auto documents = parse_documents(
      "kustomization.yaml",
      "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n");
  REQUIRE(documents);
  CHECK(documents->empty());
}

TEST_CASE("a document that is not an object names its line") {
  struct Row {
    const char* text;
    const char* error;
  };
  for (const Row& row : {
           Row{"kind: Pod\nmetadata: {name: a}\n---\nkind: [\n", "f:5: "},
           Row{"kind: Pod\n---\n", "f:1: metadata.name: missing"},
           Row{"metadata: {name: a}\n", "f:1: kind: missing"},
           Row{"- a\n", "f:1: not an object"},
           Row{"kind: A\nkind: B\nmetadata: {name: a}\n", "f:2: key \"kind\" appears twice"},
       }) {
    INFO(row.text);
    const auto documents = parse_documents("f", row.text);
    REQUIRE_FALSE(documents);
    CHECK(documents.error().starts_with(row.error));
  }
}

TEST_CASE("limits of a manifest file") {
  CHECK_FALSE(parse_documents("f", std::string((4u << 20) + 1, ' ')));
  std::string deep = "kind: A\nmetadata: {name: a}\nspec: ";
  for (int i = 0; i < 100; ++i) deep += "[";
  for (int i = 0; i < 100; ++i) deep += "]";
  const auto documents = parse_documents("f", deep);
  REQUIRE_FALSE(documents);
  CHECK(documents.error() == "f:3: nested too deeply");
}

TEST_CASE("which files are manifests") {
  CHECK(is_manifest_name("shop.yaml"));
  CHECK(is_manifest_name("a.yml"));
  CHECK(is_manifest_name("a.json"));
  CHECK_FALSE(is_manifest_name(".shop.yaml"));
  CHECK_FALSE(is_manifest_name("demo.py"));
}

}  // namespace mesh::cli::lab
