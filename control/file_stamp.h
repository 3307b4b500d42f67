#pragma once
// FileStamp: what tells one content of a file from the next without reading it.

#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace mesh::control {

struct FileStamp {
  ino_t inode = 0;
  off_t size = -1;
  std::int64_t modified_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

inline FileStamp stamp_of(const struct stat& s) {
  return {s.st_ino, s.st_size,
          static_cast<std::int64_t>(s.st_mtim.tv_sec) * 1'000'000'000 + s.st_mtim.tv_nsec};
}

// One that fits no file when there is none, or it is not a regular one.
inline FileStamp stamp_of_file(const std::string& path) {
  struct stat s{};
  return ::stat(path.c_str(), &s) == 0 && S_ISREG(s.st_mode) ? stamp_of(s) : FileStamp{};
}

}  // namespace mesh::control
