#pragma once
// Control groups (version 2): each pod and each program has one, so that ending it ends every
// process it ever started, and so that eBPF can tell ztunnel's sockets from a pod's.

#include <sys/types.h>

#include <string>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

// Where version 2 is mounted, from /proc/mounts. Errors: not mounted.
Outcome<std::string> cgroup_root();
Outcome<Done> make_cgroup(const std::string& path);
std::vector<pid_t> cgroup_processes(const std::string& path);
// Kills everything inside, now, and waits until it is empty (at most 5 s).
Outcome<Done> kill_cgroup(const std::string& path);
// Kills everything in the tree and removes it. A tree that is not there is success.
Outcome<Done> remove_cgroup(const std::string& path);

}  // namespace mesh::cli::lab
