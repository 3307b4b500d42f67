// Simulated nodes of a control server: each has a connection and a discovery stream of its own,
// takes everything and acknowledges it at once. All of them run on one ring: a node costs a
// connection.
//
//   control_nodes PORT ROOT_FILE TOKENS_FOLDER COUNT
//
// Node N shows the token in TOKENS_FOLDER/node-N. Twenty connect at a time. Prints "VERSION
// UNIX_SECONDS" when the last of them has been sent that version, until its input ends.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "mesh/base/privileges.h"
#include "mesh/grpc/channel.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/io/task_scope.h"
#include "mesh/xds/ads_codec.h"

namespace {

using mesh::Done;
using mesh::Result;
using mesh::io::Task;
using mesh::xds::ResourceType;

constexpr int kConnectAtOnce = 20;
constexpr std::string_view kPath =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  std::string all = text.str();
  while (!all.empty() && all.back() <= ' ') all.pop_back();
  return all;
}

// How many nodes have been sent each version. A node that skips one has it with the next.
class Progress {
 public:
  explicit Progress(int nodes) { versions_[0] = nodes; }

  void note(std::uint64_t before, std::uint64_t version) {
    if (before == version) return;
    if (--versions_[before] == 0) versions_.erase(before);
    ++versions_[version];
    if (versions_.begin()->first <= said_) return;
    said_ = versions_.begin()->first;
    const double now =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    std::printf("%llu %.6f\n", static_cast<unsigned long long>(said_), now);
    std::fflush(stdout);
  }

 private:
  std::map<std::uint64_t, int> versions_;
  std::uint64_t said_ = 0;
};

struct Bench {
  mesh::io::Ring* ring = nullptr;
  int port = 0;
  std::string root, tokens;
  int count = 0;
  Progress* progress = nullptr;
};

// What stands before the resources, which nobody here reads.
struct Head {
  std::string version, type_url, nonce;
};

Head head_of(std::string_view message) {
  Head head;
  std::size_t at = 0;
  const auto number = [&] {
    std::uint64_t value = 0;
    for (unsigned shift = 0; at < message.size() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.size()) {
    const std::uint64_t field = number();
    const std::uint64_t length = number();
    if (field != 0x0a && field != 0x22 && field != 0x2a) break;
    auto& to = field == 0x0a ? head.version : field == 0x22 ? head.type_url : head.nonce;
    to = message.substr(at, length);
    at += length;
  }
  return head;
}

Task<Result<Done>> ask(mesh::grpc::Call& call, const std::string& name) {
  for (const ResourceType type : {ResourceType::kAddress, ResourceType::kAuthorization}) {
    mesh::xds::DeltaRequest request;
    request.node = mesh::xds::Node{.id = "ztunnel~10.0.0.1~" + name + ".weft-system~x",
                                   .metadata = {{"NODE_NAME", name}}};
    request.type_url = std::string(mesh::xds::type_url(type));
    const std::string bytes = mesh::xds::encode(request);
    CO_TRY_DO(co_await call.send(bytes));
  }
  co_return Done{};
}

// `started` is set when it has everything for the first time, or never will.
Task<void> be_node(Bench& bench, int number, std::shared_ptr<mesh::io::Event> started) {
  const std::string name = "node-" + std::to_string(number);
  const std::string token = text_of(bench.tokens + "/" + name);
  mesh::grpc::ChannelOptions options;
  options.target = {.host = "localhost", .port = static_cast<std::uint16_t>(bench.port)};
  options.roots = [&bench]() -> Result<std::string> { return bench.root; };
  options.metadata = [token]() -> Result<mesh::grpc::Metadata> {
    return mesh::grpc::Metadata{{"authorization", "Bearer " + token}};
  };
  options.connect_deadline = std::chrono::minutes(1);
  options.keepalive_interval = std::chrono::minutes(5);
  mesh::grpc::Channel channel(*bench.ring, std::move(options));
  auto call = co_await channel.start(kPath);
  Result<Done> asked = mesh::failed(mesh::Reason::kCancelled, "no call");
  if (call) asked = co_await ask(*call, name);
  std::uint64_t version = 0;
  for (int answers = 0; asked;) {
    const auto message = co_await call->receive();
    if (!message || !*message) break;
    const Head head = head_of(**message);
    mesh::xds::DeltaRequest ack;
    ack.type_url = head.type_url;
    ack.response_nonce = head.nonce;
    const std::string bytes = mesh::xds::encode(ack);
    asked = co_await call->send(bytes);
    if (++answers < 2) continue;
    started->set();
    const std::uint64_t now = std::strtoull(head.version.c_str(), nullptr, 10);
    bench.progress->note(version, now);
    version = now;
  }
  std::fprintf(stderr, "%s: the stream ended\n", name.c_str());
  started->set();
  if (call) {
    mesh::grpc::Call ended = *std::move(call);
  }
  co_await channel.close();
}

Task<void> lane(Bench& bench, mesh::io::TaskScope& scope, int first) {
  for (int number = first; number < bench.count; number += kConnectAtOnce) {
    auto started = std::make_shared<mesh::io::Event>(*bench.ring);
    scope.spawn(be_node(bench, number, started));
    (void)co_await started->wait();
  }
}

Task<void> be_nodes(Bench& bench) {
  mesh::io::TaskScope scope;
  for (int first = 0; first < kConnectAtOnce; ++first) scope.spawn(lane(bench, scope, first));
  co_await scope.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  mesh::raise_descriptor_limit();
  std::thread([] {
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
    ::_exit(0);
  }).detach();
  auto ring = mesh::io::Ring::create();
  if (!ring) return 1;
  Progress progress(std::atoi(argv[4]));
  Bench bench{.ring = ring->get(),
              .port = std::atoi(argv[1]),
              .root = text_of(argv[2]) + "\n",
              .tokens = argv[3],
              .count = std::atoi(argv[4]),
              .progress = &progress};
  (*ring)->run(be_nodes(bench));
  return 0;
}
