#pragma once
// A DatagramIo as the kernel sees it.

#include <sys/socket.h>

#include "mesh/io/backend.h"

namespace mesh::io::internal {

// Both fill `io.scratch` and return the msghdr in it.
msghdr* prepare_receive_from(DatagramIo& io) noexcept;
msghdr* prepare_send_to(int fd, DatagramIo& io) noexcept;

}  // namespace mesh::io::internal
