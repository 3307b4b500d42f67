#pragma once
// Node: all pods of this node, on all worker rings; driven from the main ring.
//
// Whoever feeds it is outside: main.cc connects the control plane and the node agent, a simulation
// calls the same functions. A snapshot is posted to every lane and reported as applied when all of
// them use it; a pod is up when its listeners stand on every lane.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/worker.h"
#include "ztunnel/lane.h"
#include "ztunnel/live_connections.h"

namespace mesh::ztunnel {

inline constexpr std::chrono::seconds kPodRetry{5};
// How long pods outlive a snapshot of the agent that mentions none at all: more likely an agent
// that lost its memory than a node whose pods all went away at once.
inline constexpr std::chrono::seconds kEmptySnapshotGrace{60};

enum class PodState : std::uint8_t { kStarting, kUp, kFailed };

struct PodEntry {
  PodSpec spec;
  PodState state = PodState::kStarting;
  std::string problem = {};                          // of a failed one
  std::optional<io::TimePoint> doubtful_since = {};  // see kEmptySnapshotGrace
  bool retryable = true;
};

// One open connection, as /config_dump lists it.
struct ConnectionRow {
  std::string pod_uid;
  Direction direction;
  bool hbone;
  net::SocketAddress source, dialled, actual;
};

class Node {
 public:
  // Tells of identities that come and go with pods. Called on the main ring.
  using IdentityUse = std::function<void(const net::SpiffeId& id, bool used)>;

  // `identity_wanted`: a connection waits for its pod's certificate; see CertificateView::Wanted.
  Node(io::Ring& ring, const Config& config, Telemetry& telemetry, IdentityUse identity_use,
       identity::CertificateView::Wanted identity_wanted = {});
  ~Node();  // after drain()
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Starts config.workers lanes. Errors: those of a Ring.
  io::Task<Result<Done>> start();
  // Retries pods that failed, every kPodRetry, and lets go of doubtful ones. Until cancelled.
  io::Task<void> tend();
  // Closes all listeners at once, lets connections end until config.termination_deadline, then ends
  // them; returns when every lane is gone.
  io::Task<void> drain();

  // Posts a snapshot to every lane; `applied` runs on the main ring when all of them use it.
  void publish(workload::DirectoryPtr directory, std::function<void()> applied);
  // While memory is short, no lane begins a connection: exhausted.
  void set_memory_short(bool is_short);
  void publish(const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> certificate);

  // The agent's events. add_pod() returns when the pod is up or why it is not; a failed one is kept
  // and retried. A uid that is there already: nothing happens for the same namespace, it moves for
  // another one. Errors: kExhausted (Config::pods_max), those of listening (the text says where).
  io::Task<Result<Done>> add_pod(PodInfo info, std::shared_ptr<const net::NetworkNamespace> netns,
                                 std::string& problem);
  void keep_pod(const std::string& uid);
  void remove_pod(const std::string& uid);
  // The agent has told of all there is.
  void snapshot_received(const std::set<std::string>& mentioned);
  // The agent is there and has told of all there is; or it is gone.
  void set_agent_ready(bool ready) { agent_ready_ = ready; }

  // What is still missing until the node carries traffic: "state manager", "workload proxy
  // manager". Empty: ready.
  std::vector<std::string> pending() const;
  const std::map<std::string, PodEntry>& pods() const { return pods_; }
  const workload::DirectoryPtr& directory() const { return directory_; }
  // Set when all lanes use a new snapshot, and when the pods changed. For one reader, who resets
  // it.
  io::Event& changed() { return changed_; }
  // The connections of all lanes, at most `limit`.
  io::Task<std::vector<ConnectionRow>> connections(std::size_t limit);

 private:
  struct Slot {  // one worker
    std::unique_ptr<io::Worker> worker;
    Lane* lane = nullptr;  // touched on the worker's thread only
    telemetry::TcpMetrics::Shard* shard = nullptr;
  };
  struct Gathering;

  io::Task<void> run_lane(io::Ring& ring, Slot& slot);
  void lane_started();
  void lane_ended();
  // Runs `action` on every lane (of those that serve `uid`, if given) and waits for all answers;
  // the first error counts.
  io::Task<Result<Done>> on_lanes(std::function<Result<Done>(Lane&, std::string&)> action,
                                  std::string& problem, std::optional<std::string> uid);
  bool lane_serves(std::size_t lane, const std::string& uid) const;
  io::Task<Result<Done>> start_pod(std::string uid);
  void drop_pod(const std::string& uid, io::Duration grace);
  void count_pods();

  io::Ring& ring_;
  const Config& config_;
  Telemetry& telemetry_;
  IdentityUse identity_use_;
  identity::CertificateView::Wanted identity_wanted_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::size_t lanes_up_ = 0;
  io::Event lanes_changed_;
  io::Event changed_;
  std::map<std::string, PodEntry> pods_;
  workload::DirectoryPtr directory_;
  bool complete_applied_ = false;
  bool agent_ready_ = false;
  bool draining_ = false;
};

}  // namespace mesh::ztunnel
