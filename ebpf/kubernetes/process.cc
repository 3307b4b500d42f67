#include "ebpf/kubernetes/process.h"

#include <charconv>
#include <fstream>
#include <iterator>

namespace mesh::ebpf {

std::string read_proc_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The 22nd field of its stat; the second, its name, may hold anything, and ends at the last ")".
std::uint64_t start_of_process(const std::string& folder) {
  const std::string stat = read_proc_file(folder + "/stat");
  std::size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != stat.npos; ++field) at = stat.find(' ', at + 1);
  std::uint64_t start = UINT64_MAX;
  if (at != stat.npos) std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), start);
  return start;
}

}  // namespace mesh::ebpf
