#pragma once
// The CNI plugin as a function: what a runtime said goes in, what it is answered comes out. It
// decides nothing but whether a namespace is excluded: the rest is the agent's.
//
// Without an agent, ADD and CHECK fail, so that no pod starts outside the mesh that belongs into
// it; DEL and GC succeed, for the agent finds by itself what is gone, and a pod must be able to
// end. STATUS succeeds too: a node that is not ready for its network starts no pods at all, those
// of excluded namespaces included, and loses those it has.

#include <functional>
#include <string>
#include <string_view>

#include "ebpf/cni/invocation.h"

namespace mesh::ebpf::cni {

struct Answer {
  std::string text;  // for stdout
  int status = 0;    // of the process
};

// Asks the agent: its answer, or why there is none. `netns`: a path whose namespace goes along;
// empty: none.
using AskAgent = std::function<std::expected<std::string, std::string>(
    const std::string& socket, const std::string& request, const std::string& netns)>;

Answer run_plugin(const Environment& environment, std::string_view input, const AskAgent& ask);

}  // namespace mesh::ebpf::cni
