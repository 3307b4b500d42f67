#pragma once
// Small files, whole: read, and replaced so that a reader sees the old text or the new, never half.

#include <string>
#include <string_view>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

Outcome<std::string> read_file(const std::string& path);
// Writes beside `path` under a name that starts with a dot, then renames.
Outcome<Done> write_file(const std::string& path, std::string_view text, unsigned mode = 0644);
Outcome<Done> make_folders(const std::string& path);
// Names in `folder`, sorted, without "." and "..".
Outcome<std::vector<std::string>> list_folder(const std::string& folder);
bool exists(const std::string& path);
// The last `count` lines.
std::string tail(const std::string& path, int count);
// `bytes` bytes of the kernel's randomness, in hex.
std::string random_hex(int bytes);
inline constexpr int kTokenBytes = 32;  // of randomness, in a bearer token

}  // namespace mesh::cli::lab
