#pragma once
// StrictKeeper: has the node agent end the connections of a pod that are older than its enrolment,
// as soon as the pod's policies refuse one of them. On the main ring, beside the data path: nothing
// waits for it.

#include <expected>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "ztunnel/node.h"
#include "ztunnel/strict.h"

namespace mesh::ztunnel {

inline constexpr std::chrono::milliseconds kStrictRetryFirst{100};
inline constexpr std::chrono::seconds kStrictRetryMax{15};
inline constexpr std::chrono::seconds kAgentAnswerMax{5};
inline constexpr std::size_t kAgentAnswerBytesMax = 512 * 1024;

class StrictKeeper {
 public:
  StrictKeeper(io::Ring& ring, const Config& config, Telemetry& telemetry, Node& node)
      : ring_(ring), config_(config), telemetry_(telemetry), node_(node) {}

  // Looks at every pod after each applied snapshot and each change of the pods, and again, later
  // and later, when the agent could not be asked. Until cancelled; at once without a socket.
  io::Task<void> run();

 private:
  // What is known of one pod. Older connections only ever become fewer.
  struct Known {
    std::uint64_t netns = 0;  // inode: a pod that moves is another one
    std::optional<OlderConnections> older = {};
    bool none_left = false;
  };
  enum class Outcome : std::uint8_t { kDone, kPodFailed, kAgentFailed, kCancelled };

  io::Task<Outcome> look_at_all();
  io::Task<Outcome> look_at(PodInfo pod, std::uint64_t netns);
  io::Task<Outcome> end(PodInfo pod, std::string policy);
  io::Task<Outcome> list(PodInfo pod);
  Outcome failed_with(const PodInfo& pod, const std::string& error);
  // The agent's answer in memory_.
  io::Task<Result<std::string_view>> ask(std::string request);
  io::Task<Result<std::string_view>> converse(std::string request);
  void forget_gone();

  io::Ring& ring_;
  const Config& config_;
  Telemetry& telemetry_;
  Node& node_;
  std::map<std::string, Known> known_;
  std::vector<std::byte> memory_;
};

}  // namespace mesh::ztunnel
