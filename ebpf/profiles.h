#pragma once
// Seccomp profiles for the node: ztunnel needs one that allows io_uring, and a kubelet reads
// profiles from its own folder only.

#include <expected>
#include <string>

namespace mesh::ebpf {

// Writes every *.json of `from` to `to`, each in one step, and makes `to` if need be; what is there
// already is left alone. How many were written. Errors: a folder or a file that cannot be read or
// written; no profile at all; one of more than 1 MiB.
std::expected<unsigned, std::string> install_profiles(const std::string& from,
                                                      const std::string& to);

}  // namespace mesh::ebpf
