#pragma once
// One seed: a cluster of two nodes, what happens to it, and what must hold.
//
// Set up; an active phase in which the plan of the seed is carried out; everything healed, and new
// connections must work; everything quiet, and nothing may be left.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/sim/traffic.h"
#include "test/sim/waypoint.h"
#include "test/sim/ztunnel_node.h"

namespace mesh::sim {

struct Outcome {
  std::uint64_t hash = 0, events = 0;
  std::vector<std::string> findings;
  // For people.
  std::size_t streams = 0, reached = 0, clean = 0;
  std::string plan;
};

class Scenario {
 public:
  Scenario(std::uint64_t seed, telemetry::Log& log);
  ~Scenario();
  Outcome run();

 private:
  struct Pod {
    int node = 0;
    net::IpAddress ip, ip6;
    Rule rule;  // as control sent it last
    io::sim::Host* host = nullptr;
    std::unique_ptr<App> app;
    bool alive = false;  // its application runs, the agent has told of it
  };

  // Spares have no address at first: they get that of a pod that went.
  // To this one's service a waypoint leads, in some seeds.
  static constexpr int kBehindWaypoint = 3;
  static constexpr int kPods = 6, kSpares = 2, kNodes = 2;
  static io::sim::Options options(std::uint64_t seed);

  // plan.cc
  void plan();
  void plan_streams();
  void plan_stalls();
  void plan_network();
  void plan_policies();
  void plan_denials();
  void plan_control();
  void spoil(int pod);
  void plan_strict();
  void plan_outside();
  void plan_names();
  // Of the mesh or outside, at a time between `after` and `most` later.
  void plan_name(int from, bool outside, io::Duration after, io::Duration most);
  void note(const std::string& what) { plan_ += plan_.empty() ? what : ", " + what; }

  // plan_pods.cc
  void plan_pods();
  void reuse_address(int victim, int spare);
  void use_old_address(int victim, int spare, io::Duration moved);
  void plan_restart();
  void restart(int node, io::Duration gap);
  void kill(int node, io::Duration gap);

  // oracles.cc
  void on_wire(const io::sim::Host& from, std::span<const std::byte> bytes);
  void on_bytes(Stream& one);
  void check_live();
  void check_stalled();
  void on_reached(Stream& one, int pod, const net::SocketAddress& peer);
  void check_names();
  void check_progress();
  void check_quiet();
  bool may_reach(const Stream& one, int pod, io::TimePoint since) const;

  // scenario.cc
  void set_up();
  void set_up_waypoint();
  void at(io::Duration after, std::function<void()> action);
  void run_for(io::Duration time);
  bool run_until(io::Duration limit, const std::function<bool()>& condition);
  void heal();
  void shut_down();
  using Response = ZtunnelNode::Response;
  void send_update(const workload::Delta& delta);
  void send_update(int node, io::Duration after, const workload::Delta& delta);
  // In this order, each at the node before the next one is sent.
  void send_in_turn(int node, const std::vector<Response>& responses, io::Duration apart);
  void set_rule(int pod, Rule rule);
  void set_mesh_strict(bool strict);
  workload::Delta everything() const;
  static policy::PolicyPtr mesh_strict_policy();
  bool goes_through_waypoint(const StreamSpec& spec) const;
  Stream& open_stream(StreamSpec spec);
  // Of a pod's service, or kOutside.
  void ask_name(int from, int of, bool v6, unsigned tries = kPatientTries);
  std::string pod_line(int pod) const;
  Rule random_rule();
  // Of its service; of a pod itself.
  static net::IpAddress virtual_ip(int pod, bool v6 = false);
  net::IpAddress pod_ip(int pod, bool v6 = false) const {
    return v6 ? pods_[pod].ip6 : pods_[pod].ip;
  }
  std::uint64_t below(std::uint64_t bound) { return world_.random() % bound; }
  io::Duration within(io::Duration most);
  void find(const std::string& what) { traffic_.findings.add(what); }

  io::sim::World world_;
  const io::sim::Options options_;
  telemetry::Log& log_;
  test::TestCa ca_;
  Traffic traffic_;
  std::vector<Pod> pods_;
  NameServer name_server_{traffic_.findings};
  std::list<Name> names_;
  std::unique_ptr<App> outside_;
  std::unique_ptr<Waypoint> waypoint_;
  std::vector<io::sim::Host*> node_hosts_;
  std::vector<std::unique_ptr<ZtunnelNode>> nodes_;
  std::multimap<io::TimePoint, std::function<void()>> actions_;
  std::vector<std::pair<io::sim::Host*, io::sim::Host*>> cut_;
  bool passthrough_ = false;  // unknown destinations are passed, not refused
  bool mesh_strict_ = false;
  // When the last response of each kind (addresses, policies) reaches each node.
  std::map<std::pair<int, bool>, io::TimePoint> last_due_;
  io::Duration slowest_update_{};
  io::TimePoint began_{};  // the active phase
  io::Duration active_{};
  io::sim::Link path_{};
  bool stalls_ = false;           // a short path, and streams that nobody reads
  std::set<std::uint64_t> told_;  // stalled streams that held too much
  int restarting_ = 0;
  std::uint64_t next_stream_ = 1;
  std::string plan_;
};

}  // namespace mesh::sim
