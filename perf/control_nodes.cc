// Simulated nodes of a control server: each has a discovery stream of its own, takes everything and
// acknowledges it at once.
//
//   control_nodes PORT ROOT_FILE TOKENS_FOLDER COUNT
//
// Node N shows the token in TOKENS_FOLDER/node-N. Prints "VERSION UNIX_SECONDS" when the last of
// them has been sent that version, until its input ends.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "control/grpc_client_for_tests.h"

namespace {

using mesh::control::TestClient;
using mesh::xds::ResourceType;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// How many nodes have been sent each version. A node that skips one has it with the next.
class Progress {
 public:
  explicit Progress(int nodes) : versions_(static_cast<std::size_t>(nodes)) {}

  void note(int node, std::uint64_t version) {
    const double now =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    const std::lock_guard lock(mutex_);
    versions_[static_cast<std::size_t>(node)] = version;
    std::uint64_t least = version;
    for (const std::uint64_t one : versions_) least = std::min(least, one);
    if (least <= said_) return;
    said_ = least;
    std::printf("%llu %.6f\n", static_cast<unsigned long long>(least), now);
    std::fflush(stdout);
  }

 private:
  std::mutex mutex_;
  std::vector<std::uint64_t> versions_;
  std::uint64_t said_ = 0;
};

void be_node(int number, int port, const std::string& root, const std::string& tokens,
             Progress& progress, const std::atomic<bool>& stop) {
  const std::string name = "node-" + std::to_string(number);
  std::string token = text_of(tokens + "/" + name);
  while (!token.empty() && token.back() <= ' ') token.pop_back();
  TestClient client(port, root, token);
  client.open(std::chrono::hours(1));
  for (const ResourceType type : {ResourceType::kAddress, ResourceType::kAuthorization}) {
    mesh::xds::DeltaRequest request;
    request.node = mesh::xds::Node{.id = "ztunnel~10.0.0.1~" + name + ".weft-system~x",
                                   .metadata = {{"NODE_NAME", name}}};
    request.type_url = std::string(mesh::xds::type_url(type));
    client.send(request);
  }
  while (!stop) {
    const auto response = client.receive(std::chrono::milliseconds(500));
    if (!response) continue;
    mesh::xds::DeltaRequest ack;
    ack.type_url = response->type_url;
    ack.response_nonce = response->nonce;
    client.send(ack);
    progress.note(number, std::strtoull(response->system_version.c_str(), nullptr, 10));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const int count = std::atoi(argv[4]);
  const std::string root = text_of(argv[2]);
  Progress progress(count);
  std::atomic<bool> stop{false};
  std::vector<std::thread> nodes;
  for (int i = 0; i < count; ++i) {
    nodes.emplace_back([&, i] { be_node(i, std::atoi(argv[1]), root, argv[3], progress, stop); });
  }
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  stop = true;
  for (std::thread& node : nodes) node.join();
  return 0;
}
