#include "mesh/io/descriptor.h"

#include <unistd.h>

namespace mesh::io {

void Descriptor::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace mesh::io
