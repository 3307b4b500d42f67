#include "cli/table.h"

#include <algorithm>

namespace mesh::cli {
namespace {

std::string shown(std::string cell) {
  for (char& letter : cell) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) letter = '?';
  }
  return cell.empty() ? "-" : cell;
}

}  // namespace

std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t gap) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], shown(row[i]).size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string cell = shown(row[i]);
      line += cell;
      if (i + 1 < row.size()) line += std::string(widths[i] - cell.size() + gap, ' ');
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace mesh::cli
