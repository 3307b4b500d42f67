// weft-control as a process: what it says when it cannot start, and what a restart keeps.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "control/certificates.h"
#include "control/grpc_client_for_tests.h"
#include "control/http_server.h"
#include "control/state.h"

extern char** environ;

namespace mesh::control {
namespace {

using xds::ResourceType;

constexpr const char* kToken = "token-of-node-1-0123456789";
constexpr const char* kManifest =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: "
    "ambient}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n"
    "spec: {nodeName: node-1}\nstatus: {phase: Running, podIP: 10.244.1.10}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
    "spec: {clusterIP: 10.96.0.5, ports: [{port: 80}]}\n";

// A port that nobody listens on now.
std::uint16_t free_port() {
  const auto server = HttpServer::start(*net::SocketAddress::parse("127.0.0.1:0"),
                                        [](const admin::Request&) { return HttpResponse{}; });
  REQUIRE(server);
  return (*server)->port();
}

class Bench {
 public:
  Bench() {
    char path[] = "/tmp/weft-program-test-XXXXXX";
    folder = ::mkdtemp(path);
    std::filesystem::create_directories(folder + "/m");
    std::filesystem::create_directories(folder + "/s/tokens");
    std::ofstream(folder + "/m/a.yaml") << kManifest;
    std::ofstream(folder + "/s/tokens/node-1") << kToken;
  }
  ~Bench() {
    if (process > 0) {
      ::kill(process, SIGKILL);
      ::waitpid(process, nullptr, 0);
    }
    std::filesystem::remove_all(folder);
  }

  void start() {
    const std::string listen = "127.0.0.1:" + std::to_string(port);
    const std::string debug = "127.0.0.1:" + std::to_string(debug_port);
    const std::string manifests = folder + "/m";
    const std::string state = folder + "/s";
    std::vector<const char*> argv = {
        CONTROL_PROGRAM, "--manifests",  manifests.c_str(), "--state",     state.c_str(),
        "--listen",      listen.c_str(), "--debug-listen",  debug.c_str(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (folder + "/log").c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(::posix_spawn(&process, CONTROL_PROGRAM, &actions, nullptr,
                          const_cast<char* const*>(argv.data()), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  int wait() {
    int status = 0;
    REQUIRE(::waitpid(process, &status, 0) == process);
    process = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string log() const { return read_file(folder + "/log", 1 << 20).value_or(""); }

  TestClient client() const {
    return TestClient(port, *read_file(folder + "/s/ca/root-cert.pem", 65536), kToken);
  }

  std::string folder;
  pid_t process = -1;
  std::uint16_t port = free_port();
  std::uint16_t debug_port = free_port();
};

xds::DeltaRequest first_request(const std::vector<xds::RawResource>& known) {
  xds::DeltaRequest request;
  request.node = xds::Node{.id = "ztunnel~1.1.1.1~z.x~x", .metadata = {{"NODE_NAME", "node-1"}}};
  request.type_url = std::string(xds::type_url(ResourceType::kAddress));
  for (const xds::RawResource& resource : known) {
    request.initial_versions.emplace_back(resource.name, resource.version);
  }
  return request;
}

}  // namespace

TEST_CASE("a start that fails is one line that says what to do, and status 1") {
  Bench bench;
  const auto taken =
      HttpServer::start(*net::SocketAddress::parse("127.0.0.1:" + std::to_string(bench.port)),
                        [](const admin::Request&) { return HttpResponse{}; });
  REQUIRE(taken);
  SECTION("15012 is taken") {}
  SECTION("15014 is taken") {
    bench.debug_port = bench.port;
    bench.port = free_port();
  }
  SECTION("no such folder") {
    bench.port = free_port();
    std::filesystem::remove_all(bench.folder + "/m");
  }
  SECTION("a root key that others can read") {
    bench.port = free_port();
    std::filesystem::create_directories(bench.folder + "/s/ca");
    std::ofstream(bench.folder + "/s/ca/root-key.pem") << "x";
    std::ofstream(bench.folder + "/s/ca/root-cert.pem") << "x";
    ::chmod((bench.folder + "/s/ca/root-key.pem").c_str(), 0644);
  }
  bench.start();
  CHECK(bench.wait() == 1);
  const std::string log = bench.log();
  INFO(log);
  const auto last = log.rfind("weft-control: ");
  REQUIRE(last != std::string::npos);
  CHECK(log.find('\n', last) == log.size() - 1);
  CHECK(log.find("weft-control: ") == last);
}

TEST_CASE("a control server that was killed and returns sends nothing again, and removes nothing") {
  Bench bench;
  std::filesystem::create_directories(bench.folder + "/s/ca");
  REQUIRE(CertificateAuthority::open(bench.folder + "/s/ca", "cluster.local"));
  bench.start();
  std::vector<xds::RawResource> held;
  {
    TestClient client = bench.client();
    client.open();
    client.send(first_request({}));
    const auto first = client.receive(std::chrono::seconds(20));
    REQUIRE(first);
    held = first->resources;
    REQUIRE(held.size() == 2);
  }
  ::kill(bench.process, SIGKILL);
  bench.wait();
  bench.start();
  {
    TestClient client = bench.client();
    client.open();
    client.send(first_request(held));
    const auto again = client.receive(std::chrono::seconds(20));
    REQUIRE(again);
    CHECK(again->resources.empty());
    CHECK(again->removed.empty());
    CHECK(again->system_version == "2");  // numbers go on, they do not start again
  }
  ::kill(bench.process, SIGTERM);
  CHECK(bench.wait() == 0);
}

}  // namespace mesh::control
