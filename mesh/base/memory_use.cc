#include "mesh/base/memory_use.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace mesh {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::size_t kFileMax = 16 * 1024;
constexpr int kDepthMax = 32;
// Version 1 has no word for "none": it is the largest number of pages.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

// The files of a version of cgroups.
struct Names {
  const char* limit;
  const char* used;
  std::array<std::string_view, 2> droppable;  // lines of memory.stat
};
constexpr Names kV2{.limit = "/memory.max",
                    .used = "/memory.current",
                    .droppable = {"active_file", "inactive_file"}};
constexpr Names kV1{.limit = "/memory.limit_in_bytes",
                    .used = "/memory.usage_in_bytes",
                    .droppable = {"total_active_file", "total_inactive_file"}};

// Its beginning, if it is long; empty: it cannot be read.
std::string read_start(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text(kFileMax, '\0');
  const ssize_t got = ::read(fd, text.data(), text.size());
  ::close(fd);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return {};
  return value;
}

// Calls `visit` with each line, without its end.
template <class F>
void for_each_line(std::string_view text, F&& visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::uint64_t droppable(const std::string& folder, const Names& names) {
  std::uint64_t bytes = 0;
  for_each_line(read_start(folder + "/memory.stat"), [&](std::string_view line) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return;
    const std::string_view name = line.substr(0, space);
    if (std::ranges::find(names.droppable, name) == names.droppable.end()) return;
    bytes += number(line.substr(space + 1)).value_or(0);
  });
  return bytes;
}

std::optional<MemoryUse> use_of(const std::string& folder, const Names& names) {
  const auto limit = number(read_start(folder + names.limit));
  const auto used = number(read_start(folder + names.used));
  if (!limit || !used || *limit == 0 || *limit >= kNoLimit) return {};
  MemoryUse use{.used = *used, .limit = *limit};
  if (use.is_short()) use.used -= std::min(use.used, droppable(folder, names));
  return use;
}

// The cgroup `path` below `mount`, and those above it.
void look_up(const std::string& mount, std::string path, const Names& names,
             std::optional<MemoryUse>& least) {
  // In a container without a cgroup namespace its own cgroup is what is mounted.
  if (read_start(mount + path + names.used).empty()) path.clear();
  if (path == "/") path.clear();
  for (int depth = 0; depth < kDepthMax; ++depth) {
    const auto use = use_of(mount + path, names);
    if (use && (!least || use->left() < least->left())) least = use;
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

}  // namespace

bool MemoryUse::is_short() const {
  return left() <= std::max(limit / 8, std::min(limit / 4, 8 * kMiB));
}

std::optional<MemoryUse> read_memory_use(const std::string& root) {
  std::optional<MemoryUse> least;
  // Lines of "number:controllers:path"; version 2's has neither number nor controllers.
  for_each_line(read_start(root + "/proc/self/cgroup"), [&](std::string_view line) {
    constexpr std::string_view kMemory = ":memory:";
    const std::size_t at = line.find(kMemory);
    const bool v1 = at != std::string_view::npos;
    if (!v1 && !line.starts_with("0::/")) return;
    const std::string path(v1 ? line.substr(at + kMemory.size()) : line.substr(3));
    if (!path.starts_with('/')) return;
    const std::string mount = root + (v1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup");
    look_up(mount, path, v1 ? kV1 : kV2, least);
  });
  return least;
}

}  // namespace mesh
