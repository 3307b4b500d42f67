#pragma once
// How near the process is to the memory limit at which the kernel ends it: that of its cgroup
// (version 2 or 1) or of any above it. Kernel: Documentation/admin-guide/cgroup-v2.rst,
// cgroup-v1/memory.rst.

#include <cstdint>
#include <optional>
#include <string>

namespace mesh {

struct MemoryUse {
  std::uint64_t used = 0;  // bytes; without files' pages that can be dropped, when it would matter
  std::uint64_t limit = 0;

  std::uint64_t left() const { return used < limit ? limit - used : 0; }
  // An eighth of the limit is left, or less; of small limits 8 MiB, but never over a quarter: what
  // is begun already can end in it.
  bool is_short() const;
};

// Of the cgroup that has the least left; none: there is no limit, or nothing that can be read.
// Reads some files of /proc and /sys (below `root`, for tests): tens of microseconds.
std::optional<MemoryUse> read_memory_use(const std::string& root = {});

}  // namespace mesh
