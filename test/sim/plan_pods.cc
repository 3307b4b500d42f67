// What happens to pods and to ztunnels: they go, their addresses are used again, they die.

#include <algorithm>

#include "test/sim/scenario.h"
#include "test/support/directory_text.h"

namespace mesh::sim {

using namespace std::chrono_literals;

// A pod goes; sometimes its address passes to another identity at once.
void Scenario::plan_pods() {
  const std::size_t moves = 1 + below(kSpares);
  for (std::size_t i = 0; i < moves; ++i) {
    const int spare = kPods + static_cast<int>(i);
    const int victim = pods_[spare].node + kNodes * static_cast<int>(below(kPods / kNodes));
    const bool reused = below(3) != 0;
    const io::Duration when = within(active_);
    note("pod " + std::to_string(victim) + " goes after " + std::to_string(when / 1ms) + " ms" +
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
      send_update(gone);
    });
  }
}

// Control learns of it before, meanwhile or later, in one response or in two; in most cases the
// other node learns of it last.
void Scenario::reuse_address(int victim, int spare) {
  const io::Duration moves = 50ms + within(50ms);
  at(moves, [this, victim, spare] {
    world_.move_address(pods_[victim].ip, *pods_[spare].host);
    world_.move_address(pods_[victim].ip6, *pods_[spare].host);
    pods_[spare].ip = pods_[victim].ip;
    pods_[spare].ip6 = pods_[victim].ip6;
    pods_[spare].alive = true;
  });
  at(moves + within(50ms),
     [this, spare] { nodes_[pods_[spare].node]->add_pod(spare, *pods_[spare].host); });
  const bool other_is_late = below(3) != 0;
  const bool in_two = below(2) == 0;
  at(within(200ms), [this, victim, spare, other_is_late, in_two] {
    workload::Delta gone;
    gone.removed.push_back("K//Pod/ns" + std::to_string(victim) + "/pod" + std::to_string(victim));
    pods_[spare].ip = pods_[victim].ip;
    pods_[spare].ip6 = pods_[victim].ip6;
    workload::Delta come = workload::test::delta(pod_line(spare));
    if (!in_two) come.removed = gone.removed;
    for (int node = 0; node < kNodes; ++node) {
      io::Duration after = within(slowest_update_);
      if (other_is_late) after = node == pods_[spare].node ? within(50ms) : 1s + within(1s);
      if (in_two) send_update(node, after, gone);
      if (in_two && node != pods_[spare].node) after += 500ms;  // for a while nobody has it
      send_update(node, after, come);
    }
  });
  use_old_address(victim, spare, moves);
  active_ = std::max(active_, world_.now() - began_ + 2500ms);
}

// Those who believe in the old pod must not reach the new one, and the new one must not pass for
// the old: somebody lets only the old one in.
void Scenario::use_old_address(int victim, int spare, io::Duration moved) {
  for (int i = 0; i < 10; ++i) {
    const bool by_address = i % 2 == 1;
    const int from = (pods_[spare].node + 1) % kNodes + kNodes * static_cast<int>(below(3));
    at(moved + 200ms * (i + 1), [this, from, victim, spare, by_address] {
      if (!pods_[from].alive) return;
      open_stream({.from = from,
                   .meant = by_address ? std::set{victim, spare} : std::set{victim},
                   .to = by_address ? net::SocketAddress{pods_[victim].ip, kAppPort}
                                    : net::SocketAddress{virtual_ip(victim), kServicePort},
                   .upload = below(20'000),
                   .download = below(20'000)});
    });
  }
  const int guarded = (victim + 1) % kPods;
  set_rule(guarded, {.kind = Rule::Kind::kAllow, .pods = {victim}});
  for (int i = 0; i < 5; ++i) {
    const int to = i % 2 == 0 ? guarded : static_cast<int>(below(kPods));
    at(moved + within(2s), [this, spare, to] {
      open_stream({.from = spare,
                   .meant = {to},
                   .to = {virtual_ip(to), kServicePort},
                   .upload = below(20'000),
                   .download = below(20'000)});
    });
  }
}

void Scenario::plan_restart() {
  const int node = static_cast<int>(below(kNodes));
  const bool killed = below(3) != 0;
  const io::Duration gap = within(1s);
  const io::Duration when = within(active_);
  for (int pod = node; pod < kPods; pod += kNodes) plan_name(pod, false, when, gap + 200ms);
  note("node " + std::to_string(node) + (killed ? " is killed after " : " restarts after ") +
       std::to_string(when / 1ms) + " ms");
  at(when, [this, node, gap, killed] { killed ? kill(node, gap) : restart(node, gap); });
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

// SIGKILL: nothing is drained; pods go on, without a ztunnel for a while.
void Scenario::kill(int node, io::Duration gap) {
  ++restarting_;
  nodes_[node]->kill();
  at(gap, [this, node] {
    nodes_[node]->start();
    --restarting_;
  });
}

}  // namespace mesh::sim
