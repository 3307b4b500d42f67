#pragma once
// The state folder: what must outlive the process beside the root key. Small files, each replaced
// whole.

#include <cstdint>
#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::control {

// Makes the folder (0700) and its parents if they are not there.
Result<Done> make_folder(const std::string& path);

// Replaces the file by `text`, atomically. The file has `mode` from its first moment.
Result<Done> replace_file(const std::string& path, std::string_view text, unsigned mode);

// Errors: kSystem, kTooLarge.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes);

// The token in the file (0600), which is made with a random one if it is not there.
Result<std::string> token_file(const std::string& path);

// A number in a file; 0 when there is none.
std::uint64_t read_number(const std::string& path);

}  // namespace mesh::control
