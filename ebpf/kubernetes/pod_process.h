#pragma once
// Finding the network namespace of a pod that runs already: through /proc, by the control group
// that the kubelet made for the pod.
//
// Not by a path of the runtime's: where those are differs with the runtime, and another pod's
// namespace may be there by now. The pod's oldest process decides, which is its sandbox: what the
// pod's own processes may make later (namespaces, nested control groups) does not count.
//
// Cost: one pass over /proc for any number of pods.

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "ebpf/unique_fd.h"

namespace mesh::ebpf {

// The uid of the pod that a process is in, from its control group's path; empty: none. Kubelets
// name it "pod" and the uid, under "kubepods"; with systemd "kubepods-...-podUID.slice", with "_"
// for "-". The outermost such name counts. Pure.
std::string pod_of_cgroup(std::string_view path);

// Descriptors of the namespaces, by uid; pods without a process are left out, as are those whose
// oldest process is in our own namespace. `proc`: where /proc is.
std::map<std::string, UniqueFd> find_pod_namespaces(const std::set<std::string>& uids,
                                                    const std::string& proc = "/proc");

}  // namespace mesh::ebpf
