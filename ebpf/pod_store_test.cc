#include "ebpf/pod_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mesh::ebpf {
namespace {

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/weft-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

StoredPod web() {
  return {.info = {"u-1", "web", "shop", "default", {*net::IpAddress::parse("fd00::1")}, "/run/x"},
          .netns_inode = 4026532000,
          .netns_cookie = 77,
          .saved_settings = {{"lo/rp_filter", "2"}},
          .made_clsact = {1, 2}};
}

TEST_CASE("what was saved is loaded") {
  const Folder folder;
  const PodStore store(folder.path);
  CHECK(store.load()->empty());  // no file yet
  REQUIRE(store.save({web(), web()}));
  const auto loaded = store.load();
  REQUIRE(loaded);
  REQUIRE(loaded->size() == 2);
  const StoredPod& pod = loaded->front();
  CHECK(pod.info.uid == "u-1");
  CHECK(pod.info.ns == "shop");
  CHECK(pod.info.service_account == "default");
  CHECK(pod.info.ips == web().info.ips);
  CHECK(pod.info.netns_path == "/run/x");
  CHECK(pod.netns_inode == 4026532000);
  CHECK(pod.netns_cookie == 77);
  CHECK(pod.saved_settings.front().name == "lo/rp_filter");
  CHECK(pod.saved_settings.front().value == "2");
  CHECK(pod.made_clsact == std::vector<unsigned>{1, 2});
  struct stat status{};
  REQUIRE(stat((folder.path + "/pods.json").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("pods of an earlier boot are forgotten: their namespaces are gone") {
  const std::string text = format_pods({web()}, "boot-1");
  CHECK(parse_pods(text, "boot-1")->size() == 1);
  CHECK(parse_pods(text, "boot-2")->empty());
}

TEST_CASE("a damaged file is named, and not overwritten with nothing") {
  const Folder folder;
  for (const char* text : {"", "{", "[]", R"({"format":2})", R"({"format":1,"bootId":"b"})"}) {
    std::ofstream(folder.path + "/pods.json") << text;
    const auto loaded = PodStore(folder.path).load();
    REQUIRE(!loaded);
    CHECK(loaded.error().starts_with(folder.path + "/pods.json is damaged: "));
  }
  const auto incomplete = parse_pods(R"({"format":1,"bootId":"b","pods":[{"uid":"u"}]})", "b");
  REQUIRE(!incomplete);
  CHECK(incomplete.error() == "pod 1 is incomplete");
}

TEST_CASE("a folder that cannot be written to is an error in words") {
  const auto saved = PodStore("/nonexistent/folder").save({});
  REQUIRE(!saved);
  CHECK(saved.error().starts_with("cannot write /nonexistent/folder/pods.json.new: "));
}

TEST_CASE("a namespace is found again by its cookie, and another one is not taken for it") {
  const auto own = net::NetworkNamespace::current();
  REQUIRE(own);
  const auto cookie = cookie_of(*own);
  if (!cookie) SKIP("this kernel or sandbox does not let us enter namespaces");
  StoredPod pod = web();
  pod.netns_inode = own->inode();
  pod.netns_cookie = *cookie;
  const auto found = find_namespace(pod);
  REQUIRE(found);
  CHECK(found->inode() == own->inode());
  ++pod.netns_cookie;
  const auto other = find_namespace(pod);
  REQUIRE(!other);
  CHECK(other.error().reason == Reason::kUnreachable);
}

}  // namespace
}  // namespace mesh::ebpf
