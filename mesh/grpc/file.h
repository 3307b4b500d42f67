#pragma once
// Reading a small file of the node's own disk: roots, tokens, hosts. Internal to mesh/grpc.

#include <cstddef>
#include <string>

#include "mesh/base/result.h"

namespace mesh::grpc::internal {

// The whole file. Without the ring: these files are small and local, and read once in a while.
// Errors: kSystem, kTooLarge beyond `max` bytes.
Result<std::string> read_file(const std::string& path, std::size_t max, const char* during);

}  // namespace mesh::grpc::internal
