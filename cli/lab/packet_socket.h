#pragma once
// Unix sockets that keep packets apart (SOCK_SEQPACKET), one JSON message a packet: how the lab
// talks to node agents, and how `weft lab` talks to a lab's supervisor.

#include <chrono>
#include <string>

#include "cli/outcome.h"

namespace mesh::cli::lab {

inline constexpr std::size_t kPacketBytesMax = 16384;      // sent by us
inline constexpr std::size_t kAnswerBytesMax = 256 << 10;  // a node's pods, listed

// Owns a socket.
class PacketSocket {
 public:
  static Outcome<PacketSocket> connect_to(const std::string& path);
  // Listens at `path` (replacing a stale file), for the owner only.
  static Outcome<PacketSocket> listen_at(const std::string& path);
  PacketSocket(PacketSocket&& other) noexcept;
  PacketSocket& operator=(PacketSocket&& other) noexcept;
  ~PacketSocket();

  int fd() const { return fd_; }
  Outcome<PacketSocket> accept();
  // `passed_fd`, when not negative, travels along (SCM_RIGHTS); the caller keeps its own.
  Outcome<Done> send(const std::string& packet, int passed_fd = -1);
  Outcome<std::string> receive(std::chrono::milliseconds timeout);

 private:
  explicit PacketSocket(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace mesh::cli::lab
