#include "mesh/io/ring.h"

#include <algorithm>
#include <cerrno>

#include "mesh/io/ring_impl.h"
#include "mesh/io/task_scope.h"

namespace mesh::io {
namespace {

// Rounds of ready coroutines in one turn before the kernel is asked again, so that coroutines that
// wake each other without end cannot hold the loop.
constexpr int kRoundsPerTurn = 16;

Task<void> run_main(Task<void> main, bool& running) {
  co_await std::move(main);
  running = false;
}

}  // namespace

Result<std::unique_ptr<Ring>> Ring::create(RingOptions options) {
  auto impl = std::make_unique<Impl>(options);
  TRY(impl->backend, internal::Backend::create(*impl, options));
  impl->pool(BufferClass::kRelay)
      .set_up(*impl->backend, BufferClass::kRelay, options.relay_buffers,
              options.relay_buffers_max);
  impl->pool(BufferClass::kWire)
      .set_up(*impl->backend, BufferClass::kWire, options.wire_buffers, options.wire_buffers_max);
  impl->now = impl->backend->now();
  return std::unique_ptr<Ring>(new Ring(std::move(impl)));
}

Ring::Ring(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Ring::~Ring() {
  impl_->backend->drive();         // sockets that are still closing
  MESH_CHECK(impl_->parked == 0);  // a socket may not outlive its ring
}

void Ring::run(Task<void> main) {
  impl_->start(std::move(main));
  impl_->backend->drive();
}

void Ring::post(std::move_only_function<void()> action) { impl_->post(std::move(action)); }

TimePoint Ring::now() const noexcept { return impl_->now; }
WallTime Ring::wall_now() const noexcept { return impl_->backend->wall_now(); }
std::size_t Ring::bulk_share(BufferClass kind) const noexcept { return impl_->bulk_share(kind); }
std::uint64_t Ring::random() noexcept { return impl_->backend->random(); }
unsigned Ring::in_flight() const noexcept { return impl_->backend->in_flight(); }

Ring::Impl::Impl(const RingOptions& given) : options(given) {}
Ring::Impl::~Impl() = default;

void Ring::Impl::start(Task<void> main) {
  MESH_CHECK(!running);
  running = true;
  now = backend->now();
  main_scope_.emplace();
  main_scope_->spawn(run_main(std::move(main), running));
}

bool Ring::Impl::finished() const noexcept {
  return !running && ready_first_ == nullptr && backend->in_flight() == parked;
}

bool Ring::Impl::has_work() const noexcept {
  return ready_first_ != nullptr || inbox_filled_.load(std::memory_order_acquire);
}

void Ring::Impl::turn() {
  ++turns;
  run_inbox();
  timers.fire(now);
  for (int round = 0; round < kRoundsPerTurn && ready_first_ != nullptr; ++round) run_ready();
}

void Ring::Impl::run_ready() {
  internal::Resumption* next = std::exchange(ready_first_, nullptr);
  ready_last_ = nullptr;
  while (next != nullptr) {
    // The resumption lives in the coroutine's frame, which may be gone afterwards.
    internal::Resumption& current = *next;
    next = current.next;
    current.coroutine.resume();
  }
}

void Ring::Impl::run_inbox() {
  if (!inbox_filled_.exchange(false, std::memory_order_acq_rel)) return;
  std::vector<std::move_only_function<void()>> actions;
  {
    const std::lock_guard lock(inbox_mutex_);
    actions.swap(inbox_);
  }
  for (auto& action : actions) action();
}

std::size_t Ring::Impl::bulk_share(BufferClass kind) noexcept {
  // Relay buffers that were framed and sealed fill 64 KiB segments best by fifteen, or thirty: two
  // more leave a rest that is a packet of its own. Each receive and each send costs a wake-up of
  // the other side, so what one brings is as much as the processor's cache bears.
  struct Share {
    unsigned relay, wire;
  };
  constexpr Share kPlenty = {30, 8}, kFew = {2, 1};
  const BufferPool& from = pool(kind);
  const auto share = [&](Share of) {
    return (kind == BufferClass::kRelay ? of.relay : of.wire) * from.payload();
  };
  if (from.leased() < from.limit() / 8) return share(kPlenty);
  if (from.leased() < from.limit() / 2) return share(kFew);
  return from.payload();
}

void Ring::Impl::resume_soon(internal::Resumption& resumption) noexcept {
  resumption.next = nullptr;
  (ready_last_ != nullptr ? ready_last_->next : ready_first_) = &resumption;
  ready_last_ = &resumption;
}

void Ring::Impl::post(std::move_only_function<void()> action) {
  {
    const std::lock_guard lock(inbox_mutex_);
    inbox_.push_back(std::move(action));
  }
  // The loop looks at the inbox before it waits, so its own thread need not wake it; and whoever
  // finds it filled knows that somebody else already has.
  const bool filled = inbox_filled_.exchange(true, std::memory_order_acq_rel);
  if (!filled) backend->wake();
}

namespace internal {

void resume_soon(Ring& ring, Resumption& resumption) noexcept {
  ring.impl().resume_soon(resumption);
}

}  // namespace internal

const char* explain_create_error(const Error& error) {
  switch (error.os_errno) {
    case EPERM:
    case EACCES:
      return "io_uring is refused: by a seccomp profile (containerd 2 and Docker 25 deny it by "
             "default: allow io_uring_setup, io_uring_enter and io_uring_register) or by "
             "kernel.io_uring_disabled (sysctl -w kernel.io_uring_disabled=0)";
    case ENOSYS:
      return "this kernel has no io_uring (CONFIG_IO_URING), or a seccomp profile hides it";
    case EINVAL:
      return "this kernel's io_uring is too old: Linux 6.1 or newer is needed";
    case ENOMEM:
      return "no memory for an io_uring: raise the memory or RLIMIT_MEMLOCK limit";
    case EMFILE:
    case ENFILE:
      return "no file descriptor left for an io_uring: raise the limit of open files";
    default:
      return "io_uring cannot be set up";
  }
}

}  // namespace mesh::io
