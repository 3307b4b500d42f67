#include "cli/lab/files.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include <filesystem>

namespace mesh::cli::lab {

TEST_CASE("a file is replaced whole, with its mode, and nothing stays beside it") {
  char name[] = "/tmp/weft-files-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string folder = name;
  const std::string path = folder + "/token";
  REQUIRE(write_file(path, "one\n", 0600));
  REQUIRE(write_file(path, "two\nthree\n", 0600));
  CHECK(read_file(path) == "two\nthree\n");
  struct stat file{};
  REQUIRE(::stat(path.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);
  CHECK(list_folder(folder) == std::vector<std::string>{"token"});
  CHECK(tail(path, 1) == "three");
  CHECK(tail(path, 5) == "two\nthree");
  std::filesystem::remove_all(folder);
  CHECK(write_file(path, "x").error().starts_with("write " + path + ": "));
  CHECK(read_file(path).error().starts_with("read " + path + ": "));
  CHECK(tail(path, 3).empty());
}

TEST_CASE("random text is as long as asked, and not the same twice") {
  CHECK(random_hex(32).size() == 64);
  CHECK(random_hex(16) != random_hex(16));
}

}  // namespace mesh::cli::lab
