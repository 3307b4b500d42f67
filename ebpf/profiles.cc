#include "ebpf/profiles.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace mesh::ebpf {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kProfileBytesMax = 1u << 20;

std::expected<std::string, std::string> read(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) return std::unexpected(path.string() + ": " + error.message());
  if (size > kProfileBytesMax) return std::unexpected(path.string() + " is too large");
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) return std::unexpected(path.string() + ": cannot be read");
  return text;
}

// True: it was written; false: it was there.
std::expected<bool, std::string> install(const fs::path& from, const fs::path& to) {
  auto text = read(from);
  if (!text) return std::unexpected(std::move(text.error()));
  std::error_code error;
  if (fs::is_regular_file(fs::symlink_status(to, error))) {
    if (const auto there = read(to); there && *there == *text) return false;
  }
  const fs::path fresh = to.parent_path() / ("." + to.filename().string() + ".new");
  fs::remove(fresh, error);
  std::ofstream file(fresh, std::ios::binary);
  file << *text;
  file.close();
  if (!file) return std::unexpected(fresh.string() + ": cannot be written");
  fs::permissions(fresh, fs::perms(0644), error);
  fs::rename(fresh, to, error);
  if (error) return std::unexpected(to.string() + ": " + error.message());
  return true;
}

}  // namespace

std::expected<unsigned, std::string> install_profiles(const std::string& from,
                                                      const std::string& to) {
  std::error_code error;
  fs::create_directories(to, error);
  if (error) return std::unexpected(to + ": " + error.message());
  unsigned found = 0;
  unsigned written = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(from, error)) {
    if (entry.path().extension() != ".json") continue;
    const auto done = install(entry.path(), fs::path(to) / entry.path().filename());
    if (!done) return std::unexpected(done.error());
    ++found;
    written += *done ? 1 : 0;
  }
  if (error) return std::unexpected(from + ": " + error.message());
  if (found == 0) return std::unexpected(from + " holds no profile");
  return written;
}

}  // namespace mesh::ebpf
