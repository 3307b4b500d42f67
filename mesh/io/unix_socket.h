#pragma once
// Unix-domain sockets of the SOCK_SEQPACKET type: whole messages, with descriptors beside them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "mesh/base/result.h"
#include "mesh/io/descriptor.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::io {

// A connected socket. One reader and one writer at a time.
class SeqpacketSocket {
 public:
  struct Impl;
  static constexpr std::size_t kMaxDescriptors = 8;

  struct Message {
    std::size_t size = 0;  // 0 at end of stream (an empty message cannot be told from it)
    std::size_t descriptor_count = 0;
    std::array<Descriptor, kMaxDescriptors> descriptors;  // close-on-exec
  };
  struct Credentials {  // of the peer, when it connected or listened
    std::uint32_t pid = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
  };

  // Errors: kRefused, kSystem with ENOENT or EACCES, kTooLarge for a path beyond 107 bytes.
  static Task<Result<SeqpacketSocket>> connect(Ring& ring, std::string path);

  explicit SeqpacketSocket(std::unique_ptr<Impl> impl);
  SeqpacketSocket(SeqpacketSocket&&) noexcept;
  SeqpacketSocket& operator=(SeqpacketSocket&&) noexcept;
  ~SeqpacketSocket();

  // One message, and the descriptors that came with it.
  // Limits: `into.size()` bytes and `max_descriptors` (at most kMaxDescriptors).
  // Errors: kTooLarge when it was longer or brought more; then the message is gone and every
  // descriptor of it is closed.
  Task<Result<Message>> recv(std::span<std::byte> into, std::size_t max_descriptors);

  // Borrows `descriptors`. Errors: kTooLarge (EMSGSIZE), kPeerReset.
  Task<Result<Done>> send(std::span<const std::byte> message,
                          std::span<const int> descriptors = {});

  Result<Credentials> peer_credentials() const noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

class SeqpacketListener {
 public:
  struct Impl;
  // Replaces a socket file that nobody listens on; its mode is `mode`.
  // Errors: kSystem with EADDRINUSE when somebody does, or when the path is another kind of file.
  static Result<SeqpacketListener> listen(Ring& ring, const std::string& path, unsigned mode = 0600,
                                          int backlog = 64);
  SeqpacketListener(SeqpacketListener&&) noexcept;
  SeqpacketListener& operator=(SeqpacketListener&&) noexcept;
  ~SeqpacketListener();  // removes the socket file

  // Errors: kExhausted: wait, then call again; the listener stays usable.
  Task<Result<SeqpacketSocket>> accept();

 private:
  explicit SeqpacketListener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::io
