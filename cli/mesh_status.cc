#include "cli/mesh_status.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <thread>

#include "cli/json.h"
#include "cli/table.h"

namespace mesh::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;
constexpr std::chrono::milliseconds kAskAgain{20};
constexpr std::chrono::milliseconds kAskClusterAgain{200};
constexpr std::int64_t kDurationMsMax = 86'400'000;

// A process that started anew begins its versions anew.
void settle_wanted(const Sync& sync, std::uint64_t& wanted) {
  if (wanted == 0 || sync.version < wanted) wanted = sync.version;
}

std::vector<ReplicaSync> ask_all(const std::vector<ControlTarget>& controls,
                                 std::map<std::string, std::uint64_t>& wanted) {
  std::vector<ReplicaSync> replicas;
  for (const ControlTarget& control : controls) {
    auto sync = control_sync(control);
    std::uint64_t& version = wanted[control.name];
    if (sync) settle_wanted(*sync, version);
    replicas.push_back({.name = control.name, .sync = std::move(sync), .wanted = version});
  }
  return replicas;
}

const char* name_of(const NodeState& state) {
  return state.has_it() ? "SYNCED" : state.node.connected ? "STALE" : "ABSENT";
}

using Clients = std::vector<NodeSync> Sync::*;

std::vector<NodeState> states_of(const std::vector<ReplicaSync>& replicas, Clients clients) {
  std::map<std::string, NodeState> states;
  for (const ReplicaSync& replica : replicas) {
    if (!replica.sync) continue;
    for (const NodeSync& node : (*replica.sync).*clients) {
      NodeState state{
          .node = node, .replica = node.connected ? replica.name : "", .wanted = replica.wanted};
      const auto [there, is_new] = states.try_emplace(node.node, state);
      if (is_new) continue;
      // Connected to two: the one that is behind counts.
      const NodeState& known = there->second;
      const int pods = std::max(known.node.pods, node.pods);
      if (node.connected && (!known.node.connected || !state.has_it())) there->second = state;
      there->second.node.pods = pods;
    }
  }
  std::vector<NodeState> list;
  for (auto& [name, state] : states) list.push_back(std::move(state));
  return list;
}

std::string lack_of(const NodeState& state) {
  if (!state.node.connected) return " (not connected)";
  return " (has version " + std::to_string(state.node.acked) + " of " +
         std::to_string(state.wanted) +
         (state.node.last_nack.empty() ? ")" : "; refused: " + state.node.last_nack + ")");
}

// The types of a waypoint's configuration, as columns.
constexpr const char* kTypes[] = {"CDS", "LDS", "EDS", "RDS"};

std::string type_state(const NodeSync& waypoint, const char* type) {
  const auto found = waypoint.types.find(type);
  return found == waypoint.types.end() ? "-" : found->second;
}

std::string node_table(const std::vector<NodeState>& states, Json& list) {
  std::vector<std::vector<std::string>> rows = {
      {"NODE", "CONTROL", "VERSION", "STATUS", "PODS", "LAST REFUSAL"}};
  for (const NodeState& state : states) {
    const NodeSync& node = state.node;
    rows.push_back({node.node, state.replica, std::to_string(node.acked), name_of(state),
                    std::to_string(node.pods), node.last_nack});
    list.push_back({{"node", node.node},
                    {"connected", node.connected},
                    {"control", state.replica},
                    {"version", node.acked},
                    {"status", name_of(state)},
                    {"pods", node.pods},
                    {"lastNack", node.last_nack}});
  }
  return table(rows);
}

// Empty when there is none.
std::string waypoint_table(const std::vector<NodeState>& states, Json& list) {
  std::vector<std::vector<std::string>> rows = {
      {"WAYPOINT", "CONTROL", "VERSION", "STATUS", "CDS", "LDS", "EDS", "RDS", "LAST REFUSAL"}};
  for (const NodeState& state : states) {
    const NodeSync& proxy = state.node;
    rows.push_back({proxy.node, state.replica, std::to_string(proxy.acked), name_of(state)});
    for (const char* type : kTypes) rows.back().push_back(type_state(proxy, type));
    rows.back().push_back(proxy.last_nack);
    list.push_back({{"waypoint", proxy.node},
                    {"connected", proxy.connected},
                    {"control", state.replica},
                    {"version", proxy.acked},
                    {"status", name_of(state)},
                    {"types", proxy.types},
                    {"lastNack", proxy.last_nack}});
  }
  return states.empty() ? "" : "\n" + table(rows);
}

// What control refuses is nowhere, whatever else is everywhere: said, and no failure.
void say_refused(const std::vector<ControlTarget>& controls) {
  constexpr std::size_t kMost = 20;
  std::set<std::string> said;
  for (const ControlTarget& control : controls) {
    const auto problems = control_problems(control);
    if (problems) said.insert(problems->begin(), problems->end());
  }
  std::size_t left = kMost;
  for (const std::string& one : said) {
    if (left-- == 0) break;
    complain("refused: " + one);
  }
  if (said.size() > kMost) complain("and " + std::to_string(said.size() - kMost) + " more");
}

}  // namespace

std::vector<NodeState> node_states(const std::vector<ReplicaSync>& replicas) {
  return states_of(replicas, &Sync::nodes);
}

std::vector<NodeState> waypoint_states(const std::vector<ReplicaSync>& replicas) {
  return states_of(replicas, &Sync::waypoints);
}

std::string waiting_for(const std::vector<ReplicaSync>& replicas) {
  std::string list;
  const auto add = [&](const std::string& who) { list += (list.empty() ? "" : ", ") + who; };
  for (const ReplicaSync& replica : replicas) {
    if (!replica.sync) add(replica.sync.error());
  }
  for (const NodeState& state : node_states(replicas)) {
    if (state.node.pods > 0 && !state.has_it()) add(state.node.node + lack_of(state));
  }
  for (const NodeState& state : waypoint_states(replicas)) {
    if (!state.has_it()) add("waypoint " + state.node.node + lack_of(state));
  }
  return list;
}

int proxy_status(const Session& session) {
  const auto controls = control_targets(session);
  if (!controls) return complain(controls.error());
  std::map<std::string, std::uint64_t> wanted;
  const auto replicas = ask_all(*controls, wanted);
  Json versions = Json::array();
  std::string heading;
  for (const ReplicaSync& one : replicas) {
    if (!one.sync) {
      complain(one.sync.error());
      continue;
    }
    heading += one.name + " has version " + std::to_string(one.sync->version) + "\n";
    versions.push_back({{"name", one.name}, {"version", one.sync->version}});
  }
  if (versions.empty()) return kFailed;
  Json nodes = Json::array();
  Json waypoints = Json::array();
  const std::string tables = node_table(node_states(replicas), nodes) +
                             waypoint_table(waypoint_states(replicas), waypoints);
  print(session, {{"replicas", versions}, {"nodes", nodes}, {"waypoints", waypoints}},
        heading + "\n" + tables);
  return kOk;
}

int wait_for_mesh(const Session& session, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  std::map<std::string, std::uint64_t> wanted;
  std::string missing = "control";
  for (;;) {
    // Anew each time: replicas come and go.
    const auto controls = control_targets(session);
    if (!controls && wanted.empty()) return complain(controls.error());
    if (controls) {
      const auto replicas = ask_all(*controls, wanted);
      missing = waiting_for(replicas);
      if (missing.empty()) {
        print(session, {{"applied", true}, {"versions", wanted}}, "");
        say_refused(*controls);
        return kOk;
      }
    } else {
      missing = controls.error();
    }
    if (Clock::now() >= deadline) break;
    std::this_thread::sleep_for(asks_cluster(session) ? kAskClusterAgain : kAskAgain);
  }
  complain("timed out waiting for " + missing);
  return kTimedOut;
}

Outcome<std::chrono::milliseconds> parse_duration(const std::string& text) {
  const std::size_t digits = text.find_first_not_of("0123456789");
  const std::string number = text.substr(0, digits);
  const std::string unit = digits == std::string::npos ? "s" : text.substr(digits);
  const std::int64_t scale = unit == "ms"  ? 1
                             : unit == "s" ? 1000
                             : unit == "m" ? 60'000
                             : unit == "h" ? 3'600'000
                                           : 0;
  if (number.empty() || number.size() > 9 || scale == 0) {
    return problem("\"" + text + "\" is not a duration: write 30s, 2m or 500ms");
  }
  const std::int64_t milliseconds = std::stoll(number) * scale;
  if (milliseconds > kDurationMsMax) return problem("\"" + text + "\" is more than a day");
  return std::chrono::milliseconds(milliseconds);
}

}  // namespace mesh::cli
