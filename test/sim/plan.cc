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
  if (below(2) == 0) plan_network();
  if (below(3) != 0) plan_policies();
  if (below(2) == 0) plan_pods();
  if (below(2) == 0) plan_control();
  if (below(4) == 0) plan_restart();
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
    if (below(60) == 0 && path_.delay < 100us) {
      spec.stall = 2s;
      spec.upload = 3'000'000;
    }
    const bool by_address = spec.from == kOutside || (to < kPods && below(4) == 0);
    spec.to = {*net::IpAddress::parse("10.96.0." + std::to_string(to + 1)), kServicePort};
    if (by_address && to >= kPods) continue;
    if (by_address) spec.to = {pods_[to].ip, kAppPort};
    spec.meant = {to};
    if (by_address) {  // whoever has the address by then
      for (int spare = kPods; spare < kPods + kSpares; ++spare) spec.meant.insert(spare);
    }
    at(within(active_ * 3 / 4), [this, spec] {
      if (spec.from == kOutside || pods_[spec.from].alive) open_stream(spec);
    });
  }
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

// A pod goes; sometimes its address passes to another identity at once.
void Scenario::plan_pods() {
  const std::size_t moves = 1 + below(kSpares);
  for (std::size_t i = 0; i < moves; ++i) {
    const int spare = kPods + static_cast<int>(i);
    const int victim = pods_[spare].node + kNodes * static_cast<int>(below(kPods / kNodes));
    const bool reused = below(3) != 0;
    const io::Duration when = within(active_);
    note("pod " + std::to_string(victim) + " goes after " + seconds(when) +
         (reused ? " and its address is reused" : ""));
    at(when, [this, victim, spare, reused] {
      if (!pods_[victim].alive) return;
      pods_[victim].alive = false;
      if (below(2) == 0) {  // the process first, or the agent's event first
        pods_[victim].app->kill();
        at(within(50ms), [this, victim] { nodes_[pods_[victim].node]->remove_pod(victim); });
      } else {
        nodes_[pods_[victim].node]->remove_pod(victim);
        at(within(50ms), [this, victim] { pods_[victim].app->kill(); });
      }
      if (reused) return reuse_address(victim, spare);
      workload::Delta gone;
      gone.removed.push_back("K//Pod/ns" + std::to_string(victim) + "/pod" +
                             std::to_string(victim));
      send_update(std::move(gone));
    });
  }
}

void Scenario::reuse_address(int victim, int spare) {
  const io::Duration moves = 50ms + within(50ms);
  at(moves, [this, victim, spare] {
    world_.move_address(pods_[victim].ip, *pods_[spare].host);
    pods_[spare].ip = pods_[victim].ip;
    pods_[spare].alive = true;
  });
  at(moves + within(50ms),
     [this, spare] { nodes_[pods_[spare].node]->add_pod(spare, *pods_[spare].host); });
  // Control learns of it before, meanwhile or later, in one response or in two.
  at(within(200ms), [this, victim, spare] {
    workload::Delta gone;
    gone.removed.push_back("K//Pod/ns" + std::to_string(victim) + "/pod" + std::to_string(victim));
    pods_[spare].ip = pods_[victim].ip;
    workload::Delta come = workload::test::delta(pod_line(spare));
    if (below(2) == 0) {
      come.removed = gone.removed;
    } else {
      send_update(std::move(gone));
    }
    send_update(std::move(come));
  });
}

// Responses that are partly nonsense: what is good in them counts, and nothing else changes.
void Scenario::plan_control() {
  const std::size_t responses = 1 + below(3);
  for (std::size_t i = 0; i < responses; ++i) {
    at(within(active_), [this] {
      const int pod = static_cast<int>(below(kPods));
      const std::string number = std::to_string(pod);
      workload::Delta delta;
      workload::Refused refused{.resource = "K//Pod/ns" + number + "/pod" + number,
                                .problem = "not understood"};
      if (pods_[pod].alive) {
        delta.rejected.push_back(std::make_shared<const workload::Refused>(std::move(refused)));
      }
      delta.rejected.push_back(std::make_shared<const workload::Refused>(
          workload::Refused{.resource = "K//Pod/other/new", .problem = "not understood"}));
      delta.removed.push_back("K//Pod/nobody/knows-it");
      if (below(2) == 0) delta.removed.push_back("not a name");
      send_update(std::move(delta));
    });
  }
  note("garbage from control");
}

void Scenario::plan_restart() {
  const int node = static_cast<int>(below(kNodes));
  const io::Duration gap = within(1s);
  const io::Duration when = within(active_);
  note("node " + std::to_string(node) + " restarts after " + seconds(when));
  at(when, [this, node, gap] { restart(node, gap); });
}

void Scenario::restart(int node, io::Duration gap) {
  ++restarting_;
  nodes_[node]->stop();
  auto again = std::make_shared<std::function<void()>>();
  *again = [this, node, gap, weak = std::weak_ptr(again)] {
    const auto self = weak.lock();
    if (!nodes_[node]->over()) return at(10ms, [self] { (*self)(); });
    nodes_[node]->forget();
    at(gap, [this, node] {
      nodes_[node]->start();
      --restarting_;
    });
  };
  at(10ms, [again] { (*again)(); });
}

}  // namespace mesh::sim
