#pragma once
// What /proc says of processes.

#include <cstdint>
#include <string>

namespace mesh::ebpf {

// Empty when it cannot be read.
std::string read_proc_file(const std::string& path);

// When the process of this folder (/proc/PID) began, in clock ticks since boot; the largest number
// if it is gone. With its number it names a process for good.
std::uint64_t start_of_process(const std::string& folder);

}  // namespace mesh::ebpf
