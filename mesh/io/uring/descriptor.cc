#include "mesh/io/descriptor.h"

#include <poll.h>

#include <sys/signalfd.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>

#include "mesh/io/await_operation.h"
#include "mesh/io/signals.h"

namespace mesh::io {

using internal::AwaitOperation;
using internal::Opcode;
using internal::Submission;

Task<Result<Done>> wait_readable(Ring& ring, int fd) {
  const Submission poll{.opcode = Opcode::kPoll, .handle = fd, .flags = POLLIN};
  CO_TRY_DO(co_await AwaitOperation(ring, "wait for a descriptor", poll));
  co_return Done{};
}

Result<Signals> Signals::catch_all(Ring& ring, std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return failed_with_errno(error, "block signals");
  }
  Descriptor descriptor(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor) return failed_with_errno(errno, "signalfd");
  return Signals(ring, std::move(descriptor));
}

Task<Result<int>> Signals::next() {
  for (;;) {
    signalfd_siginfo info;
    const ssize_t size = read(descriptor_.get(), &info, sizeof info);
    if (size == sizeof info) co_return static_cast<int>(info.ssi_signo);
    if (size < 0 && errno != EAGAIN && errno != EINTR)
      co_return failed_with_errno(errno, "signalfd");
    CO_TRY_DO(co_await wait_readable(*ring_, descriptor_.get()));
  }
}

}  // namespace mesh::io
