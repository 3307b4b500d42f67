#include "cli/lab/waypoints.h"

#include <unistd.h>

#include <filesystem>

#include <catch2/catch_test_macros.hpp>

#include "cli/lab/files.h"
#include "cli/lab/folder.h"

namespace mesh::cli::lab {
namespace {

struct Folder {
  std::string path = std::filesystem::temp_directory_path() / "weft-waypoints-XXXXXX";
  Folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
  void put(const std::string& name, const std::string& text) {
    REQUIRE(write_file(path + "/" + name, text));
  }
};

std::string gateway(const std::string& class_name) {
  return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
         "metadata: {name: waypoint, namespace: books}\n"
         "spec: {gatewayClassName: " +
         class_name + ", listeners: []}\n";
}

TEST_CASE("a waypoint's Gateway has parts while it is there") {
  Folder folder;
  folder.put("gateway.yaml", gateway("weft-waypoint"));
  REQUIRE(provide_waypoints(folder.path, "/bin/weft-waypoint"));
  auto contents = read_contents(folder.path);
  REQUIRE(contents.problems.empty());
  REQUIRE(contents.services.contains("books/waypoint"));
  REQUIRE(contents.pods.contains("books/waypoint-0"));
  const Pod& pod = contents.pods.at("books/waypoint-0");
  CHECK(pod.service_account == "waypoint");
  CHECK(pod.containers[0].command == std::vector<std::string>{"/bin/weft-waypoint"});
  CHECK(pod.dataplane_mode == "none");
  CHECK(selects(contents.services.at("books/waypoint"), pod));

  // what the lab has decided since stays
  PodStatus status;
  status.ips = {"10.244.1.7"};
  folder.put("pod.books.waypoint-0.yaml", with_status(pod, status));
  REQUIRE(provide_waypoints(folder.path, "/bin/weft-waypoint"));
  CHECK(read_file(folder.path + "/pod.books.waypoint-0.yaml")->find("10.244.1.7") !=
        std::string::npos);

  std::filesystem::remove(folder.path + "/gateway.yaml");
  REQUIRE(provide_waypoints(folder.path, "/bin/weft-waypoint"));
  CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("a Gateway of another class, or with a Service of somebody else's, is left alone") {
  Folder folder;
  folder.put("gateway.yaml", gateway("another"));
  REQUIRE(provide_waypoints(folder.path, "/bin/weft-waypoint"));
  CHECK(read_contents(folder.path).pods.empty());
  folder.put("gateway.yaml", gateway("weft-waypoint"));
  folder.put("service.yaml",
             "apiVersion: v1\nkind: Service\nmetadata: {name: waypoint, namespace: books}\n"
             "spec: {selector: {app: mine}, ports: [{port: 15008}]}\n");
  REQUIRE(provide_waypoints(folder.path, "/bin/weft-waypoint"));
  CHECK(read_contents(folder.path).pods.empty());
}

TEST_CASE("nothing is written beside a file that cannot be read") {
  Folder folder;
  folder.put("broken.yaml", "a: [");
  folder.put("gateway.yaml", gateway("weft-waypoint"));
  CHECK_FALSE(provide_waypoints(folder.path, "/bin/weft-waypoint"));
  CHECK(read_contents(folder.path).pods.empty());
}

}  // namespace
}  // namespace mesh::cli::lab
