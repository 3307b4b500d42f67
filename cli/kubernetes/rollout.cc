#include "cli/kubernetes/rollout.h"

#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/json.h"
#include "cli/session.h"

namespace mesh::cli {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kAskAgain{250};

std::int64_t number(const Json& object, const char* key, std::int64_t otherwise = 0) {
  const Json& value = member(object, key);
  return value.is_number_integer() ? value.get<std::int64_t>() : otherwise;
}

std::string selector_of(const Json& workload) {
  std::string labels;
  const Json& wanted = member(member(member(workload, "spec"), "selector"), "matchLabels");
  for (const auto& [key, value] : wanted.items()) {
    labels += (labels.empty() ? "" : ",") + key + "=" + text_of(value);
  }
  return labels;
}

void say_troubles(Cluster& cluster, const Json& workload) {
  const auto pods = cluster.list(kPods.path(namespace_of(workload)), selector_of(workload));
  if (!pods) return;
  for (const Json& pod : *pods) {
    const std::string trouble = trouble_of(pod);
    if (!trouble.empty()) {
      std::fprintf(stderr, "  %s: %s\n", object_name(pod).c_str(), trouble.c_str());
    }
  }
}

}  // namespace

Progress progress_of(const Json& workload) {
  const Json& spec = member(workload, "spec");
  const Json& status = member(workload, "status");
  const bool daemons = text(workload, "kind") == "DaemonSet";
  const std::int64_t wanted =
      daemons ? number(status, "desiredNumberScheduled") : number(spec, "replicas", 1);
  const std::int64_t updated =
      number(status, daemons ? "updatedNumberScheduled" : "updatedReplicas");
  const std::int64_t total = daemons ? wanted : number(status, "replicas");
  const std::int64_t available = number(status, daemons ? "numberAvailable" : "availableReplicas");
  const bool seen =
      number(status, "observedGeneration") >= number(member(workload, "metadata"), "generation");
  Progress progress;
  progress.text = object_name(workload) + ": ";
  if (!seen) {
    progress.text += "not looked at yet";
  } else if (updated < wanted) {
    progress.text += std::to_string(updated) + " of " + std::to_string(wanted) + " new";
  } else if (available < wanted || total > wanted) {
    progress.text += std::to_string(available) + " of " + std::to_string(wanted) + " ready";
    if (total > wanted) progress.text += ", " + std::to_string(total - wanted) + " old";
  } else {
    progress.text += std::to_string(wanted) + " ready";
    progress.done = true;
  }
  return progress;
}

std::string trouble_of(const Json& pod) {
  const Json& status = member(pod, "status");
  for (const char* list : {"initContainerStatuses", "containerStatuses"}) {
    for (const Json& container : member(status, list)) {
      const Json& waiting = member(member(container, "state"), "waiting");
      if (waiting.is_object()) {
        const std::string message = text(waiting, "message");
        return text(container, "name") + ": " + text(waiting, "reason") +
               (message.empty() ? "" : ": " + message);
      }
      const Json& ended = member(member(container, "state"), "terminated");
      if (ended.is_object() && number(ended, "exitCode") != 0) {
        return text(container, "name") + ": exit code " + text(ended, "exitCode");
      }
    }
  }
  for (const Json& condition : member(status, "conditions")) {
    if (text(condition, "status") != "False") continue;
    const std::string message = text(condition, "message");
    if (text(condition, "type") == "PodScheduled" || !message.empty()) {
      return text(condition, "type") + ": " +
             (message.empty() ? text(condition, "reason") : message);
    }
  }
  for (const Json& container : member(status, "containerStatuses")) {
    if (!flag(container, "ready")) return text(container, "name") + ": not ready";
  }
  return text(status, "phase") == "Pending" ? "pending" : "";
}

int wait_for_rollout(Cluster& cluster, const std::vector<Json>& objects,
                     std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  std::map<std::string, std::string> said;
  for (;;) {
    std::vector<Json> unfinished;
    for (const Json& object : objects) {
      const std::string kind = text(object, "kind");
      if (kind != "Deployment" && kind != "DaemonSet") continue;
      const auto target = cluster.target_of(object);
      if (!target) return complain(target.error());
      const auto now = cluster.get(target->type.path(target->ns, target->name));
      if (!now) return complain(now.error());
      if (now->is_null()) return complain(object_name(object) + " is gone");
      const Progress progress = progress_of(*now);
      std::string& before = said[object_name(object)];
      if (before != progress.text) std::fprintf(stderr, "%s\n", progress.text.c_str());
      before = progress.text;
      if (!progress.done) unfinished.push_back(*now);
    }
    if (unfinished.empty()) return kOk;
    if (Clock::now() >= deadline) {
      complain("timed out");
      for (const Json& one : unfinished) {
        std::fprintf(stderr, "%s\n", progress_of(one).text.c_str());
        say_troubles(cluster, one);
      }
      return kTimedOut;
    }
    std::this_thread::sleep_for(kAskAgain);
  }
}

}  // namespace mesh::cli
