#pragma once
// Finding the kubelet of this node, and its control group.
//
// By name, among root's processes in our own network namespace, and never among those of pods: who
// calls himself "kubelet" in a pod with the host's network is not taken for it.

#include <cstdint>
#include <string>

#include "ebpf/cgroup.h"

namespace mesh::ebpf {

struct Kubelet {
  pid_t pid = 0;
  std::uint64_t start = 0;  // in clock ticks since boot
  Cgroup cgroup;
};

// Control groups from now on as the node names them, not as our container does. Errors as
// enter_cgroups_of().
Result<Done> enter_node_cgroups();

// Errors: kUnreachable when there is none, or none with a control group of its own.
Result<Kubelet> find_kubelet();
// Is it still this process, in this control group?
bool is_there(const Kubelet& kubelet);

}  // namespace mesh::ebpf
