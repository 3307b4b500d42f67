#include "mesh/grpc/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace mesh::grpc::internal {

Result<std::string> read_file(const std::string& path, std::size_t max, const char* during) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed_with_errno(errno, during);
  std::string text(max + 1, '\0');
  std::size_t size = 0;
  for (;;) {
    const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      return failed_with_errno(error, during);
    }
    if (got == 0 || (size += static_cast<std::size_t>(got)) == text.size()) break;
  }
  ::close(fd);
  if (size > max) return failed(Reason::kTooLarge, during);
  text.resize(size);
  text.shrink_to_fit();
  return text;
}

}  // namespace mesh::grpc::internal
