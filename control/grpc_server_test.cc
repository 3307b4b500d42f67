#include "control/grpc_server.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <catch2/catch_test_macros.hpp>

#include "ca.pb.h"
#include "control/grpc_client_for_tests.h"
#include "control/signing_request_for_tests.h"
#include "control/tokens.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {
namespace {

using xds::DeltaRequest;
using xds::ResourceType;

constexpr const char* kCaMethod = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
constexpr const char* kToken = "token-of-node-1-0123456789";

constexpr std::string_view kPod = R"(
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: shop, labels: {app: NAME}}
spec: {nodeName: NODE, serviceAccountName: NAME}
status: {phase: Running, podIP: IP, conditions: [{type: Ready, status: "True"}]}
---
)";

std::string pod(std::string name, std::string node, std::string ip) {
  std::string text(kPod);
  const auto replace = [&](std::string_view what, const std::string& by) {
    for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) {
      text.replace(at, what.size(), by);
    }
  };
  replace("NODE", node);
  replace("NAME", name);
  replace("IP", ip);
  // "podIP" lost its tail above.
  replace("pod" + ip, "podIP");
  return text;
}

constexpr std::string_view kNamespace =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: "
    "{istio.io/dataplane-mode: ambient}}\n---\n";

constexpr std::string_view kDeny =
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
    "metadata: {name: deny, namespace: shop}\n"
    "spec: {action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]}\n---\n";

// A whole control server but for the folder: manifests are given as text.
class Bench {
 public:
  Bench() : log_(sink_, telemetry::LogFormat::kText, filter_) {
    char path[] = "/tmp/weft-control-test-XXXXXX";
    folder_ = ::mkdtemp(path);
    std::filesystem::create_directory(folder_ + "/tokens");
    std::ofstream(folder_ + "/tokens/node-1") << kToken << "\n";
    authority_ = *CertificateAuthority::open(folder_, "cluster.local");
    signing_.set(authority_);
    ca_.emplace(hub_, signing_, std::chrono::hours(24), [] {});
    tokens_.emplace(folder_ + "/tokens");
    REQUIRE(write_serving_identity(folder_ + "/serving", *authority_->issue_server({"localhost"}),
                                   authority_->root_pem()));
    server_ = GrpcServer::start({.address = "127.0.0.1:0", .identity = folder_ + "/serving"}, hub_,
                                *ca_, *tokens_, log_);
  }
  ~Bench() {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void publish(const std::string& manifests) {
    Objects objects;
    manifest::Parsed parsed = manifest::parse("test.yaml", manifests);
    REQUIRE_FALSE(parsed.has_errors());
    for (auto& object : parsed.objects) {
      auto key = manifest::key_of(object.object);
      objects[key] = std::make_shared<const manifest::Object>(std::move(object.object));
    }
    hub_.publish(std::make_shared<const World>(std::move(objects)), {}, true);
  }

  TestClient client(std::string token = kToken) {
    return TestClient(server_->port(), authority_->root_pem(), std::move(token));
  }

  std::string folder_;
  telemetry::LogFilter filter_{telemetry::Level::kOff};
  telemetry::LogSink sink_{STDERR_FILENO};
  telemetry::Log log_;
  Hub hub_{Settings{}, 1, [](std::uint64_t) {}};
  std::shared_ptr<CertificateAuthority> authority_;
  ca::Authority signing_;
  std::optional<CaServer> ca_;
  std::optional<Tokens> tokens_;
  std::unique_ptr<GrpcServer> server_;
};

DeltaRequest first_request(ResourceType type, std::string node = "node-1") {
  DeltaRequest request;
  request.node = xds::Node{.id = "ztunnel~10.0.0.1~z.istio-system~x",
                           .metadata = {{"NODE_NAME", std::move(node)}}};
  request.type_url = std::string(xds::type_url(type));
  return request;
}

DeltaRequest ack(const xds::DeltaResponse& response) {
  DeltaRequest request;
  request.type_url = response.type_url;
  request.response_nonce = response.nonce;
  return request;
}

std::string signing_request(const std::string& identity, SigningRequest options = {}) {
  options.uri = identity;
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(make_signing_request(options));
  request.set_validity_duration(3600);
  (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(
      identity);
  return request.SerializeAsString();
}

}  // namespace

TEST_CASE("a stream gets what there is, then only what changes") {
  Bench bench;
  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.10"));
  TestClient client = bench.client();
  client.open();
  client.send(first_request(ResourceType::kAddress));
  const auto first = client.receive();
  REQUIRE(first);
  CHECK(first->system_version == "1");
  REQUIRE(first->resources.size() == 1);
  CHECK(first->resources[0].name == "Kubernetes//Pod/shop/web");
  client.send(ack(*first));
  client.send(first_request(ResourceType::kAuthorization));
  const auto empty = client.receive();
  REQUIRE(empty);
  CHECK(empty->resources.empty());
  client.send(ack(*empty));

  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.10") +
                pod("cart", "node-2", "10.244.2.10") + std::string(kDeny));
  const auto policy = client.receive();
  REQUIRE(policy);
  CHECK(policy->resources[0].name == "shop/deny");
  client.send(ack(*policy));
  const auto second = client.receive();
  REQUIRE(second);
  REQUIRE(second->resources.size() == 1);
  CHECK(second->resources[0].name == "Kubernetes//Pod/shop/cart");
  CHECK(bench.hub_.nodes().front().pending);
  client.send(ack(*second));
  // The answer is on its way: the next thing the server says is after it.
  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.10"));
  const auto removal = client.receive();
  REQUIRE(removal);
  CHECK(removal->removed == std::vector<std::string>{"Kubernetes//Pod/shop/cart"});
  client.send(ack(*removal));
  const auto policy_removal = client.receive();
  REQUIRE(policy_removal);
  CHECK(policy_removal->removed == std::vector<std::string>{"shop/deny"});
}

TEST_CASE("a call without a node's token is refused before it is read") {
  Bench bench;
  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.10"));
  for (const char* token : {"", "token-of-nobody-0123456789", "short"}) {
    INFO(token);
    TestClient client = bench.client(token);
    CHECK(client.call(kCaMethod, signing_request("spiffe://cluster.local/ns/shop/sa/web")).status ==
          kUnauthenticated);
    client.open();
    CHECK_FALSE(client.receive());
    CHECK(client.close() == kUnauthenticated);
  }
}

TEST_CASE("a stream that says it is another node's is refused") {
  Bench bench;
  bench.publish("");
  TestClient client = bench.client();
  client.open();
  client.send(first_request(ResourceType::kAddress, "node-2"));
  CHECK_FALSE(client.receive());
  CHECK(client.close() == kPermissionDenied);
}

TEST_CASE("garbage ends a stream, and the server goes on") {
  Bench bench;
  bench.publish("");
  TestClient client = bench.client();
  CHECK(client.call(kCaMethod, "\xff\xff\xff").status == kInvalidArgument);
  CHECK(client.call("/no.such/Method", "").status == 12);
  client.open();
  DeltaRequest odd = first_request(ResourceType::kAddress);
  odd.type_url = "type.googleapis.com/no.such.Type";
  client.send(odd);
  CHECK_FALSE(client.receive());
  CHECK(client.close() == kInvalidArgument);
  client.open();
  client.send(first_request(ResourceType::kAddress));
  CHECK(client.receive());
}

TEST_CASE("connections that are not TLS are counted, and nobody else notices") {
  Bench bench;
  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.10"));
  TestClient client = bench.client();
  client.open();
  client.send(first_request(ResourceType::kAddress));
  REQUIRE(client.receive());
  for (const char* garbage :
       {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff garbage", "SSH-2.0-x\n"}) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_storage storage{};
    const auto address =
        net::SocketAddress::parse("127.0.0.1:" + std::to_string(bench.server_->port()));
    const socklen_t length = address->to_sockaddr(storage);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0);
    REQUIRE(::send(fd, garbage, std::strlen(garbage), MSG_NOSIGNAL) > 0);
    ::shutdown(fd, SHUT_WR);
    char answer[256];
    while (::recv(fd, answer, sizeof answer, 0) > 0) {
    }
    ::close(fd);
  }
  CHECK(bench.hub_.counters().transport_errors >= 1);
  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.11"));
  client.send(DeltaRequest{.node = {},
                           .type_url = std::string(xds::type_url(ResourceType::kAddress)),
                           .subscribe = {},
                           .unsubscribe = {},
                           .initial_versions = {},
                           .response_nonce = "1",
                           .error = {}});
  CHECK(client.receive());
}

TEST_CASE("an address that is taken is said by not starting") {
  Bench bench;
  const GrpcOptions same{.address = "127.0.0.1:" + std::to_string(bench.server_->port()),
                         .identity = bench.folder_ + "/serving"};
  CHECK(GrpcServer::start(same, bench.hub_, *bench.ca_, *bench.tokens_, bench.log_) == nullptr);
}

TEST_CASE("before the folder was good once, a stream waits and nothing is signed") {
  Bench bench;
  bench.hub_.publish(std::make_shared<const World>(), {}, false);
  TestClient client = bench.client();
  CHECK(client.call(kCaMethod, signing_request("spiffe://cluster.local/ns/shop/sa/web")).status ==
        kUnavailable);
  client.open();
  client.send(first_request(ResourceType::kAddress));
  CHECK_FALSE(client.receive(std::chrono::milliseconds(50)));
  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.10"));
  const auto first = client.receive();
  REQUIRE(first);
  CHECK(first->resources.size() == 1);
}

TEST_CASE("a certificate is for a service account with a pod on the caller's node") {
  Bench bench;
  bench.publish(std::string(kNamespace) + pod("web", "node-1", "10.244.1.10") +
                pod("cart", "node-2", "10.244.2.10"));
  TestClient client = bench.client();
  const auto answer =
      client.call(kCaMethod, signing_request("spiffe://cluster.local/ns/shop/sa/web"));
  REQUIRE(answer.status == 0);
  istio::v1::auth::IstioCertificateResponse response;
  REQUIRE(response.ParseFromString(answer.bytes));
  REQUIRE(response.cert_chain_size() == 2);
  CHECK(response.cert_chain(1) == bench.authority_->root_pem());

  struct Row {
    const char* identity;
    int status;
  };
  for (const Row row : {Row{"spiffe://cluster.local/ns/shop/sa/cart", kPermissionDenied},
                        Row{"spiffe://cluster.local/ns/shop/sa/none", kPermissionDenied},
                        Row{"spiffe://other.example/ns/shop/sa/web", kPermissionDenied},
                        Row{"shop/web", kInvalidArgument}, Row{"", kPermissionDenied}}) {
    INFO(row.identity);
    CHECK(client.call(kCaMethod, signing_request(row.identity)).status == row.status);
  }
  istio::v1::auth::IstioCertificateRequest nameless;
  nameless.set_csr("x");
  CHECK(client.call(kCaMethod, nameless.SerializeAsString()).status == kPermissionDenied);
}

}  // namespace mesh::control
