#include "control/tokens.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

class Bench {
 public:
  Bench() {
    char path[] = "/tmp/weft-tokens-test-XXXXXX";
    folder = ::mkdtemp(path);
    tokens.emplace(folder);
  }
  ~Bench() { std::filesystem::remove_all(folder); }
  void write(const std::string& node, const std::string& token) {
    std::ofstream(folder + "/" + node + ".new") << token;
    std::filesystem::rename(folder + "/" + node + ".new", folder + "/" + node);
  }
  std::string who(const std::string& token) {
    return tokens->node_of("Bearer " + token).value_or("-");
  }

  std::string folder;
  std::optional<Tokens> tokens;
};

}  // namespace

TEST_CASE("who shows a node's token is that node") {
  Bench bench;
  bench.write("node-1", "the-token-of-node-1\n");
  bench.write("node-2", "the-token-of-node-2");
  CHECK(bench.who("the-token-of-node-2") == "node-2");
  CHECK(bench.who("the-token-of-node-1") == "node-1");
  CHECK(bench.who("the-token-of-node-3") == "-");
  CHECK_FALSE(bench.tokens->node_of("the-token-of-node-1"));
  CHECK_FALSE(bench.tokens->node_of("Basic the-token-of-node-1"));
  CHECK_FALSE(bench.tokens->node_of(""));
}

TEST_CASE("a token that was replaced or removed counts no longer, at once") {
  Bench bench;
  bench.write("node-1", "the-token-of-node-1");
  CHECK(bench.who("the-token-of-node-1") == "node-1");
  bench.write("node-1", "another-token-of-it");
  CHECK(bench.who("the-token-of-node-1") == "-");
  CHECK(bench.who("another-token-of-it") == "node-1");
  std::filesystem::remove(bench.folder + "/node-1");
  CHECK(bench.who("another-token-of-it") == "-");
}

TEST_CASE("short tokens, hidden files and folders are no tokens") {
  Bench bench;
  bench.write("node-1", "short");
  bench.write(".node-2", "the-token-of-node-2");
  std::filesystem::create_directory(bench.folder + "/node-3");
  bench.write("node-4", "");
  CHECK(bench.who("short") == "-");
  CHECK(bench.who("the-token-of-node-2") == "-");
  CHECK(bench.who("") == "-");
}

TEST_CASE("a token that two nodes hold is nobody's") {
  Bench bench;
  bench.write("node-1", "the-token-of-both-of-them");
  bench.write("node-2", "the-token-of-both-of-them");
  CHECK(bench.who("the-token-of-both-of-them") == "-");
}

TEST_CASE("secrets are compared whole") {
  CHECK(equal_secret("abc", "abc"));
  CHECK_FALSE(equal_secret("abc", "abd"));
  CHECK_FALSE(equal_secret("abc", "abcd"));
  CHECK(equal_secret("", ""));
}

}  // namespace mesh::control
