// What must hold of a seed, while it runs and afterwards.

#include <algorithm>
#include <cstring>

#include "test/sim/scenario.h"

namespace mesh::sim {

using namespace std::chrono_literals;

bool Scenario::may_reach(const Stream& one, int pod, io::TimePoint since) const {
  if (pod == kOutside) return passthrough_;  // nobody guards it
  const auto& rules = nodes_[pods_[pod].node]->rules();
  const auto found = rules.find(pod);
  return found != rules.end() && found->second.may_allow(one.through, since, world_.now());
}

void Scenario::on_reached(Stream& one, int pod, const net::SocketAddress& peer) {
  const std::string name = "stream " + std::to_string(one.spec.id) + " from pod " +
                           std::to_string(one.spec.from) + " to " + one.spec.to.to_string();
  if (!one.spec.meant.contains(pod)) {
    find("identity: " + name + " reaches pod " + std::to_string(pod));
  }
  if (peer.ip.unmapped() != one.from_ip) {
    find("identity: " + name + " comes from " + peer.to_string());
  }
  if (!may_reach(one, pod, one.begun)) {
    find("policy: " + name + " is admitted by pod " + std::to_string(pod));
  }
}

// What a pod says to another crosses between hosts encrypted, whatever happens to the ztunnels.
void Scenario::on_wire(const io::sim::Host& from, std::span<const std::byte> bytes) {
  std::array<std::byte, 2 * sizeof kMagic> header;
  std::memcpy(header.data(), &kMagic, sizeof kMagic);
  const auto found = std::ranges::search(bytes, std::span(header).first(sizeof kMagic));
  if (found.size() < sizeof kMagic || bytes.end() - found.begin() < std::ssize(header)) return;
  std::uint64_t id = 0;
  std::memcpy(&id, &*found.begin() + sizeof kMagic, sizeof id);
  const auto one = traffic_.streams.find(id);
  if (one != traffic_.streams.end() && one->second.spec.from == kOutside) return;
  if (one != traffic_.streams.end() && one->second.spec.meant.contains(kOutside)) return;
  find("plaintext: stream " + std::to_string(id) + " leaves " + from.name() + " unencrypted");
}

// A second after a denial a pod reads no more than what its own socket had already.
void Scenario::on_bytes(Stream& one) {
  if (may_reach(one, one.reached, world_.now() - 1s)) return;
  const bool late = one.spec.slow_server || one.spec.stall > 0s;
  if (!one.denied_at) one.denied_at = one.server_received;
  if (late && one.server_received <= *one.denied_at + options_.receive_buffer) return;
  if (!told_.insert(one.spec.id).second) return;
  find("policy: bytes of stream " + std::to_string(one.spec.id) + " reach pod " +
       std::to_string(one.reached) + " more than a second after it was denied");
}

// Denied for a second at the least, and still open.
void Scenario::check_live() {
  for (auto& [id, one] : traffic_.streams) {
    if (!one.server_open || one.spec.slow_server || one.spec.stall > 0s) continue;
    if (one.accepted + 1s > world_.now() || may_reach(one, one.reached, world_.now() - 1s)) {
      continue;
    }
    find("policy: stream " + std::to_string(id) + " to pod " + std::to_string(one.reached) +
         " is open more than a second after it was denied");
  }
}

// What waits in the mesh for a server that does not read: the stream's credit, what may be unsent
// (mesh/hbone), what is read ahead of either end (mesh/io), and a little; the rest is in socket
// buffers.
void Scenario::check_stalled() {
  constexpr std::size_t kMesh = (256 + 480 + 960 + 64 + 64) * 1024;
  for (const auto& [id, one] : traffic_.streams) {
    const std::size_t tunnels = one.through == kWaypoint ? 2 : 1;
    const std::size_t most =
        tunnels * (kMesh + 2 * (options_.send_buffer + options_.receive_buffer));
    if (one.stalled_until <= world_.now() || one.client_sent < most) continue;
    if (!told_.insert(id).second) continue;
    find("memory: stream " + std::to_string(id) + " holds " + std::to_string(one.client_sent) +
         " bytes, expected at most " + std::to_string(most));
  }
}

// Whoever asks often enough hears of every name of the mesh, whatever happens meanwhile, and of any
// other one unless those outside say nothing. Once nothing is lost any more, of that, too, he hears
// with one question.
void Scenario::check_names() {
  const auto over = [this] { return std::ranges::all_of(names_, &Name::over); };
  (void)run_until(30s, over);
  name_server_.silent = true;
  for (int from = 0; from < kPods + kSpares; ++from) {
    if (pods_[from].alive) ask_name(from, kOutside, below(2) == 0, 1);
  }
  (void)run_until(5s, over);
  for (const Name& one : names_) {
    const bool enough = one.must ? one.answered : one.heard || one.tries > 1;
    if (enough || !pods_[one.from].alive) continue;
    find("names: pod " + std::to_string(one.from) + " hears nothing of " + one.text);
  }
}

void Scenario::check_progress() {
  std::vector<Stream*> fresh;
  for (int i = 0; i < 10; ++i) {
    const int from = static_cast<int>(below(kPods + kSpares));
    const int to = static_cast<int>(below(kPods + kSpares));
    if (from == to || !pods_[from].alive || !pods_[to].alive) continue;
    fresh.push_back(&open_stream({.from = from,
                                  .meant = {to},
                                  .to = {virtual_ip(to), kServicePort},
                                  .upload = below(20'000),
                                  .download = below(20'000)}));
  }
  for (int i = 0; i < 4; ++i) {
    const int from = static_cast<int>(below(kPods + kSpares));
    const int of = i == 0 ? kOutside : static_cast<int>(below(kPods + kSpares));
    if (pods_[from].alive) ask_name(from, of, below(2) == 0);
  }
  const auto over = [](const Stream* one) { return one->client_over && !one->server_open; };
  (void)run_until(10s, [&] { return std::ranges::all_of(fresh, over); });
  for (const Stream* one : fresh) {
    const int to = *one->spec.meant.begin();
    const bool allowed = nodes_[pods_[to].node]->rules().at(to).last().allows(one->through);
    if (allowed == (one->client_clean && one->server_clean)) continue;
    find("progress: stream " + std::to_string(one->spec.id) + " from pod " +
         std::to_string(one->spec.from) + " to pod " + std::to_string(to) +
         (allowed ? " does not work: " : " works though denied: ") +
         std::string(one->client_failed ? reason_name(*one->client_failed) : "no error"));
  }
}

void Scenario::check_quiet() {
  const bool ended = run_until(60s, [this] {
    return std::ranges::all_of(traffic_.streams, [](const auto& one) {
      return one.second.client_over && !one.second.server_open;
    });
  });
  if (!ended) {
    for (const auto& [id, one] : traffic_.streams) {
      if (one.client_over && !one.server_open) continue;
      find("leak: stream " + std::to_string(id) + " from pod " + std::to_string(one.spec.from) +
           " to " + one.spec.to.to_string() + " never ends at its " +
           (one.client_over ? "server" : "client"));
    }
  }
  run_for(6s);  // idle tunnels are released after two
  // It, and the outside's application and name server.
  std::size_t expected = waypoint_ != nullptr ? 3 : 2;
  for (const Pod& pod : pods_) expected += pod.app->over() ? 0 : 1;
  for (const auto& node : nodes_) {
    expected += node->pod_count() * 5 * 2;  // three ports, and names over UDP and TCP, on two lanes
    node->ask_connections();
  }
  run_for(10ms);
  for (const auto& node : nodes_) {
    if (!node->control().all_answered()) find("discovery: what control said is not answered");
    if (node->connections == 0) continue;
    find("leak: a node lists " + std::to_string(node->connections) + " connections at rest");
  }
  if (world_.open_sockets() != expected) {
    find("leak: " + std::to_string(world_.open_sockets()) + " descriptors at rest, expected " +
         std::to_string(expected));
  }
}

}  // namespace mesh::sim
