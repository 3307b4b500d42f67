#pragma once
// One node of the simulated cluster: a whole ztunnel::Node on rings of its own, with its half of
// discovery, and what stands at the message seam: the agent's events, the control plane, the CA. It
// can be restarted.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mesh/identity/certificate_store.h"
#include "mesh/io/sim.h"
#include "test/sim/control.h"
#include "test/sim/model.h"
#include "test/support/test_ca.h"
#include "ztunnel/node.h"

namespace mesh::sim {

// Answers signing requests of one node, late, and sometimes not at all.
class SimCa final : public identity::Issuer {
 public:
  SimCa(io::sim::World& world, const test::TestCa& ca) : world_(world), ca_(ca) {}

  io::Ring* ring = nullptr;  // of the node
  std::chrono::seconds lifetime{24 * 3600};
  io::Duration slowest = std::chrono::milliseconds(20);
  double fails = 0;

  io::Task<Result<identity::Issued>> issue(net::SpiffeId id, std::string csr_pem) override;

 private:
  io::sim::World& world_;
  const test::TestCa& ca_;
};

class ZtunnelNode {
 public:
  ZtunnelNode(io::sim::World& world, io::sim::Host& host, const test::TestCa& ca,
              telemetry::Log& log, ztunnel::Config config, Findings& findings);
  ~ZtunnelNode();  // not while it runs

  void start();
  // SIGTERM: drains. over() when the process is gone; then forget() and, if wanted, start() again.
  void stop();
  bool running() const { return life_ != nullptr; }
  bool over() const { return over_; }
  void forget();
  // SIGKILL, at any time. Then start(): the agent tells a new process of all pods.
  void kill();

  // The agent.
  void add_pod(int number, io::sim::Host& host);
  void remove_pod(int number);
  // The control plane: one change. `begins`: with it the change to these pods' rules begins;
  // `ends`: the last part of the change to the last of these pods' rules.
  struct Response {
    workload::Delta delta = {};
    std::map<int, Rule> begins = {};
    std::set<int> ends = {};
  };
  void deliver(const Response& response);
  // Its stream breaks, and another one begins.
  void reconnect();
  Control& control() { return control_; }
  // It has said something else than deliver().
  void listen();

  SimCa& ca() { return ca_; }
  io::Ring& ring() { return *ring_; }
  const std::map<int, RuleHistory>& rules() const { return rules_; }
  bool serves(int pod) const { return pods_.contains(pod); }
  std::size_t pod_count() const { return pods_.size(); }
  // Every pod has its listeners on every lane.
  bool all_up() const;
  // Asks the lanes for their open connections; `connections` is there after a moment.
  void ask_connections();
  std::size_t connections = 0;

 private:
  struct Life;
  using Netns = std::shared_ptr<const net::NetworkNamespace>;
  io::Task<void> live(Life& life);
  io::Task<void> add_one(int number, Netns netns);
  io::Task<void> count_connections();
  io::Task<void> expire_held();
  void connect(bool fresh);
  // Hands messages to and fro, until nobody has one.
  void talk();
  bool take(const Control::Message& message);
  void publish();
  // The rules that are wholly in the Directory of now, by pod.
  std::vector<std::pair<int, std::size_t>> newest_rules() const;
  // What is not in it is in no process any more.
  void restarted();

  io::sim::World& world_;
  io::sim::Host& host_;
  telemetry::Log& log_;
  const ztunnel::Config config_;
  SimCa ca_;
  std::unique_ptr<io::Ring> ring_;
  std::unique_ptr<Life> life_;
  bool over_ = false;
  std::map<int, Netns> pods_;
  Control control_;
  std::map<int, RuleHistory> rules_;
  std::map<int, std::map<std::uint64_t, std::size_t>>
      ended_;  // by pod and response of this process: a rule
};

}  // namespace mesh::sim
