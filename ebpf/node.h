#pragma once
// The node: its enrolled pods, the ztunnels connected to it, and what has to happen between them.
//
// Single-threaded; every call returns without waiting for a peer. What takes a ztunnel's answer
// reports through a callback, later, and exactly once.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ebpf/agent_message.h"
#include "ebpf/capture.h"
#include "ebpf/cgroup.h"
#include "ebpf/enrolments.h"
#include "ebpf/pod_store.h"
#include "ebpf/probes.h"
#include "ebpf/refusals.h"
#include "ebpf/seqpacket.h"
#include "ebpf/zds_session.h"

namespace mesh::ebpf {

struct NodeOptions {
  std::string name;
  std::string state_directory;
  std::size_t pods_max = 512;
  AttachKind attach = AttachKind::kTcx;
  std::optional<net::IpAddress> probe_v4 = {};
  std::optional<net::IpAddress> probe_v6 = {};
};

class Node final : public Enrolments {
 public:
  // Takes up the pods that a former agent of this node left in force.
  // Errors: in words, with what to do.
  static std::expected<std::unique_ptr<Node>, std::string> start(NodeOptions options);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Tells `probes` of the pods, now and from now on. Borrows it.
  void set_probes(Probes& probes);

  void handle(AgentRequest request, std::vector<UniqueFd> descriptors, OnReply reply);

  // A new ZDS connection. Refused, with a log line, unless its cgroup can be told and exempted.
  void add_ztunnel(Peer peer);
  std::vector<std::unique_ptr<ZdsSession>>& ztunnels() { return ztunnels_; }
  void end_ztunnel(const ZdsSession* session, const std::string& why);
  // Counted (see {"op":"status"}) and logged.
  void refused(Refusals::Kind kind, std::string_view what);
  void end_all_ztunnels(const std::string& why);

  // Once a second: mends what was detached (every tenth time, routing too), forgets cgroups of
  // ztunnels that are gone, removes pods that were let go and have no more connections.
  void audit();

  void enrol(PodInfo pod, UniqueFd netns, std::function<void(Enrolled)> done) override;
  void remove(const std::string& uid, std::function<void(std::string)> done) override;
  void let_go(const std::string& uid) override;
  std::vector<const PodInfo*> all_let_go() const override;
  const PodInfo* enrolled(const std::string& uid) const override;
  std::vector<const PodInfo*> all_enrolled() const override;
  bool has_ztunnel() const override;

  bool should_stop() const { return should_stop_; }
  // Takes capture away from every pod.
  void detach_all();

 private:
  struct Pod {
    PodInfo info;
    net::NetworkNamespace netns;
    std::uint64_t cookie = 0;
    Capture capture;
    bool ailing = false;  // its last audit failed, and that was logged
    bool leaving = false;
    bool let_go = false;  // new connections pass by ztunnel; removed when it has none left
  };

  explicit Node(NodeOptions options, ExemptCgroups exempt)
      : options_(std::move(options)),
        store_(options_.state_directory),
        exempt_(std::move(exempt)) {}
  std::expected<void, std::string> take_up(const StoredPod& stored);
  void take_up_cgroups();
  void audit(Pod& pod);
  void audit_cgroups();
  void remove_those_let_go();

  void add(PodInfo info, std::vector<UniqueFd> descriptors, OnReply reply);
  std::expected<void, std::string> capture(PodInfo info, net::NetworkNamespace netns);
  std::expected<net::NetworkNamespace, std::string> namespace_of(UniqueFd descriptor) const;
  std::expected<void, std::string> check_room(const PodInfo& info, std::uint64_t cookie);
  void tell_all_pods(ZdsSession& session);
  void tell_newest(const Pod& pod, std::function<void(Enrolled)> done);
  void finish_remove(const std::string& uid, const std::function<void(std::string)>& done);
  std::string list();
  std::string connections(const std::string& uid);
  std::string end_connections(const std::string& uid);
  CaptureOptions capture_options(const PodInfo& info) const;
  std::expected<void, std::string> save();
  Pod* find(const std::string& uid);
  void forget_probes(const std::vector<net::IpAddress>& ips);

  NodeOptions options_;
  Refusals refusals_;
  PodStore store_;
  ExemptCgroups exempt_;
  std::map<std::string, Pod> pods_;                    // by uid
  std::vector<std::unique_ptr<ZdsSession>> ztunnels_;  // the newest last
  std::map<std::uint64_t, Cgroup> cgroups_;            // of ztunnels, by id
  std::map<const ZdsSession*, std::uint64_t> cgroup_of_;
  Probes* probes_ = nullptr;
  unsigned audits_ = 0;
  bool should_stop_ = false;
};

}  // namespace mesh::ebpf
