#include "ebpf/profiles.h"

#include <stdlib.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

using mesh::ebpf::install_profiles;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;

  Folder() {
    char name[] = "/tmp/weft-profiles-XXXXXX";
    path = ::mkdtemp(name);
    fs::create_directories(path / "from");
  }
  ~Folder() { fs::remove_all(path); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path / name);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  auto install() const {
    return install_profiles((path / "from").string(), (path / "to/weft").string());
  }
};

}  // namespace

TEST_CASE("Profiles come to the node, and are written again only when they differ") {
  const Folder folder;
  folder.write("from/a.json", "{}");
  folder.write("from/notes.txt", "no profile");
  CHECK(folder.install() == 1);
  CHECK(folder.read("to/weft/a.json") == "{}");
  CHECK(folder.install() == 0);
  folder.write("from/a.json", "{\"new\": true}");
  CHECK(folder.install() == 1);
  CHECK(folder.read("to/weft/a.json") == "{\"new\": true}");
  CHECK(std::distance(fs::directory_iterator(folder.path / "to/weft"), {}) == 1);
}

TEST_CASE("A link in a profile's place is replaced, not followed") {
  const Folder folder;
  folder.write("from/a.json", "{}");
  folder.write("victim", "{}");
  fs::create_directories(folder.path / "to/weft");
  fs::create_symlink(folder.path / "victim", folder.path / "to/weft/a.json");
  CHECK(folder.install() == 1);
  CHECK_FALSE(fs::is_symlink(folder.path / "to/weft/a.json"));
}

TEST_CASE("Without profiles, or with one that is too large, nobody is told that all is well") {
  const Folder folder;
  CHECK_FALSE(folder.install());
  folder.write("from/a.json", std::string(2u << 20, 'x'));
  CHECK_FALSE(folder.install());
  fs::remove_all(folder.path / "from");
  CHECK_FALSE(folder.install());
}
