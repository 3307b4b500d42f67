#include "test/sim/scenario.h"

#include <algorithm>

#include "mesh/io/ring_impl.h"
#include "mesh/workload/policy_order.h"
#include "test/support/directory_text.h"

namespace mesh::sim {
namespace {

using namespace std::chrono_literals;

net::IpAddress ip(const std::string& text) { return *net::IpAddress::parse(text); }

constexpr const char* kOutsideIp = "192.168.99.1";

ztunnel::Config node_config(int number, bool passthrough) {
  ztunnel::Config config;
  config.node_name = "node" + std::to_string(number);
  config.workers = 2;
  config.dns_servers = {ip(kOutsideIp)};
  config.unknown_destinations = passthrough ? ztunnel::UnknownDestinations::kPassthrough
                                            : ztunnel::UnknownDestinations::kRefuse;
  config.termination_deadline = 500ms;
  config.pool_idle_release = 2s;
  config.ready_deadline = 5s;
  return config;
}

constexpr const char* kWaypointIp = "10.244.0.100";
constexpr const char* kWaypointIp6 = "fd00:10:244:0::100";

// How much of the beginning of each connection is searched for what should not be readable there.
constexpr std::uint64_t kTapped = 4096;

}  // namespace

io::sim::Options Scenario::options(std::uint64_t seed) {
  io::sim::Options options{.seed = seed, .faults = io::sim::Faults::swarm(seed)};
  static constexpr std::size_t kBuffers[] = {65536, 131072, 262144};
  static constexpr std::size_t kSegments[] = {1460, 4096, 16384};
  options.send_buffer = kBuffers[seed % 3];
  options.receive_buffer = kBuffers[seed / 3 % 3];
  options.segment_bytes = kSegments[seed / 9 % 3];
  return options;
}

Scenario::Scenario(std::uint64_t seed, telemetry::Log& log)
    : world_(options(seed)), options_(options(seed)), log_(log) {
  traffic_.on_reached = [this](Stream& one, int pod, const net::SocketAddress& peer) {
    on_reached(one, pod, peer);
  };
  traffic_.on_bytes = [this](Stream& one) { on_bytes(one); };
  world_.set_tap([this](const io::sim::Host& from, const io::sim::Host&, std::uint64_t place,
                        std::span<const std::byte> bytes) {
    if (place < kTapped) on_wire(from, bytes);
  });
}

Scenario::~Scenario() = default;

io::Duration Scenario::within(io::Duration most) {
  return io::Duration(below(static_cast<std::uint64_t>(most.count()) + 1));
}

void Scenario::at(io::Duration after, std::function<void()> action) {
  actions_.emplace(world_.now() + after, std::move(action));
}

void Scenario::run_for(io::Duration time) {
  const io::TimePoint end = world_.now() + time;
  while (!actions_.empty() && actions_.begin()->first <= end) {
    auto next = actions_.extract(actions_.begin());
    if (next.key() > world_.now()) world_.run_for(next.key() - world_.now());
    next.mapped()();
  }
  world_.run_for(end - world_.now());
}

bool Scenario::run_until(io::Duration limit, const std::function<bool()>& condition) {
  const io::TimePoint end = world_.now() + limit;
  while (!condition()) {
    if (world_.now() >= end) return false;
    run_for(20ms);
  }
  return true;
}

std::string Scenario::pod_line(int pod) const {
  const std::string number = std::to_string(pod);
  const bool lists = pods_[pod].rule.listed && pods_[pod].rule.kind != Rule::Kind::kOpen;
  return "pod ns" + number + "/pod" + number + " " + pods_[pod].ip.to_string() + "," +
         pods_[pod].ip6.to_string() + " sa=sa" + number + " node=node" +
         std::to_string(pods_[pod].node) + (lists ? " policies=" + policy_key(pod, true) : "") +
         " hbone services=ns" + number + "/svc" + number + ".example:80>8080\n";
}

void Scenario::set_up() {
  path_.delay = within(below(2) == 0 ? 100us : 5ms);
  path_.jitter = below(2) == 0 ? 0us : 500us;
  path_.bytes_per_second = below(2) == 0 ? 12'500'000u : 1'250'000'000u;
  stalls_ = below(4) == 0;
  if (stalls_) {  // short also as an unlucky round trip shows it
    path_ = {.delay = within(100us), .jitter = 0us, .bytes_per_second = 125'000'000};
  }
  passthrough_ = below(3) == 0;
  world_.set_default_link(path_);
  for (int node = 0; node < kNodes; ++node) {
    const auto address = ip("192.168.77." + std::to_string(node + 1));
    node_hosts_.push_back(&world_.add_host("node" + std::to_string(node), {address}));
    nodes_.push_back(std::make_unique<ZtunnelNode>(world_, *node_hosts_.back(), ca_, log_,
                                                   node_config(node, passthrough_),
                                                   traffic_.findings));
  }
  for (int i = 0; i < kPods + kSpares; ++i) {
    Pod& pod = pods_.emplace_back();
    pod.node = i % kNodes;
    std::vector<net::IpAddress> addresses;
    if (i < kPods) {
      pod.ip = ip("10.244." + std::to_string(pod.node) + "." + std::to_string(10 + i));
      pod.ip6 = ip("fd00:10:244:" + std::to_string(pod.node) + "::" + std::to_string(10 + i));
      addresses = {pod.ip, pod.ip6};
    }
    pod.host = &world_.add_host("pod" + std::to_string(i), addresses);
    pod.host->capture({.outbound = ztunnel::kOutboundPort,
                       .inbound = ztunnel::kPlaintextPort,
                       .inbound_except = ztunnel::kHbonePort,
                       .dns = ztunnel::kDnsPort});
    pod.app = std::make_unique<App>(world_, *pod.host, traffic_, i);
    pod.app->serve();
    pod.rule = i >= kPods && below(3) != 0 ? Rule{} : random_rule();
    if (i >= kPods) pod.rule.listed = false;
  }
  outside_ = std::make_unique<App>(
      world_, world_.add_host("outside", {ip(kOutsideIp), ip("fd00:99::1")}), traffic_, kOutside);
  outside_->serve();
  outside_->serve_names(name_server_);
  if (below(2) == 0) set_up_waypoint();
  Response first;
  for (int i = 0; i < kPods + kSpares; ++i) {
    first.begins[i] = pods_[i].rule;
    first.ends.insert(i);
    pods_[i].alive = i < kPods;
  }
  first.delta = everything();
  for (const auto& node : nodes_) {
    node->start();
    at(within(300ms), [raw = node.get(), first] { raw->deliver(first); });
  }
  for (int i = 0; i < kPods; ++i) {
    at(within(200ms), [this, i] { nodes_[pods_[i].node]->add_pod(i, *pods_[i].host); });
    plan_name(i, false, 0s, 300ms);  // also before its ztunnel knows what there is
  }
  run_for(310ms);
}

void Scenario::set_up_waypoint() {
  note("a waypoint before pod " + std::to_string(kBehindWaypoint));
  io::sim::Host& host = world_.add_host("waypoint", {ip(kWaypointIp), ip(kWaypointIp6)});
  const std::string number = std::to_string(kBehindWaypoint);
  const auto resolve = [this, number](const std::string& authority) {
    std::optional<Waypoint::Endpoint> found;
    for (const bool v6 : {false, true}) {
      const net::SocketAddress service{virtual_ip(kBehindWaypoint, v6), kServicePort};
      if (authority != service.to_string() || !pods_[kBehindWaypoint].alive) continue;
      found = {.address = {pod_ip(kBehindWaypoint, v6), kAppPort},
               .uid = "K//Pod/ns" + number + "/pod" + number,
               .id = *net::SpiffeId::make("cluster.local", "ns" + number, "sa" + number)};
    }
    return found;
  };
  const std::string name = std::to_string(kWaypoint);
  waypoint_ = std::make_unique<Waypoint>(
      world_, host, ca_, *net::SpiffeId::make("cluster.local", "ns" + name, "sa" + name), resolve);
  waypoint_->serve();
}

bool Scenario::goes_through_waypoint(const StreamSpec& spec) const {
  const net::IpAddress service = virtual_ip(kBehindWaypoint, spec.to.ip.is_v6());
  return waypoint_ != nullptr && spec.from != kOutside && spec.to.ip == service;
}

Rule Scenario::random_rule() {
  static constexpr Rule::Kind kKinds[] = {
      Rule::Kind::kOpen,   Rule::Kind::kOpen,   Rule::Kind::kOpen,
      Rule::Kind::kAllow,  Rule::Kind::kAllow,  Rule::Kind::kDeny,
      Rule::Kind::kNobody, Rule::Kind::kBroken, Rule::Kind::kStrict};
  Rule rule{.kind = kKinds[below(std::size(kKinds))]};
  rule.listed = rule.kind != Rule::Kind::kOpen && below(3) == 0;
  if (rule.kind == Rule::Kind::kAllow || rule.kind == Rule::Kind::kDeny) {
    rule.pods.insert(static_cast<int>(below(kPods + kSpares)));
    for (int i = 0; i < kPods + kSpares; ++i) {
      if (below(2) == 0) rule.pods.insert(i);
    }
    if (below(2) == 0) rule.pods.insert(kWaypoint);
  }
  return rule;
}

// All that there is, as a control plane says it that has just come back.
workload::Delta Scenario::everything() const {
  std::string resources;
  workload::Delta all;
  for (int i = 0; i < kPods + kSpares; ++i) {
    const std::string number = std::to_string(i);
    resources += "service ns" + number + "/svc" + number + ".example " + virtual_ip(i).to_string() +
                 "," + virtual_ip(i, true).to_string() + " ports=80>8080" +
                 (waypoint_ != nullptr && i == kBehindWaypoint
                      ? std::string(" waypoint=") + kWaypointIp + "\n"
                      : "\n");
    if (pods_[i].alive) resources += pod_line(i);
  }
  if (waypoint_ != nullptr) {
    const std::string name = std::to_string(kWaypoint);
    resources += "pod ns" + name + "/waypoint " + kWaypointIp + "," + kWaypointIp6 + " sa=sa" +
                 name + " hbone native\n";
  }
  all = workload::test::delta(resources);
  for (int i = 0; i < kPods + kSpares; ++i) {
    if (auto policy = pods_[i].rule.policy(i)) all.policies.push_back(std::move(policy));
  }
  if (mesh_strict_) all.policies.push_back(mesh_strict_policy());
  all.addresses_complete = all.policies_complete = true;
  return all;
}

// Each node hears of it later, and responses of the two kinds overtake each other.
void Scenario::send_update(const workload::Delta& delta) {
  for (int node = 0; node < kNodes; ++node) send_update(node, within(slowest_update_), delta);
}

void Scenario::send_update(int node, io::Duration after, const workload::Delta& delta) {
  const bool policies = !delta.policies.empty() || !delta.removed_policies.empty();
  io::TimePoint& due = last_due_[{node, policies}];
  due = std::max(due + 1us, world_.now() + after);
  at(due - world_.now(), [raw = nodes_[node].get(), delta] { raw->deliver({.delta = delta}); });
}

void Scenario::send_in_turn(int node, const std::vector<Response>& responses, io::Duration apart) {
  io::TimePoint& addresses = last_due_[{node, false}];
  io::TimePoint& policies = last_due_[{node, true}];
  io::TimePoint due = std::max({addresses, policies, world_.now() + within(slowest_update_ / 3)});
  for (const Response& response : responses) {
    due += 1us + within(apart);
    at(due - world_.now(), [raw = nodes_[node].get(), response] { raw->deliver(response); });
  }
  addresses = policies = due;
}

net::IpAddress Scenario::virtual_ip(int pod, bool v6) {
  return ip((v6 ? "fd00:10:96::" : "10.96.0.") + std::to_string(pod + 1));
}

// A policy of the namespace is one response. One that the workload lists takes two or three, in the
// order of the incumbent's control plane (workloads first) or of our own (new policies, workloads,
// what is gone).
void Scenario::set_rule(int pod, Rule rule) {
  const Rule last = pods_[pod].rule;
  rule.mesh_strict = mesh_strict_;
  rule.listed = rule.listed && rule.kind != Rule::Kind::kOpen;
  pods_[pod].rule = rule;
  workload::Delta added, gone, address;
  if (auto policy = rule.policy(pod)) added.policies.push_back(std::move(policy));
  const bool replaces = last.kind != Rule::Kind::kOpen &&
                        (rule.kind == Rule::Kind::kOpen || last.listed != rule.listed);
  if (replaces) gone.removed_policies.push_back(policy_key(pod, last.listed));
  if (pods_[pod].alive && (rule.listed || last.listed)) {
    address = workload::test::delta(pod_line(pod));
  }
  for (int node = 0; node < kNodes; ++node) {
    std::vector<Response> responses;
    io::Duration apart = slowest_update_ / 3;
    if (below(2) == 0) {
      // It says both in one breath; nobody could wait for longer for what may never come.
      if (last.listed) apart = workload::kUnlistWait / 2;
      workload::Delta policies = added;
      policies.removed_policies = gone.removed_policies;
      if (!address.empty()) responses.push_back({.delta = address});
      responses.push_back({.delta = policies});
    } else {
      for (const workload::Delta& one : {added, address, gone}) {
        if (!one.empty()) responses.push_back({.delta = one});
      }
      if (responses.empty()) responses.emplace_back();
    }
    responses.front().begins = {{pod, rule}};
    responses.back().ends = {pod};
    send_in_turn(node, responses, apart);
  }
}

policy::PolicyPtr Scenario::mesh_strict_policy() {
  return workload::test::delta("policy root/strict: deny global !principal=*\n").policies.front();
}

void Scenario::set_mesh_strict(bool strict) {
  mesh_strict_ = strict;
  Response response;
  if (strict) response.delta.policies.push_back(mesh_strict_policy());
  if (!strict) response.delta.removed_policies.push_back("root/strict");
  for (int pod = 0; pod < kPods + kSpares; ++pod) {
    pods_[pod].rule.mesh_strict = strict;
    response.begins[pod] = pods_[pod].rule;
    response.ends.insert(pod);
  }
  for (int node = 0; node < kNodes; ++node) send_in_turn(node, {response}, 0ms);
}

Stream& Scenario::open_stream(StreamSpec spec) {
  spec.id = next_stream_++;
  const int from = spec.from;
  Stream& one = traffic_.streams[spec.id];
  one.spec = std::move(spec);
  const bool v6 = one.spec.to.ip.is_v6();
  one.from_ip = from == kOutside ? ip(v6 ? "fd00:99::1" : kOutsideIp) : pod_ip(from, v6);
  one.through = from;
  if (goes_through_waypoint(one.spec)) {
    one.from_ip = ip(v6 ? kWaypointIp6 : kWaypointIp);
    one.through = kWaypoint;
  }
  (from == kOutside ? *outside_ : *pods_[from].app).open(one);
  return one;
}

void Scenario::ask_name(int from, int of, bool v6, unsigned tries) {
  const std::string number = std::to_string(of);
  Name& one = names_.emplace_back(
      Name{.from = from, .text = "svc" + number + ".example", .v6 = v6, .tries = tries});
  if (of == kOutside) {
    one.text = "host" + std::to_string(names_.size()) + kElsewhere;
    one.right = ip(v6 ? kElsewhereV6 : kElsewhereV4);
    one.must = !name_server_.silent;
  } else {
    one.right = virtual_ip(of, v6);
  }
  pods_[from].app->ask(one, pod_ip(from));
}

void Scenario::heal() {
  for (const auto& [a, b] : cut_) world_.heal(*a, *b);
  cut_.clear();
  world_.set_faults({});
  name_server_.silent = false;
  for (const auto& node : nodes_) node->ca().fails = 0;
  const bool settled = run_until(40s, [this] {
    const bool told = restarting_ == 0 && actions_.empty();
    return told && std::ranges::all_of(nodes_, [](const auto& node) { return node->all_up(); });
  });
  if (!settled) find("progress: the nodes are not ready 40 s after everything was healed");
  // What was refused before may be waited for: a CA's backoff, a tunnel found dead.
  run_for(3s);
}

void Scenario::shut_down() {
  for (const auto& node : nodes_) node->stop();
  const bool stopped = run_until(20s, [this] {
    return std::ranges::all_of(nodes_, [](const auto& node) { return node->over(); });
  });
  for (Pod& pod : pods_) pod.app->kill();
  outside_->kill();
  if (waypoint_ != nullptr) waypoint_->stop();
  if (!stopped) find("leak: a node does not end");
  world_.run_until_idle(10s);
  for (const auto& node : nodes_) {
    if (node->over()) node->forget();
  }
  const auto check_ring = [this](io::Ring& ring) {
    const auto leased = ring.impl().pool(io::BufferClass::kRelay).leased() +
                        ring.impl().pool(io::BufferClass::kWire).leased();
    if (ring.in_flight() != 0) find("leak: operations in flight at the end");
    if (leased != 0) find("leak: buffers leased at the end");
  };
  for (const auto& node : nodes_) check_ring(node->ring());
  for (const Pod& pod : pods_) check_ring(pod.app->ring());
  check_ring(outside_->ring());
  if (waypoint_ != nullptr) check_ring(waypoint_->ring());
  if (world_.open_sockets() != 0) find("leak: sockets at the end");
}

Outcome Scenario::run() {
  set_up();
  began_ = world_.now();
  plan();
  while (world_.now() < began_ + active_) {
    run_for(200ms);
    check_live();
    check_stalled();
  }
  heal();
  check_progress();
  check_names();
  check_quiet();
  shut_down();
  Outcome outcome;
  outcome.hash = world_.event_hash();
  outcome.events = world_.event_count();
  outcome.findings = traffic_.findings.lines;
  outcome.streams = traffic_.streams.size();
  outcome.clean = traffic_.clean();
  for (const auto& [id, one] : traffic_.streams) outcome.reached += one.reached != -2 ? 1 : 0;
  outcome.plan = plan_;
  return outcome;
}

}  // namespace mesh::sim
