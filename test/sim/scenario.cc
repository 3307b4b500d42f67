#include "test/sim/scenario.h"

#include <algorithm>

#include "mesh/io/ring_impl.h"
#include "test/support/directory_text.h"

namespace mesh::sim {
namespace {

using namespace std::chrono_literals;

net::IpAddress ip(const std::string& text) { return *net::IpAddress::parse(text); }

ztunnel::Config node_config(int number) {
  ztunnel::Config config;
  config.node_name = "node" + std::to_string(number);
  config.workers = 2;
  config.dns_proxy = false;
  config.unknown_destinations = ztunnel::UnknownDestinations::kRefuse;
  config.termination_deadline = 500ms;
  config.pool_idle_release = 2s;
  config.ready_deadline = 5s;
  return config;
}

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
  return "pod ns" + number + "/pod" + number + " " + pods_[pod].ip.to_string() + " sa=sa" + number +
         " node=node" + std::to_string(pods_[pod].node) + " hbone services=ns" + number + "/svc" +
         number + ".example:80>8080\n";
}

void Scenario::set_up() {
  path_.delay = within(below(2) == 0 ? 100us : 5ms);
  path_.jitter = below(2) == 0 ? 0us : 500us;
  path_.bytes_per_second = below(2) == 0 ? 12'500'000u : 1'250'000'000u;
  stalls_ = below(4) == 0;
  if (stalls_) {  // short also as an unlucky round trip shows it
    path_ = {.delay = within(100us), .jitter = 0us, .bytes_per_second = 125'000'000};
    io::sim::Faults faults = options_.faults;
    faults.slow_turn = faults.segment_lost = 0;
    world_.set_faults(faults);
  }
  world_.set_default_link(path_);
  std::string resources;
  for (int node = 0; node < kNodes; ++node) {
    const auto address = ip("192.168.77." + std::to_string(node + 1));
    node_hosts_.push_back(&world_.add_host("node" + std::to_string(node), {address}));
    nodes_.push_back(
        std::make_unique<ZtunnelNode>(world_, *node_hosts_.back(), ca_, log_, node_config(node)));
  }
  for (int i = 0; i < kPods + kSpares; ++i) {
    Pod& pod = pods_.emplace_back();
    pod.node = i % kNodes;
    std::vector<net::IpAddress> addresses;
    if (i < kPods) {
      pod.ip = ip("10.244." + std::to_string(pod.node) + "." + std::to_string(10 + i));
      addresses.push_back(pod.ip);
    }
    pod.host = &world_.add_host("pod" + std::to_string(i), addresses);
    pod.host->capture({.outbound = ztunnel::kOutboundPort,
                       .inbound = ztunnel::kPlaintextPort,
                       .inbound_except = ztunnel::kHbonePort});
    pod.app = std::make_unique<App>(world_, *pod.host, traffic_, i);
    pod.app->serve();
    const std::string number = std::to_string(i);
    resources += "service ns" + number + "/svc" + number + ".example 10.96.0." +
                 std::to_string(i + 1) + " ports=80>8080\n";
    if (i < kPods) resources += pod_line(i);
  }
  outside_ = std::make_unique<App>(world_, world_.add_host("outside", {ip("192.168.99.1")}),
                                   traffic_, kOutside);
  outside_->serve();
  workload::Delta all = workload::test::delta(resources);
  all.addresses_complete = all.policies_complete = true;
  std::map<int, Rule> rules;
  for (int i = 0; i < kPods + kSpares; ++i) {
    rules[i] = i >= kPods && below(3) != 0 ? Rule{} : random_rule();
    if (auto policy = rules[i].policy(i)) all.policies.push_back(std::move(policy));
  }
  for (const auto& node : nodes_) {
    node->start();
    at(within(300ms), [raw = node.get(), all, rules] { raw->deliver(all, rules); });
  }
  for (int i = 0; i < kPods; ++i) {
    pods_[i].alive = true;
    at(within(200ms), [this, i] { nodes_[pods_[i].node]->add_pod(i, *pods_[i].host); });
  }
  run_for(310ms);
}

Rule Scenario::random_rule() {
  static constexpr Rule::Kind kKinds[] = {
      Rule::Kind::kOpen,  Rule::Kind::kOpen, Rule::Kind::kOpen,   Rule::Kind::kAllow,
      Rule::Kind::kAllow, Rule::Kind::kDeny, Rule::Kind::kNobody, Rule::Kind::kBroken};
  Rule rule{.kind = kKinds[below(std::size(kKinds))]};
  if (rule.kind == Rule::Kind::kAllow || rule.kind == Rule::Kind::kDeny) {
    rule.pods.insert(static_cast<int>(below(kPods + kSpares)));
    for (int i = 0; i < kPods + kSpares; ++i) {
      if (below(2) == 0) rule.pods.insert(i);
    }
  }
  return rule;
}

// Each node hears of it later, and responses of the two kinds overtake each other.
void Scenario::send_update(const workload::Delta& delta, const std::map<int, Rule>& rules) {
  for (int node = 0; node < kNodes; ++node) {
    send_update(node, within(slowest_update_), delta, rules);
  }
}

void Scenario::send_update(int node, io::Duration after, const workload::Delta& delta,
                           const std::map<int, Rule>& rules) {
  const bool policies = !delta.policies.empty() || !delta.removed_policies.empty();
  io::TimePoint& due = last_due_[{node, policies}];
  due = std::max(due + 1us, world_.now() + after);
  at(due - world_.now(), [raw = nodes_[node].get(), delta, rules] { raw->deliver(delta, rules); });
}

net::IpAddress Scenario::virtual_ip(int pod) { return ip("10.96.0." + std::to_string(pod + 1)); }

void Scenario::set_rule(int pod, const Rule& rule) {
  workload::Delta delta;
  if (auto policy = rule.policy(pod)) {
    delta.policies.push_back(std::move(policy));
  } else {
    delta.removed_policies.push_back("ns" + std::to_string(pod) + "/rule");
  }
  send_update(delta, {{pod, rule}});
}

Stream& Scenario::open_stream(StreamSpec spec) {
  spec.id = next_stream_++;
  const int from = spec.from;
  Stream& one = traffic_.streams[spec.id];
  one.spec = std::move(spec);
  one.from_ip = from == kOutside ? ip("192.168.99.1") : pods_[from].ip;
  (from == kOutside ? *outside_ : *pods_[from].app).open(one);
  return one;
}

void Scenario::heal() {
  for (const auto& [a, b] : cut_) world_.heal(*a, *b);
  cut_.clear();
  world_.set_faults({});
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
