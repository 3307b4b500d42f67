#pragma once
// What a pod's namespace needs besides the programs: redirected packets are routed to itself, the
// source checks that would call them martian are off on loopback, and TCP finds the path's MTU
// where nobody tells of it. In the calling thread's network namespace; undone by remove_routing().

#include <string>
#include <vector>

#include "mesh/base/result.h"

namespace mesh::ebpf {

// A sysctl and what it was before.
struct SavedSetting {
  std::string name;  // "lo/accept_local" under /proc/sys/net/ipv4/conf, "tcp_mtu_probing" above it
  std::string value;
};

// Idempotent. Adds to `saved` each setting that it changes, in order.
// Errors: kSystem; EROFS when /proc/sys is read-only for us.
Result<Done> install_routing(std::vector<SavedSetting>& saved);
// Puts the settings back, newest first, and takes rules and routes away.
Result<Done> remove_routing(const std::vector<SavedSetting>& saved);

}  // namespace mesh::ebpf
