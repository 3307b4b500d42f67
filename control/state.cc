#include "control/state.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

namespace mesh::control {
namespace {

constexpr std::size_t kMaxBytes = 8192;  // of a token or a number

}  // namespace

Result<Done> make_folder(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return Done{};
  const std::filesystem::path parent = std::filesystem::absolute(path, error).parent_path();
  if (!error) std::filesystem::create_directories(parent, error);
  if (error) return failed_with_errno(error.value(), "making a folder");
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return failed_with_errno(errno, "making a folder");
  }
  return Done{};
}

Result<Done> replace_file(const std::string& path, std::string_view text, unsigned mode) {
  const std::string beside = path + ".new";
  (void)::unlink(beside.c_str());
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed_with_errno(errno, "writing a state file");
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fchmod(fd, mode) == 0 && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) return failed_with_errno(error, "writing a state file");
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    return failed_with_errno(errno, "writing a state file");
  }
  return Done{};
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed_with_errno(errno, "opening a state file");
  std::string text(max_bytes + 1, '\0');
  std::size_t filled = 0;
  ssize_t got = 0;
  while (filled < text.size() &&
         (got = ::read(fd, text.data() + filled, text.size() - filled)) > 0) {
    filled += static_cast<std::size_t>(got);
  }
  const int error = errno;
  ::close(fd);
  if (got < 0) return failed_with_errno(error, "reading a state file");
  if (filled > max_bytes) return failed(Reason::kTooLarge, "a state file");
  text.resize(filled);
  return text;
}

Result<std::string> token_file(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) {
    unsigned char bytes[32];
    if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
      return failed_with_errno(errno, "getrandom");
    }
    std::string token;
    for (const unsigned char byte : bytes) {
      token += "0123456789abcdef"[byte >> 4];
      token += "0123456789abcdef"[byte & 15];
    }
    TRY_DO(replace_file(path, token + "\n", 0600));
  }
  TRY(std::string token, read_file(path, kMaxBytes));
  while (!token.empty() && (token.back() == '\n' || token.back() == ' ')) token.pop_back();
  if (token.size() < 16) return failed(Reason::kMalformed, "a debug token of under 16 bytes");
  return token;
}

std::uint64_t read_number(const std::string& path) {
  const auto text = read_file(path, kMaxBytes);
  std::uint64_t number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

}  // namespace mesh::control
