#pragma once
// The agent's event loop: two listening sockets, the peers on them, signals, and a clock.
//
// Limits: 128 callers at once on the agent socket, the longest idle is closed for a new one; one
// request of each at a time; 8 ztunnels; 5 ZDS connections accepted a second.

#include <deque>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "ebpf/cni/installer.h"
#include "ebpf/kubernetes/cluster_side.h"
#include "ebpf/kubernetes/kubelet.h"
#include "ebpf/node.h"

namespace mesh::ebpf {

struct AgentOptions {
  NodeOptions node;
  std::string zds_socket;
  std::string socket;
  bool detach_on_exit = false;
  std::optional<KubernetesOptions> kubernetes = {};  // pods are enrolled by their labels
  bool kubelet_probes = false;                       // they come from node.probe_v4 and _v6
  std::string kubelet_cgroup = {};                   // a path in cgroup v2; empty: found by itself
  std::optional<cni::InstallOptions> install = {};   // keep weft-cni on the node
};

class Agent {
 public:
  // `signals` is a signalfd: what it reports ends run(). Errors: in words, with what to do.
  static std::expected<std::unique_ptr<Agent>, std::string> start(AgentOptions options,
                                                                  UniqueFd signals);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent();  // removes the socket files

  void run();

 private:
  struct Caller {
    UniqueFd socket;
    pid_t process = 0;
    bool busy = false;  // its last request has not been answered yet
    Clock::time_point last_heard;
  };

  Agent(AgentOptions options, std::unique_ptr<Node> node, UniqueFd signals)
      : options_(std::move(options)), node_(std::move(node)), signals_(std::move(signals)) {}
  std::expected<void, std::string> listen();
  bool turn();
  void keep_installed(const std::map<int, short>& ready);
  void leave();
  void keep_probes();
  Result<Cgroup> kubelet_cgroup();
  int timeout_ms() const;
  void on_zds_listener();
  void on_listener();
  void on_caller(std::uint64_t id);
  void serve(AgentRequest request, std::vector<UniqueFd> descriptors, OnReply reply);
  void refuse(std::uint64_t id, const std::string& why);
  void answer(std::uint64_t id, const std::string& text);
  void advance_ztunnels(const std::map<int, short>& ready);
  bool may_accept_ztunnel() const;

  AgentOptions options_;
  std::unique_ptr<Probes> probes_;  // null: probes are captured like everything
  std::optional<Kubelet> kubelet_;
  std::string probes_said_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<ClusterSide> cluster_;  // borrows node_; null without Kubernetes
  std::unique_ptr<cni::Installer> installer_;
  UniqueFd signals_;
  UniqueFd zds_listener_;
  UniqueFd listener_;
  std::map<std::uint64_t, Caller> callers_;
  std::uint64_t next_caller_ = 1;
  std::deque<Clock::time_point> accepted_;  // ZDS connections of the last second
  std::set<const ZdsSession*> greeted_;
  Clock::time_point next_audit_{};
};

}  // namespace mesh::ebpf
