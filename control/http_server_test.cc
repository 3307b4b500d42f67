// Port 15014 over real connections: the server, and the pages it serves.

#include "control/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/debug_pages.h"
#include "control/folder.h"

namespace mesh::control {
namespace {

constexpr std::string_view kWorld = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: web}
status: {phase: Running, podIP: 10.244.1.10, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {nodeName: n2, serviceAccountName: cart}
status: {phase: Running, podIP: 10.244.2.10, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: outsider, namespace: other}
spec: {nodeName: n2}
status: {phase: Running, podIP: 10.244.2.11, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.5, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: closed, namespace: shop, labels: {istio.io/use-waypoint: gone}}
spec: {clusterIP: 10.96.0.6, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web-only, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]
)";

class Bench {
 public:
  Bench() : pages_(hub_, "the-debug-token") {
    auto server = HttpServer::start(*net::SocketAddress::parse("127.0.0.1:0"),
                                    [this](const admin::Request& r) { return pages_.answer(r); });
    REQUIRE(server);
    server_ = *std::move(server);
  }

  void publish(std::string_view manifests, bool was_good = true) {
    Folder folder;
    folder.put("m.yaml", manifest::parse("m.yaml", manifests));
    const Objects objects = folder.settle();
    hub_.publish(std::make_shared<const World>(objects), folder.problems(), was_good);
  }

  int connect() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_storage storage{};
    const auto address = net::SocketAddress::parse("127.0.0.1:" + std::to_string(server_->port()));
    const socklen_t length = address->to_sockaddr(storage);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0);
    return fd;
  }

  std::string exchange(const std::string& request) {
    const int fd = connect();
    REQUIRE(::send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(request.size()));
    std::string answer;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<std::size_t>(got));
    }
    ::close(fd);
    return answer;
  }

  std::string get(const std::string& path, const std::string& token = "the-debug-token") {
    return exchange("GET " + path + " HTTP/1.1\r\nhost: x\r\n" +
                    (token.empty() ? "" : "authorization: Bearer " + token + "\r\n") + "\r\n");
  }

  nlohmann::json json(const std::string& path) {
    const std::string answer = get(path);
    INFO(answer.substr(0, 400));
    REQUIRE(answer.starts_with("HTTP/1.1 200 "));
    return nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  }

  Hub hub_{Settings{}, 7, [](std::uint64_t) {}};
  DebugPages pages_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace

TEST_CASE("ready and metrics are for everybody, debug pages for who has the token") {
  Bench bench;
  bench.publish(kWorld);
  CHECK(bench.get("/ready", "").starts_with("HTTP/1.1 200 "));
  CHECK(bench.get("/metrics", "").find("\nweft_control_snapshot_version 7\n") != std::string::npos);
  CHECK(bench.get("/debug/sync").starts_with("HTTP/1.1 200 "));
  for (const char* token : {"", "the-debug-toke", "the-debug-token2", "x"}) {
    INFO(token);
    CHECK(bench.get("/debug/sync", token).starts_with("HTTP/1.1 401 "));
    CHECK(bench.get("/debug/nothing", token).starts_with("HTTP/1.1 401 "));
  }
  CHECK(bench.get("/nothing").starts_with("HTTP/1.1 404 "));
  CHECK(bench.get("/debug/nothing").starts_with("HTTP/1.1 404 "));
}

TEST_CASE("before the manifests were good once, /ready says which line to repair") {
  Bench bench;
  CHECK(bench.get("/ready").starts_with("HTTP/1.1 503 "));
  bench.publish("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {nodeName: []}\n", false);
  CHECK(bench.get("/ready").find("m.yaml:4: Pod default/x: spec.nodeName") != std::string::npos);
}

TEST_CASE("requests that are not of HTTP, not GET, or too big are refused, others go on") {
  Bench bench;
  bench.publish(kWorld);
  CHECK(bench.exchange("garbage\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(bench.exchange("POST /ready HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            .starts_with("HTTP/1.1 405 "));
  CHECK(
      bench.exchange("GET /ready HTTP/1.1\r\nhost: x\r\na: " + std::string(9000, 'x') + "\r\n\r\n")
          .starts_with("HTTP/1.1 4"));
  const std::string head = bench.exchange("HEAD /ready HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(head.ends_with("\r\n\r\n"));
  // Idle strangers do not keep the others out.
  std::vector<int> idle;
  for (int i = 0; i < 100; ++i) idle.push_back(bench.connect());
  CHECK(bench.get("/ready").starts_with("HTTP/1.1 200 "));
  for (const int fd : idle) ::close(fd);
}

TEST_CASE("sync names every node with enrolled pods, connected or not") {
  Bench bench;
  bench.publish(kWorld);
  const nlohmann::json sync = bench.json("/debug/sync");
  CHECK(sync["version"] == 7);
  REQUIRE(sync["nodes"].size() == 2);
  CHECK(sync["nodes"][1] == nlohmann::json({{"node", "n2"},
                                            {"connected", false},
                                            {"ackedVersion", 0},
                                            {"pending", true},
                                            {"lastNack", ""},
                                            {"pods", 1}}));
}

TEST_CASE("the same resources under the same number, a change under the next") {
  Bench bench;
  bench.publish(kWorld);
  const auto first = bench.hub_.snapshot();
  bench.publish(kWorld);
  CHECK(bench.hub_.snapshot()->version == 7);
  bench.publish(std::string(kWorld) +
                "---\napiVersion: v1\nkind: Service\n"
                "metadata: {name: more}\nspec: {clusterIP: 10.96.0.9}\n");
  const auto next = bench.hub_.snapshot();
  CHECK(next->version == 8);
  const auto& name = "Kubernetes//Pod/shop/web";
  CHECK(first->of(xds::ResourceType::kAddress).find(name)->second ==
        next->of(xds::ResourceType::kAddress).find(name)->second);  // shared, not equal
}

TEST_CASE("problems are listed with file, line and field") {
  Bench bench;
  bench.publish(std::string(kWorld) +
                "---\napiVersion: v1\nkind: Pod\nmetadata: {name: x}\n"
                "spec: {nodeName: []}\n");
  const nlohmann::json problems = bench.json("/debug/problems")["problems"];
  REQUIRE(problems.size() == 1);
  CHECK(problems[0]["object"] == "Pod default/x");
  CHECK(problems[0]["field"] == "spec.nodeName");
  CHECK(problems[0]["severity"] == "error");
}

TEST_CASE("explain gives the data plane's own answer") {
  Bench bench;
  bench.publish(kWorld);
  const auto ask = [&](const std::string& from, const std::string& to, int port) {
    return bench.json("/debug/explain?from=" + from + "&to=" + to +
                      "&port=" + std::to_string(port));
  };
  const nlohmann::json yes = ask("shop/web", "cart.shop", 80);
  CHECK(yes["allowed"] == true);
  CHECK(yes["decidedBy"] == "shop/web-only");
  CHECK(yes["rule"] == 0);
  CHECK(yes["endpoints"][0]["port"] == 8080);
  CHECK(ask("shop/web", "10.96.0.5", 80)["allowed"] == true);
  CHECK(ask("shop/web", "10.244.2.10", 8080)["allowed"] == true);
  CHECK(ask("shop/web", "cart", 80)["allowed"] == true);
  const nlohmann::json plain = ask("other/outsider", "shop/cart", 8080);
  CHECK(plain["allowed"] == false);
  CHECK(plain["path"] == "plaintext: other/outsider is not in the mesh");
  CHECK(ask("shop/web", "other/outsider", 80)["allowed"] == true);
  CHECK(ask("shop/web", "192.0.2.1", 80)["allowed"] == true);
  CHECK(ask("shop/web", "cart.shop", 81)["decidedBy"] == "no_endpoint");
  CHECK(ask("shop/web", "closed.shop", 80)["allowed"] == false);
  CHECK(bench.get("/debug/explain?from=shop/nobody&to=cart&port=80").starts_with("HTTP/1.1 404 "));
  CHECK(bench.get("/debug/explain?from=shop/web&to=cart&port=0").starts_with("HTTP/1.1 400 "));
  CHECK(bench.get("/debug/explain").starts_with("HTTP/1.1 400 "));
}

}  // namespace mesh::control
