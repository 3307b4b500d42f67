#pragma once
// What the mesh of a seed consists of, and what it should do: the reference that the real one is
// held against. Pods, who may speak to whom and since when on which node, and the streams.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/net/address.h"
#include "mesh/policy/policy.h"

namespace mesh::sim {

inline constexpr int kOutside = -1;  // a client without identity, off the mesh
// As whom a waypoint comes, where clients are expected: policies may name it like a pod.
inline constexpr int kWaypoint = 100;
inline constexpr std::uint16_t kAppPort = 8080;
inline constexpr std::uint16_t kServicePort = 80;

// Who may reach a pod; each pod has a namespace, a service account and a service of its own.
struct Rule {
  // kStrict: whoever proves an identity. kBroken: a policy that is not understood.
  enum class Kind : std::uint8_t { kOpen, kAllow, kDeny, kNobody, kBroken, kStrict };
  Kind kind = Kind::kOpen;
  std::set<int> pods = {};  // kAllow, kDeny
  // By a policy that the pod's workload lists, not by one of its namespace.
  bool listed = false;
  bool mesh_strict = false;  // nobody without an identity, anywhere

  bool allows(int from) const;
  // The policy of pod `to`; null for kOpen.
  policy::PolicyPtr policy(int to) const;
  std::string text() const;
};
// The key of a pod's policy, of either kind.
std::string policy_key(int pod, bool listed);

// The rules of one pod as one node heard of them, oldest first.
class RuleHistory {
 public:
  // The first that was sent of a change to this rule may be in force from now on.
  void published(const Rule& rule, io::TimePoint when);
  // This one, and with it those before it, is in force on every lane.
  void applied(std::size_t index, io::TimePoint when);
  std::size_t size() const { return entries_.size(); }
  const Rule& last() const { return entries_.back().rule; }

  // Whether any rule that may have been in force between the two says yes.
  bool may_allow(int from, io::TimePoint begin, io::TimePoint end) const;

 private:
  struct Entry {
    Rule rule;
    io::TimePoint published;
    std::optional<io::TimePoint> applied;
  };
  std::vector<Entry> entries_;
};

// In which order the two directions of a stream end.
enum class Order : std::uint8_t { kTogether, kClientFirst, kServerFirst };

struct StreamSpec {
  std::uint64_t id = 0;
  int from = 0;
  std::set<int> meant = {};  // pods that it may reach
  net::SocketAddress to = {};
  std::size_t upload = 0, download = 0;
  Order order = Order::kTogether;
  std::optional<std::size_t> client_resets_at = {}, server_resets_at = {};
  bool slow_client = false, slow_server = false;
  io::Duration pause{};  // of the client, half way through what it sends
  io::Duration stall{};  // of the server, before it reads what follows the header
};

struct Stream {
  StreamSpec spec;
  io::TimePoint begun{};
  net::IpAddress from_ip;  // that the server sees
  int through = 0;         // whom the server's policies see: the client, or kWaypoint
  // The client's side.
  std::uint64_t client_sent = 0, client_received = 0;
  bool client_over = false, client_clean = false;
  std::optional<Reason> client_failed = {};
  // The server's.
  int reached = -2;  // the pod
  std::uint64_t server_sent = 0, server_received = 0;
  bool server_open = false, server_clean = false;
  io::TimePoint accepted{}, stalled_until{};
  std::optional<std::uint64_t> denied_at =
      {};  // what was received when it had been denied for long
};

// The byte at each place of a direction of a stream.
inline std::byte byte_at(std::uint64_t stream, bool down, std::uint64_t place) {
  std::uint64_t mixed = (place >> 3) * 0x9e3779b97f4a7c15 + stream * 0xbf58476d1ce4e5b9 + down;
  mixed = (mixed ^ (mixed >> 29)) * 0x94d049bb133111eb;
  return static_cast<std::byte>(mixed >> ((place & 7) * 8));
}

// What was seen to be wrong. An empty list is a good run.
struct Findings {
  std::vector<std::string> lines;
  void add(std::string line) {
    if (lines.size() < 20) lines.push_back(std::move(line));
  }
};

}  // namespace mesh::sim
