// The data plane's clients (mesh/grpc, no grpc++) against the real weft-control (grpc++), as two
// processes on loopback. The first argument of the environment is the program: WEFT_CONTROL.

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "mesh/identity/certificate_store.h"
#include "mesh/io/task_scope.h"
#include "mesh/xds/ads_client.h"
#include "mesh/xds/ca_client.h"
#include "test/support/eventually.h"

extern char** environ;

namespace mesh {
namespace {

using namespace std::chrono_literals;
using io::Task;
using test::eventually;

constexpr const char* kMesh = R"(apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, serviceAccountName: web, containers: [{name: c, image: x}]}
status:
  phase: Running
  podIP: 10.244.1.10
  podIPs: [{ip: 10.244.1.10}]
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: shop}
spec: {nodeName: node-2, serviceAccountName: default, containers: [{name: c, image: x}]}
status:
  phase: Running
  podIP: 10.244.2.10
  podIPs: [{ip: 10.244.2.10}]
  conditions: [{type: Ready, status: "True"}]
)";

constexpr const char* kDeny = R"(apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {namespaces: ["other"]}}]}]}
)";

std::uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

// weft-control on a folder of its own; killed with it.
class Control {
 public:
  Control() : port_(free_port()), debug_port_(free_port()) {
    char name[] = "/tmp/weft_interop_XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder_ = name;
    std::filesystem::create_directories(folder_ / "manifests");
    std::filesystem::create_directories(folder_ / "state" / "tokens");
    write("manifests/mesh.yaml", kMesh);
    write("state/tokens/node-1", "the-token-of-node-1");
    start();
  }
  ~Control() {
    stop();
    std::filesystem::remove_all(folder_);
  }

  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_ / path;
    std::ofstream(file.string() + ".new~") << text;
    std::filesystem::rename(file.string() + ".new~", file);
  }
  void remove(const std::string& path) { std::filesystem::remove(folder_ / path); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::uint16_t port() const { return port_; }

  void start() {
    const char* program = std::getenv("WEFT_CONTROL");
    REQUIRE(program != nullptr);
    std::vector<std::string> words = {program,
                                      "--manifests",
                                      path("manifests"),
                                      "--state",
                                      path("state"),
                                      "--listen",
                                      "127.0.0.1:" + std::to_string(port_),
                                      "--debug-listen",
                                      "127.0.0.1:" + std::to_string(debug_port_),
                                      "--certificate-lifetime",
                                      "30s"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string log = path("log");
    posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    REQUIRE(posix_spawn(&pid_, program, &actions, nullptr, arguments.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  void stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  std::filesystem::path folder_;
  std::uint16_t port_;
  std::uint16_t debug_port_;
  pid_t pid_ = -1;
};

struct Node {
  explicit Node(Control& c) : control(c), ring(*io::Ring::create()) {
    xds::AdsClientOptions ads_options;
    ads_options.channel = channel();
    ads_options.ads.node = {.id = "ztunnel~10.0.0.1~z.weft-system~weft-system.svc.cluster.local",
                            .metadata = {{"NODE_NAME", "node-1"}, {"NAMESPACE", "weft-system"}}};
    ads = std::make_unique<xds::AdsClient>(
        *ring, std::move(ads_options),
        [this](workload::DirectoryPtr next, std::uint64_t sequence) {
          directory = std::move(next);
          ads->applied(sequence);
        },
        [this](xds::AdsClient::LogLevel, std::string_view line) { log.emplace_back(line); });
    xds::CaClientOptions ca_options;
    ca_options.channel = channel();
    ca = std::make_unique<xds::CaClient>(*ring, std::move(ca_options),
                                         [this](std::string_view line) { log.emplace_back(line); });
    store = std::make_unique<identity::CertificateStore>(
        *ring, *ca, identity::StoreOptions{},
        [this](const net::SpiffeId&, std::shared_ptr<const identity::Certificate>) { ++published; },
        [this](std::string_view line) { log.emplace_back(line); });
  }

  grpc::ChannelOptions channel() {
    grpc::ChannelOptions options;
    options.target = {.host = "127.0.0.1", .port = control.port()};
    options.server_name = "istiod.istio-system.svc";
    options.roots = grpc::roots_from_file(control.path("state/ca/root-cert.pem"));
    options.metadata =
        grpc::bearer_metadata(control.path("state/tokens/node-1"), {{"clusterid", "Kubernetes"}});
    return options;
  }

  void run(Task<void> (*story)(Node&)) { ring->run(with_clients(story)); }
  Task<void> with_clients(Task<void> (*story)(Node&)) {
    io::TaskScope scope;
    scope.spawn(ads->run());
    scope.spawn(store->run());
    co_await story(*this);
    scope.cancel();
    co_await scope.join();
    co_await ca->close();
  }
  std::size_t policies() const { return directory ? directory->policies().size() : 0; }
  std::string said() const {
    std::string all;
    for (const std::string& line : log) all += line + "\n";
    return all;
  }

  Control& control;
  std::unique_ptr<io::Ring> ring;
  std::unique_ptr<xds::AdsClient> ads;
  std::unique_ptr<xds::CaClient> ca;
  std::unique_ptr<identity::CertificateStore> store;
  workload::DirectoryPtr directory;
  int published = 0;
  std::vector<std::string> log;
};

net::SpiffeId id(const char* service_account) {
  return *net::SpiffeId::make("cluster.local", "shop", service_account);
}

Task<void> discovery_story(Node& node) {
  const auto is_complete = [&] { return node.ads->complete(); };
  const bool complete = co_await eventually(*node.ring, is_complete);
  INFO(node.said());
  REQUIRE(complete);
  CHECK(node.directory->find_workload("Kubernetes//Pod/shop/web") != nullptr);
  CHECK(node.directory->workload_count() == 2);
  const std::size_t policies = node.policies();

  node.control.write("manifests/deny.yaml", kDeny);
  const auto is_added = [&] { return node.policies() > policies; };
  const bool added = co_await eventually(*node.ring, is_added);
  CHECK(added);
  node.control.remove("manifests/deny.yaml");
  const auto is_removed = [&] { return node.policies() == policies; };
  const bool removed = co_await eventually(*node.ring, is_removed);
  CHECK(removed);

  // It dies: everything stays. It returns: nothing is removed, nothing is sent again.
  const auto before = node.directory;
  node.control.stop();
  const auto is_noticed = [&] { return !node.ads->counters().connected; };
  const bool noticed = co_await eventually(*node.ring, is_noticed);
  CHECK(noticed);
  CHECK(node.directory == before);
  node.control.start();
  const std::uint64_t bytes = node.ads->counters().message_bytes[0];
  const auto is_back = [&] { return node.ads->counters().connected; };
  const bool back = co_await eventually(*node.ring, is_back);
  CHECK(back);
  node.control.write("manifests/deny.yaml", kDeny);
  const auto is_again = [&] { return node.policies() > policies; };
  const bool again = co_await eventually(*node.ring, is_again);
  CHECK(again);
  CHECK(node.directory->workload_count() == 2);
  CHECK(node.ads->counters().message_bytes[0] - bytes < 200);
  CHECK(node.ads->counters().nacks[0] + node.ads->counters().nacks[1] == 0);
}

TEST_CASE("discovery from weft-control: changes, death and return", "[interop]") {
  Control control;
  Node node(control);
  node.run(discovery_story);
}

Task<void> certificate_story(Node& node) {
  REQUIRE(node.store->add_user(id("web")));
  // A service account of another node's pod: not for us.
  REQUIRE(node.store->add_user(id("default")));
  const auto has_one = [&] { return node.store->find(id("web")) != nullptr; };
  const bool issued = co_await eventually(*node.ring, has_one);
  INFO(node.said());
  REQUIRE(issued);
  CHECK(node.store->find(id("web"))->not_after - node.ring->wall_now() <= 31s);
  const auto is_refused = [&] {
    return node.said().find("PERMISSION_DENIED") != std::string::npos;
  };
  const bool refused = co_await eventually(*node.ring, is_refused);
  CHECK(refused);
  CHECK(!node.store->find(id("default")));
}

TEST_CASE("certificates from weft-control: for the node's own pods only", "[interop]") {
  Control control;
  Node node(control);
  node.run(certificate_story);
}

Task<void> stranger_story(Node& node) {
  node.control.write("state/tokens/node-1", "another-token-of-node-1");
  REQUIRE(node.store->add_user(id("web")));
  const auto has_one = [&] { return node.store->find(id("web")) != nullptr; };
  const bool issued = co_await eventually(*node.ring, has_one);
  CHECK(issued);  // the file is read for each call, on both sides
  const auto is_complete = [&] { return node.ads->complete(); };
  const bool complete = co_await eventually(*node.ring, is_complete);
  CHECK(complete);
}

TEST_CASE("a node's token changes while both run", "[interop]") {
  Control control;
  Node node(control);
  node.run(stranger_story);
}

}  // namespace
}  // namespace mesh
