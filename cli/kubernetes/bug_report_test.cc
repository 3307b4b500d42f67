#include "cli/kubernetes/bug_report.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/kubernetes/fake_server_for_tests.h"

using namespace mesh::cli;
using Json = nlohmann::json;

TEST_CASE("A report goes on when something cannot be read, and says so") {
  FakeServer server;
  server.refuse("GET /version", 403, "no");
  server.answers["GET /api/v1/nodes?limit=500"] = {
      {"kind", "NodeList"},
      {"apiVersion", "v1"},
      {"items", {{{"metadata", {{"name", "n1"}, {"managedFields", {1, 2}}}}}}}};
  Cluster cluster = server.cluster();
  const auto files = gather_report(cluster, "mesh");
  CHECK(files.at("problems.txt").find("server-version.json: GET /version: 403") == 0);
  CHECK(files.at("nodes.json").find("n1") != std::string::npos);
  CHECK(files.at("nodes.json").find("managedFields") == std::string::npos);
  CHECK(files.at("problems.txt").contains("control: no weft-control runs in mesh"));
  for (const std::string& asked : server.asked) {
    INFO(asked);  // the token for control's pages is used, and goes nowhere
    CHECK((!asked.contains("secrets") || asked.ends_with("/mesh/secrets/weft-debug-token")));
  }
}

TEST_CASE("Every container's log is in a report, and what it said before it started again") {
  FakeServer server;
  const Json pod = {
      {"metadata", {{"name", "w"}, {"namespace", "shop"}}},
      {"spec", {{"containers", {{{"name", "envoy"}}, {{"name", "sds"}}}}}},
      {"status",
       {{"containerStatuses",
         {{{"name", "envoy"}, {"restartCount", 0}}, {{"name", "sds"}, {"restartCount", 2}}}}}}};
  server.answers["GET /api/v1/pods?labelSelector=" + mesh::kube::escaped(kWaypointPods) +
                 "&limit=500"] = {{"kind", "PodList"}, {"items", {pod}}};
  const std::string log = "GET /api/v1/namespaces/shop/pods/w/log?container=";
  server.answers[log + "envoy&limitBytes=4194304"] = "one";
  server.answers[log + "sds&limitBytes=4194304"] = "two";
  server.answers[log + "sds&limitBytes=4194304&previous=true"] = "three";
  Cluster cluster = server.cluster();
  const auto files = gather_report(cluster, "mesh");
  CHECK(files.at("logs/shop.w.envoy.log").contains("one"));
  CHECK(files.at("logs/shop.w.sds.log").contains("two"));
  CHECK(files.at("logs/shop.w.sds.previous.log").contains("three"));
  CHECK_FALSE(files.contains("logs/shop.w.envoy.previous.log"));
}

TEST_CASE("A name that no header has room for comes before it, and says how long it is") {
  CHECK(tar_of({{std::string(100, 'n'), ""}}, 1).size() == 512 + 1024);
  // Also where the length of the length changes.
  for (const std::size_t size : {101, 985, 988, 989, 990, 991}) {
    const std::string name(size, 'n');
    const std::string tar = tar_of({{name, "hello"}}, 1);
    CHECK(tar[156] == 'x');
    const std::size_t length = std::stoul(tar.substr(124, 11), nullptr, 8);
    const std::string record = tar.substr(512, length);
    CHECK(record == std::to_string(length) + " path=" + name + "\n");
    const std::size_t next = 512 + (length + 511) / 512 * 512;
    CHECK(tar[next + 156] == '0');
    CHECK(tar.substr(next + 512, 5) == "hello");
  }
}

TEST_CASE("A tar has a header of 512 bytes, its sum, and the file in blocks") {
  const std::string tar = tar_of({{"a.txt", "hello"}}, 1);
  REQUIRE(tar.size() == 512 + 512 + 1024);
  CHECK(std::string(tar.c_str()) == "a.txt");
  CHECK(tar.substr(124, 11) == "00000000005");
  CHECK(tar.substr(257, 5) == "ustar");
  unsigned sum = 8 * ' ';
  for (std::size_t i = 0; i < 512; ++i) {
    if (i < 148 || i >= 156) sum += static_cast<unsigned char>(tar[i]);
  }
  CHECK(std::stoul(tar.substr(148, 6), nullptr, 8) == sum);
  CHECK(tar.substr(512, 5) == "hello");
}
