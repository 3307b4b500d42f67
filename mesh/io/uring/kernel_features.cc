#include "mesh/io/kernel_features.h"

#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "mesh/io/uring/state.h"

namespace mesh::io {
namespace internal {
namespace {

// A kernel that does not know limits for a multishot receive, of an answer and of all, refuses the
// fields; one that does goes on to look for a buffer, and there is none.
bool probe_multishot_limit(io_uring& ring) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return false;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  io_uring_prep_recv_multishot(sqe, pair[0], nullptr, 65536, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = 1;
  sqe->optlen = 65536;
  bool known = false;
  if (io_uring_submit_and_wait(&ring, 1) == 1) {
    io_uring_cqe* cqe = nullptr;
    if (io_uring_peek_cqe(&ring, &cqe) == 0) {
      known = cqe->res == -ENOBUFS;
      io_uring_cqe_seen(&ring, cqe);
    }
  }
  close(pair[0]);
  close(pair[1]);
  return known;
}

bool probe_port_range() {
  const Descriptor any(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  constexpr std::uint32_t kNone = 0;
  return any && setsockopt(any.get(), SOL_IP, kLocalPortRange, &kNone, sizeof kNone) == 0;
}

UringFeatures probe() {
  UringFeatures found;
  found.port_range = probe_port_range();
  io_uring ring;
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (io_uring_queue_init_params(4, &ring, &params) < 0) return found;
  found.receive_bundle = (params.features & IORING_FEAT_RECVSEND_BUNDLE) != 0;
  found.no_iowait = (params.features & IORING_FEAT_NO_IOWAIT) != 0;
  found.multishot_limit = probe_multishot_limit(ring);
  io_uring_queue_exit(&ring);
  return found;
}

}  // namespace

const UringFeatures& uring_features() {
  static const UringFeatures found = probe();
  return found;
}

}  // namespace internal

std::span<const Feature> features() {
  static const auto list = [] {
    const internal::UringFeatures& found = internal::uring_features();
    const bool paced = !unpaced_congestion_control().empty();
    return std::array{
        Feature{"recv-bundle", "one receive fills several buffers (Linux 6.10)",
                found.receive_bundle, found.receive_bundle},
        Feature{"recv-multishot-limit",
                "bounds what is read ahead of a stalled reader (Linux 6.17)", found.multishot_limit,
                found.multishot_limit},
        Feature{"no-iowait", "an idle worker is not counted as waiting for a disk (Linux 6.15)",
                found.no_iowait, found.no_iowait},
        Feature{"connect-port-range",
                "a connection from a client's address finds a free port soon (Linux 6.3)",
                found.port_range, found.port_range},
        Feature{"tcp-paced",
                "the system's congestion control is BBR: tunnels on short paths use reno", paced,
                paced},
    };
  }();
  return list;
}

std::string_view back_end_name() { return "io_uring"; }

}  // namespace mesh::io
