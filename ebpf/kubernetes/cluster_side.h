#pragma once
// ClusterSide: the part of an agent that knows a cluster: its watch, and the Keeper that decides by
// what the watch says.

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "ebpf/kubernetes/api_watch.h"
#include "ebpf/kubernetes/keeper.h"

namespace mesh::ebpf {

struct KubernetesOptions {
  ApiWatchOptions watch;
  std::vector<std::string> excluded_namespaces;
};

class ClusterSide {
 public:
  // Borrows `enrolments`. Errors: in words.
  static std::expected<std::unique_ptr<ClusterSide>, std::string> start(KubernetesOptions options,
                                                                        Enrolments& enrolments);

  int fd() const { return watch_->fd(); }
  Keeper& keeper() { return keeper_; }
  const Keeper& keeper() const { return keeper_; }

  // Takes what the API server has told, and does what is due.
  void advance(Clock::time_point now);
  // Only the first half of it.
  void take_news();
  // Will the agent be started again on this node? False: its DaemonSet is deleted.
  bool stays() const { return stays_; }
  // Lets what was written arrive.
  void settle() { watch_->settle(std::chrono::seconds(2)); }

 private:
  ClusterSide(std::unique_ptr<ApiWatch> watch, KubernetesOptions options, Enrolments& enrolments);
  std::unique_ptr<ApiWatch> watch_;
  Keeper keeper_;
  bool stays_ = true;
};

}  // namespace mesh::ebpf
