#include "ebpf/kubernetes/cluster_side.h"

#include <utility>

#include "ebpf/kubernetes/pod_process.h"
#include "ebpf/node_log.h"

namespace mesh::ebpf {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

}  // namespace

std::expected<std::unique_ptr<ClusterSide>, std::string> ClusterSide::start(
    KubernetesOptions options, Enrolments& enrolments) {
  auto watch = ApiWatch::open(options.watch);
  if (!watch) return std::unexpected(watch.error());
  return std::unique_ptr<ClusterSide>(
      new ClusterSide(*std::move(watch), std::move(options), enrolments));
}

ClusterSide::ClusterSide(std::unique_ptr<ApiWatch> watch, KubernetesOptions options,
                         Enrolments& enrolments)
    : watch_(std::move(watch)),
      keeper_(std::move(options.excluded_namespaces), enrolments, *watch_,
              [](const std::set<std::string>& uids) { return find_pod_namespaces(uids); }) {}

void ClusterSide::advance(Clock::time_point now) {
  take_news();
  keeper_.advance(now);
}

void ClusterSide::take_news() {
  for (ApiChange& change : watch_->take()) {
    std::visit(
        Overloaded{
            [&](std::vector<PodFacts>& pods) { keeper_.set_pods(std::move(pods)); },
            [&](PodFacts& pod) { keeper_.put_pod(std::move(pod)); },
            [&](const PodGone& gone) { keeper_.remove_pod(gone.uid); },
            [&](std::vector<NamespaceFacts>& all) { keeper_.set_namespaces(std::move(all)); },
            [&](const NamespaceFacts& ns) { keeper_.put_namespace(ns); },
            [&](const NamespaceGone& gone) { keeper_.remove_namespace(gone.name); },
            [&](const OwnDaemonSet& own) {
              if (stays_ != own.stays)
                log_info(own.stays ? "the agent's DaemonSet is there"
                                   : "the agent's DaemonSet is deleted: the mesh leaves this node "
                                     "when the agent stops");
              stays_ = own.stays;
            }},
        change);
  }
}

}  // namespace mesh::ebpf
