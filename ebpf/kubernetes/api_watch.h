#pragma once
// ApiWatch: this node's pods, and namespaces, as an API server tells them; and what the agent
// writes there. Waits on a thread of its own; the agent's loop takes what came when fd() is
// readable.
//
// Verbs: list and watch pods (of this node), namespaces and the agent's own DaemonSet; patch
// pods/status; create events. Nothing else.
//
// Limits: those of mesh/kube; 256 writes under way, the rest is dropped (annotations are tried
// again, events are not).

#include <atomic>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "ebpf/kubernetes/facts.h"
#include "ebpf/kubernetes/keeper.h"
#include "ebpf/unique_fd.h"
#include "mesh/kube/config.h"

namespace mesh::ebpf {

struct PodGone {
  std::string uid;
};
struct NamespaceGone {
  std::string name;
};
// Is the DaemonSet that runs us there, and to stay?
struct OwnDaemonSet {
  bool stays = true;
};
using ApiChange =
    std::variant<std::vector<PodFacts>, PodFacts, PodGone, std::vector<NamespaceFacts>,
                 NamespaceFacts, NamespaceGone, OwnDaemonSet>;

struct ApiWatchOptions {
  kube::Access access;
  std::string node;
  std::string daemon_set_namespace, daemon_set;  // empty: nobody asks
};

class ApiWatch final : public PodWriter {
 public:
  // Errors: credentials that cannot be read.
  static std::expected<std::unique_ptr<ApiWatch>, std::string> open(ApiWatchOptions options);
  ApiWatch(const ApiWatch&) = delete;
  ApiWatch& operator=(const ApiWatch&) = delete;
  ~ApiWatch() override;

  int fd() const { return ready_.get(); }
  std::vector<ApiChange> take();

  void annotate(const PodFacts& pod, bool enrolled) override;
  void warn(const PodFacts& pod, std::string_view reason, std::string_view message) override;

  // Waits until what was written has been answered, or `within` is over.
  void settle(std::chrono::milliseconds within);

 private:
  struct Impl;
  ApiWatch(ApiWatchOptions options, UniqueFd ready);
  void push(ApiChange change);
  void log_health();

  const ApiWatchOptions options_;
  UniqueFd ready_;
  std::mutex mutex_;
  std::vector<ApiChange> changes_;
  std::atomic<int> writing_ = 0;
  std::unique_ptr<Impl> impl_;
};

// The bodies of what is written. Pure.
std::string annotation_patch(const PodFacts& pod, bool enrolled);
std::string event_body(const PodFacts& pod, std::string_view node, std::string_view reason,
                       std::string_view message, std::string_view now);

}  // namespace mesh::ebpf
