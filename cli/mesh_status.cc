#include "cli/mesh_status.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <thread>

#include "cli/json.h"
#include "cli/table.h"

namespace mesh::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kAskAgain{20};
constexpr std::int64_t kDurationMsMax = 86'400'000;

// Of the nodes that have something to apply: what they lack of `version`.
std::string behind(Sync sync, std::uint64_t version) {
  sync.version = version;
  return sync.waiting_for();
}

}  // namespace

int proxy_status(const Session& session) {
  const auto target = control_target(session);
  if (!target) return complain(target.error());
  const auto sync = control_sync(*target);
  if (!sync) return complain(sync.error());
  nlohmann::json nodes = nlohmann::json::array();
  std::vector<std::vector<std::string>> rows = {
      {"NODE", "CONNECTED", "VERSION", "STATUS", "PODS", "LAST REFUSAL"}};
  for (const NodeSync& node : sync->nodes) {
    const bool synced = node.connected && node.acked >= sync->version;
    const std::string state = synced ? "SYNCED" : node.connected ? "STALE" : "ABSENT";
    rows.push_back({node.node, node.connected ? "yes" : "no", std::to_string(node.acked), state,
                    std::to_string(node.pods), node.last_nack});
    nodes.push_back({{"node", node.node},
                     {"connected", node.connected},
                     {"version", node.acked},
                     {"status", state},
                     {"pods", node.pods},
                     {"lastNack", node.last_nack}});
  }
  if (session.json()) {
    const nlohmann::json all = {{"version", sync->version}, {"nodes", nodes}};
    std::printf("%s\n", to_text(all, 2).c_str());
  } else {
    std::printf("control has version %llu\n\n%s", static_cast<unsigned long long>(sync->version),
                table(rows).c_str());
  }
  return kOk;
}

int wait_for_mesh(const Session& session, std::chrono::milliseconds timeout) {
  const auto target = control_target(session);
  if (!target) return complain(target.error());
  const auto deadline = Clock::now() + timeout;
  std::uint64_t wanted = 0;
  std::string missing = "control does not answer";
  for (;;) {
    const auto sync = control_sync(*target);
    if (sync) {
      if (wanted == 0) wanted = sync->version;
      missing = behind(*sync, wanted);
      if (missing.empty()) {
        if (session.json()) {
          std::printf("{\"version\": %llu}\n", static_cast<unsigned long long>(wanted));
        }
        return kOk;
      }
    } else {
      missing = sync.error();
    }
    if (Clock::now() >= deadline) break;
    std::this_thread::sleep_for(kAskAgain);
  }
  std::fprintf(stderr, "weft: timed out waiting for %s\n", missing.c_str());
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
