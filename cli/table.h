#pragma once
// Text in columns.

#include <string>
#include <vector>

namespace mesh::cli {

// The first row is the heading. Columns are as wide as their widest cell, `gap` spaces apart;
// control characters are shown as '?', so that a peer's text cannot drive a terminal.
std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t gap = 2);

}  // namespace mesh::cli
