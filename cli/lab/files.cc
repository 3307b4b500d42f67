#include "cli/lab/files.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace mesh::cli::lab {

namespace fs = std::filesystem;

Outcome<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return problem_with_errno("read " + path);
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0) {
      auto failure = problem_with_errno("read " + path);
      ::close(fd);
      return failure;
    }
    if (got == 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(fd);
  return text;
}

Outcome<Done> write_file(const std::string& path, std::string_view text, unsigned mode) {
  const fs::path target(path);
  // A name that no other process writes to meanwhile.
  const std::string beside =
      (target.parent_path() / ("." + target.filename().string() + "." + std::to_string(::getpid())))
          .string();
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return problem_with_errno("write " + path);
  std::string_view rest = text;
  bool written = ::fchmod(fd, mode) == 0;
  while (written && !rest.empty()) {
    const ssize_t count = ::write(fd, rest.data(), rest.size());
    written = count > 0;
    if (written) rest.remove_prefix(static_cast<std::size_t>(count));
  }
  if (!written || ::close(fd) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
    auto failure = problem_with_errno("write " + path);
    ::unlink(beside.c_str());
    return failure;
  }
  return Done{};
}

Outcome<Done> make_folders(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return problem("make " + path + ": " + error.message());
  return Done{};
}

Outcome<std::vector<std::string>> list_folder(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) return problem("read " + folder + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string tail(const std::string& path, int count) {
  const auto text = read_file(path);
  if (!text) return "";
  std::size_t start = text->size();
  while (start > 0 && (*text)[start - 1] == '\n') --start;
  const std::size_t end = start;
  for (int lines = 0; start > 0; --start) {
    if ((*text)[start - 1] == '\n' && ++lines == count) break;
  }
  return text->substr(start, end - start);
}

std::string random_hex(int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) {
    unsigned char byte = 0;
    MESH_CHECK(::getrandom(&byte, 1, 0) == 1);
    text.push_back("0123456789abcdef"[byte >> 4]);
    text.push_back("0123456789abcdef"[byte & 15]);
  }
  return text;
}

}  // namespace mesh::cli::lab
