#pragma once
// Two nodes with a ztunnel each, four pods and an outside world, in one simulated network: the
// world in which the situations of access.tsv were recorded, on our proxies.
//
//   client 10.78.0.1 (node 1) and server 10.78.0.2 (node 2) are in the mesh; peer 10.78.0.3 and
//   plain 10.78.0.4 are known to it, but captured by nobody; outside is 10.78.0.254.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mesh/io/sim.h"
#include "test/support/test_ca.h"
#include "ztunnel/node.h"

namespace mesh::ztunnel {

// One node: a host of its own, a ztunnel on it, and what that one logged.
class TestNode {
 public:
  // With servers the node has a DNS proxy, which forwards to them.
  TestNode(io::sim::World& world, const std::string& name, const char* address,
           std::vector<net::IpAddress> dns_servers);
  ~TestNode();

  // Starts the node with one pod in `host`; runs until drain() was called.
  io::Task<void> run(PodInfo pod, io::sim::Host& host);
  void drain() {
    ring->post([this] { stop_->set(); });
  }

  void publish(workload::DirectoryPtr directory);
  void publish(std::shared_ptr<const identity::Certificate> certificate);
  // The log's lines since the last call.
  std::vector<std::string> new_lines();
  std::string metrics() { return telemetry->metrics.render(); }

  Config config;
  int log_fd;
  std::unique_ptr<telemetry::LogSink> sink;
  telemetry::LogFilter filter;
  std::unique_ptr<telemetry::Log> log;
  std::unique_ptr<Telemetry> telemetry;
  std::unique_ptr<io::Ring> ring;
  std::unique_ptr<Node> node;
  bool up = false;
  bool drained = false;
  unsigned applied = 0;

 private:
  std::unique_ptr<io::Event> stop_;
  std::size_t read_ = 0;
};

struct LittleMesh {
  explicit LittleMesh(std::uint64_t seed = 1, std::vector<net::IpAddress> dns_servers = {});
  ~LittleMesh();  // drains both nodes

  std::shared_ptr<const identity::Certificate> certificate(
      const std::string& id, const test::TestCa& issuer, std::vector<std::string> names = {}) const;
  // Both nodes use it when this returns.
  void publish(workload::DirectoryPtr next);
  // `task` on the host's ring, until nothing happens any more.
  void run(io::Ring& on, io::Task<void> task);

  test::TestCa ca;
  io::sim::World world;
  io::sim::Host& client;
  io::sim::Host& server;
  io::sim::Host& peer;
  io::sim::Host& plain;
  io::sim::Host& outside;
  TestNode one, two;
  std::unique_ptr<io::Ring> client_ring, server_ring, peer_ring, plain_ring, outside_ring;
  workload::DirectoryPtr directory;
};

// The recorded world: services srv (80 -> 7000, 82 -> 7020), empty, wpsvc (waypoint: peer),
// workloads, and a policy that denies port 7010 in namespace app.
workload::DirectoryPtr recorded_world();

}  // namespace mesh::ztunnel
