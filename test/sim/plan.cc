// What happens in a seed: every feature is in about half of the seeds, and differently in each.

#include "test/sim/scenario.h"
#include "test/support/directory_text.h"

namespace mesh::sim {
namespace {

using namespace std::chrono_literals;

std::string seconds(io::Duration time) { return std::to_string(time / 1ms) + " ms"; }

}  // namespace

void Scenario::plan() {
  active_ = 3s + within(3s);
  if (below(8) == 0) {  // certificates live 30 s and are renewed under load
    active_ = 40s;
    for (const auto& node : nodes_) node->ca().lifetime = 30s;
    note("certificates of 30 s");
  }
  if (below(4) == 0) {
    for (const auto& node : nodes_) node->ca().fails = 0.3;
    note("the CA fails");
  }
  note("path " + std::to_string(path_.delay / 1us) + "+" + std::to_string(path_.jitter / 1us) +
       " us, " + std::to_string(path_.bytes_per_second / 1'000'000) + " MB/s");
  slowest_update_ = below(2) == 0 ? within(20ms) : within(2s);
  plan_streams();
  if (stalls_) plan_stalls();
  if (below(2) == 0) plan_network();
  if (below(3) != 0) plan_policies();
  if (below(2) == 0) plan_denials();
  if (below(3) == 0) plan_strict();
  plan_outside();
  plan_names();
  if (below(2) == 0 && !passthrough_) plan_pods();
  if (below(2) == 0) plan_control();
  if (below(3) == 0) plan_restart();
}

void Scenario::plan_streams() {
  static constexpr std::size_t kSizes[] = {1, 100, 20'000, 20'000, 200'000, 600'000};
  const std::size_t count = 15 + below(20);
  for (std::size_t i = 0; i < count; ++i) {
    StreamSpec spec;
    spec.from = below(12) == 0 ? kOutside : static_cast<int>(below(kPods));
    const int to = static_cast<int>(below(below(6) == 0 ? kPods + kSpares : kPods));
    if (to == spec.from) continue;
    spec.upload = below(kSizes[below(std::size(kSizes))]);
    spec.download = below(kSizes[below(std::size(kSizes))]);
    spec.order = static_cast<Order>(below(3));
    if (below(7) == 0) spec.client_resets_at = below(spec.upload + 1);
    if (below(7) == 0) spec.server_resets_at = below(spec.download + 1);
    if (below(5) == 0) spec.pause = within(4s);
    spec.slow_client = below(8) == 0;
    spec.slow_server = below(8) == 0;
    const bool by_address = spec.from == kOutside || (to < kPods && below(4) == 0);
    const bool v6 = below(3) == 0;
    spec.to = {virtual_ip(to, v6), kServicePort};
    if (by_address && to >= kPods) continue;
    if (by_address) spec.to = {pod_ip(to, v6), kAppPort};
    spec.meant = {to};
    if (by_address) {  // whoever has the address by then
      for (int spare = kPods; spare < kPods + kSpares; ++spare) spec.meant.insert(spare);
    }
    at(within(active_ * 3 / 4), [this, spec] {
      if (spec.from == kOutside || pods_[spec.from].alive) open_stream(spec);
    });
  }
}

// Beside them the other streams of their tunnels go on.
void Scenario::plan_stalls() {
  for (int i = 0; i < 2; ++i) {
    const int from = static_cast<int>(below(kPods));
    const int to = (from + 1 + static_cast<int>(below(kPods - 1))) % kPods;
    set_rule(to, Rule{});
    const StreamSpec spec{.from = from,
                          .meant = {to},
                          .to = {virtual_ip(to), kServicePort},
                          .upload = 3'000'000,
                          .download = below(20'000),
                          .stall = 1500ms};
    at(slowest_update_ + within(1s), [this, spec] { open_stream(spec); });
  }
  note("stalled streams");
}

// Nobody without an identity, anywhere; and sometimes back.
void Scenario::plan_strict() {
  const io::Duration when = within(active_);
  at(when, [this] { set_mesh_strict(true); });
  if (below(2) == 0) at(when + within(active_), [this] { set_mesh_strict(false); });
  note("STRICT for all after " + seconds(when));
}

// To what is off the mesh: passed, or refused.
void Scenario::plan_outside() {
  if (passthrough_) note("unknown destinations pass");
  for (int i = 0; i < 3; ++i) {
    const bool v6 = below(2) == 0;
    const StreamSpec spec{
        .from = static_cast<int>(below(kPods)),
        .meant = passthrough_ ? std::set{kOutside} : std::set<int>{},
        .to = {*net::IpAddress::parse(v6 ? "fd00:99::1" : "192.168.99.1"), kAppPort},
        .upload = below(200'000),
        .download = below(200'000),
        .order = static_cast<Order>(below(3))};
    at(within(active_), [this, spec] {
      if (pods_[spec.from].alive) open_stream(spec);
    });
  }
}

// The mesh's, and the world's, whose server may say nothing.
void Scenario::plan_names() {
  name_server_.silent = below(4) == 0;
  if (name_server_.silent) note("the name server is silent");
  const std::size_t count = below(12);
  for (std::size_t i = 0; i < count; ++i) {
    plan_name(static_cast<int>(below(kPods)), below(4) == 0, 0s, active_);
  }
}

void Scenario::plan_name(int from, bool outside, io::Duration after, io::Duration most) {
  const int of = outside ? kOutside : static_cast<int>(below(kPods + kSpares));
  const bool v6 = below(3) == 0;
  at(after + within(most), [this, from, of, v6] {
    if (pods_[from].alive) ask_name(from, of, v6);
  });
}

void Scenario::plan_network() {
  const std::size_t cuts = 1 + below(3);
  for (std::size_t i = 0; i < cuts; ++i) {
    const auto a = below(kPods), b = below(kPods);
    if (a == b) continue;
    const io::Duration length = below(3) == 0 ? within(15s) : within(1s);
    at(within(active_), [this, a, b, length] {
      auto* const one = pods_[a].host;
      auto* const other = pods_[b].host;
      cut_.emplace_back(one, other);
      world_.partition(*one, *other);
      at(length, [this, one, other] { world_.heal(*one, *other); });
    });
    note("cut " + std::to_string(a) + "-" + std::to_string(b) + " for " + seconds(length));
  }
}

void Scenario::plan_policies() {
  const std::size_t changes = 1 + below(5);
  for (std::size_t i = 0; i < changes; ++i) {
    const int pod = static_cast<int>(below(kPods));
    const Rule rule = below(3) == 0 ? Rule{.kind = Rule::Kind::kNobody} : random_rule();
    const io::Duration when = within(active_);
    at(when, [this, pod, rule] { set_rule(pod, rule); });
    note("pod " + std::to_string(pod) + ": " + rule.text() + " after " + seconds(when));
  }
}

// A long stream is allowed, and denied when it is half way through.
void Scenario::plan_denials() {
  const int to = static_cast<int>(below(kPods));
  const int from = (to + 1 + static_cast<int>(below(kPods - 1))) % kPods;
  std::set<int> others;
  for (int i = 0; i < kPods; ++i) {
    if (i != from) others.insert(i);
  }
  const Rule denials[] = {{.kind = Rule::Kind::kNobody},
                          {.kind = Rule::Kind::kBroken},
                          {.kind = Rule::Kind::kDeny, .pods = {from}},
                          {.kind = Rule::Kind::kAllow, .pods = others}};
  const Rule denial = denials[below(std::size(denials))];
  const io::Duration opens = slowest_update_ + within(500ms);
  const io::Duration denied = opens + 200ms + within(500ms);
  const StreamSpec spec{.from = from,
                        .meant = {to},
                        .to = {virtual_ip(to), kServicePort},
                        .upload = 20'000,
                        .download = below(20'000),
                        .pause = slowest_update_ + 4s};
  set_rule(to, {.kind = Rule::Kind::kAllow, .pods = {from}});
  at(opens, [this, spec] { open_stream(spec); });
  at(denied, [this, to, denial] { set_rule(to, denial); });
  active_ = std::max(active_, denied + slowest_update_ + 2s);
  note("pod " + std::to_string(to) + ": " + denial.text() + " after " + seconds(denied) +
       " under a stream");
}

// Streams that break, and responses that are partly nonsense: what is good in them counts, nothing
// else changes, and the answer names what was not understood.
void Scenario::plan_control() {
  if (below(2) == 0) {
    const io::Duration when = within(active_);
    for (const auto& node : nodes_) {
      at(when + within(500ms), [raw = node.get()] { raw->reconnect(); });
    }
    note("control comes back after " + seconds(when));
  }
  const std::size_t responses = 1 + below(3);
  for (std::size_t i = 0; i < responses; ++i) {
    at(within(active_), [this] { spoil(static_cast<int>(below(kPods))); });
    at(within(active_), [this] {
      ZtunnelNode& node = *nodes_[below(kNodes)];
      below(2) == 0 ? node.control().say_foreign_type() : node.control().say_without_nonce();
      node.listen();
    });
  }
  note("garbage from control");
}

// What control says of a pod is not understood for a while.
void Scenario::spoil(int pod) {
  const std::string number = std::to_string(pod);
  const auto refuse = [](const std::string& resource) {
    return std::make_shared<const workload::Refused>(workload::Refused{.resource = resource});
  };
  workload::Delta delta;
  if (pods_[pod].alive) delta.rejected.push_back(refuse("K//Pod/ns" + number + "/pod" + number));
  delta.rejected.push_back(refuse("K//Pod/other/new"));
  delta.removed.push_back("K//Pod/nobody/knows-it");
  if (below(2) == 0) delta.removed.push_back("not a name");
  send_update(delta);
  at(within(1s), [this, pod] {
    if (pods_[pod].alive) send_update(workload::test::delta(pod_line(pod)));
  });
}

}  // namespace mesh::sim
