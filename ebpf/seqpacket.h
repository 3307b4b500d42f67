#pragma once
// Unix SOCK_SEQPACKET sockets: a listener that only root may speak to, packets with a descriptor.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "ebpf/unique_fd.h"
#include "mesh/base/result.h"

namespace mesh::ebpf {

// Binds `path` (mode 0600) and listens. A socket file that nobody listens on any more is replaced;
// one that somebody does, or a file of another kind, is left alone.
// Errors: kSystem; with EADDRINUSE another process listens there.
Result<UniqueFd> listen_seqpacket(const std::string& path);

// Connects to such a listener. Empty when that fails.
UniqueFd dial_seqpacket(const std::string& path);

struct Peer {
  UniqueFd socket;  // non-blocking
  pid_t pid = 0;
  uid_t uid = 0;
};
Result<Peer> accept_peer(int listener);

struct Packet {
  std::vector<std::byte> bytes;  // empty: the peer closed
  std::vector<UniqueFd> descriptors;
  bool truncated = false;  // longer than `bytes_max`, or more descriptors than fit
};
// Errors: kSystem with EAGAIN when there is none now.
Result<Packet> receive_packet(int socket, std::size_t bytes_max);

// `descriptor` -1: none. Never blocks. Errors: EAGAIN when the peer does not read.
Result<Done> send_packet(int socket, std::span<const std::byte> bytes, int descriptor = -1);

}  // namespace mesh::ebpf
