// weft-cni stays on its node, whoever works against it, and leaves when it is told.

#include "ebpf/cni/installer.h"

#include <poll.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mesh::ebpf::cni {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConflist = R"({"name":"k8s","plugins":[{"type":"ptp"}]})";

struct Place {
  Place() {
    char name[] = "/tmp/weft-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    root = name;
    fs::create_directories(root + "/net.d");
    fs::create_directories(root + "/bin");
    write("/plugin", "the program");
  }
  ~Place() { fs::remove_all(root); }

  InstallOptions options() const {
    return {.configurations = root + "/net.d",
            .programs = root + "/bin",
            .plugin = root + "/plugin",
            .entry = {.socket = "/run/weft/agent.sock", .excluded_namespaces = {}}};
  }
  void write(const std::string& path, const std::string& text) const {
    std::ofstream(root + path) << text;
  }
  std::string read(const std::string& path) const {
    std::ifstream file(root + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool chained(const std::string& path) const {
    return read(path).find("weft-cni") != std::string::npos;
  }
  std::string root;
};

bool has_news(const Installer& installer) {
  pollfd polled{installer.fd(), POLLIN, 0};
  return poll(&polled, 1, 5000) == 1;
}

TEST_CASE("installer: chains the first configuration, and mends what others do to it") {
  const Place place;
  place.write("/net.d/10-a.conflist", kConflist);
  place.write("/net.d/20-b.conflist", kConflist);
  auto installer = Installer::start(place.options());
  REQUIRE(installer);
  CHECK((*installer)->mend() == 2);
  CHECK((*installer)->in_place());
  CHECK(place.chained("/net.d/10-a.conflist"));
  CHECK(!place.chained("/net.d/20-b.conflist"));
  CHECK(place.read("/bin/weft-cni") == "the program");
  struct stat status{};
  CHECK((stat((place.root + "/bin/weft-cni").c_str(), &status) == 0 &&
         (status.st_mode & 07777) == 0755));
  CHECK((*installer)->mend() == 0);

  place.write("/net.d/10-a.conflist", kConflist);  // rewritten in place
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 1);
  CHECK(place.chained("/net.d/10-a.conflist"));

  place.write("/new", kConflist);  // replaced
  fs::rename(place.root + "/new", place.root + "/net.d/10-a.conflist");
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 1);

  fs::remove(place.root + "/net.d/10-a.conflist");  // removed: the next one counts
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 1);
  CHECK(place.chained("/net.d/20-b.conflist"));

  fs::remove(place.root + "/bin/weft-cni");
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 1);
  place.write("/bin/weft-cni", "something else");
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 1);
  CHECK(place.read("/bin/weft-cni") == "the program");
}

TEST_CASE("installer: waits for a configuration, and for one that is whole") {
  const Place place;
  auto installer = Installer::start(place.options());
  REQUIRE(installer);
  CHECK((*installer)->mend() == 1);  // the program
  CHECK(!(*installer)->in_place());
  place.write("/net.d/10-a.conflist", R"({"plugins":[)");
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 0);
  CHECK(!(*installer)->in_place());
  CHECK(place.read("/net.d/10-a.conflist") == R"({"plugins":[)");
  place.write("/net.d/10-a.conflist", kConflist);
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 1);
  CHECK((*installer)->in_place());
}

TEST_CASE("installer: a folder that is taken away and comes back is watched again") {
  const Place place;
  place.write("/net.d/10-a.conflist", kConflist);
  auto installer = Installer::start(place.options());
  REQUIRE(installer);
  (*installer)->mend();
  fs::remove_all(place.root + "/net.d");
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 0);
  CHECK(!(*installer)->in_place());
  fs::create_directories(place.root + "/net.d");
  CHECK((*installer)->mend() == 0);  // as every second
  place.write("/net.d/10-a.conflist", kConflist);
  CHECK(has_news(**installer));
  CHECK((*installer)->mend() == 1);
}

TEST_CASE("installer: removal leaves the node as it was") {
  const Place place;
  place.write("/net.d/10-a.conflist", kConflist);
  place.write("/net.d/99-broken.conf", "{");
  auto installer = Installer::start(place.options());
  REQUIRE(installer);
  (*installer)->mend();
  REQUIRE(Installer::remove(place.options()));
  CHECK(!place.chained("/net.d/10-a.conflist"));
  CHECK(place.read("/net.d/99-broken.conf") == "{");
  CHECK(fs::is_empty(place.root + "/bin"));
  CHECK(Installer::remove(place.options()));  // again is fine
}

TEST_CASE("installer: without its folders or its program it does not start") {
  const Place place;
  auto options = place.options();
  options.plugin = place.root + "/absent";
  CHECK(!Installer::start(options));
  options = place.options();
  options.configurations = place.root + "/absent";
  const auto refused = Installer::start(options);
  REQUIRE(!refused);
  CHECK(refused.error().find("is no folder") != std::string::npos);
}

}  // namespace
}  // namespace mesh::ebpf::cni
