#pragma once
// Which cgroup (v2) a process is in, and whether that cgroup still has processes.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::ebpf {

struct Cgroup {
  std::uint64_t id = 0;  // as bpf_skb_cgroup_id() reports it
  std::string path;      // its folder
  bool root = false;     // the root, or the root of our cgroup namespace
};

// Sees control groups as process `pid` does, from now on: containers have a namespace of their own,
// in which the others' paths begin with "..". Before there is a second thread; needs the node's
// process ids, CAP_SYS_ADMIN and CAP_SYS_PTRACE. Errors: kSystem.
Result<Done> enter_cgroups_of(pid_t pid);

// Errors: kUnreachable (no such process visible: our PID namespace is not the node's),
// kSystem (ENODEV: no cgroup v2 mounted).
Result<Cgroup> cgroup_of_process(pid_t pid);

// The cgroup of that path below the mount. Errors: kSystem.
Result<Cgroup> cgroup_at(std::string_view path);

// The cgroup with that id, searched for in the whole tree.
std::optional<Cgroup> find_cgroup(std::uint64_t id);

// False once its last process is gone, or its folder is gone or is another cgroup's now.
bool is_populated(const Cgroup& cgroup);

// Where cgroup v2 is mounted, from the text of /proc/mounts; empty if it is not.
std::string find_cgroup2_mount(std::string_view mounts);
// The cgroup v2 path in the text of /proc/PID/cgroup; empty if there is none.
std::string find_cgroup2_path(std::string_view process_cgroups);

}  // namespace mesh::ebpf
