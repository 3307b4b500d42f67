// What the simulated world has instead of threads, signals and descriptors.

#include <cerrno>
#include <optional>
#include <utility>

#include "mesh/io/descriptor.h"
#include "mesh/io/event.h"
#include "mesh/io/kernel_features.h"
#include "mesh/io/ring_impl.h"
#include "mesh/io/signals.h"
#include "mesh/io/sim/core.h"
#include "mesh/io/unix_socket.h"
#include "mesh/io/worker.h"

namespace mesh::io {

struct Worker::Impl {
  std::shared_ptr<sim::World::Core> core;
  Main main;
  std::unique_ptr<Ring> ring;
};

Result<std::unique_ptr<Worker>> Worker::start(const std::string&, RingOptions options, Main main) {
  auto impl = std::make_unique<Impl>();
  impl->core = sim::World::Core::current_or_plain();
  TRY(impl->ring, Ring::create(options));
  impl->main = std::move(main);
  Ring& ring = *impl->ring;
  // Not here and now: the caller's own turn goes on first.
  ring.post([self = impl.get()] { self->ring->impl().start(self->main(*self->ring)); });
  return std::unique_ptr<Worker>(new Worker(std::move(impl)));
}

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::~Worker() { join(); }

bool Worker::post(std::move_only_function<void(Ring&)> action) {
  Ring* ring = impl_->ring.get();
  if (ring == nullptr) return false;
  ring->post([ring, action = std::move(action)]() mutable { action(*ring); });
  return true;
}

void Worker::join() {
  if (impl_->ring == nullptr) return;
  while (impl_->ring->impl().has_work() || !impl_->ring->impl().finished()) {
    const bool happened = impl_->core->step();
    MESH_CHECK(happened);  // nothing can happen any more, but the worker still waits
  }
  impl_->ring.reset();
}

Task<Result<Done>> wait_readable(Ring&, int) {
  co_return failed_with_errno(EOPNOTSUPP, "wait for a descriptor");
}

Result<Signals> Signals::catch_all(Ring& ring, std::initializer_list<int>) {
  return Signals(ring, Descriptor());
}

Task<Result<int>> Signals::next() {
  Event never(*ring_);
  CO_TRY_DO(co_await never.wait());
  co_return 0;
}

bool has_congestion_control(std::string_view name) {
  return name == "cubic" || name == "reno" || name == "bbr";
}
std::string_view unpaced_congestion_control() { return "reno"; }
std::span<const Feature> features() { return {}; }
std::string_view back_end_name() { return "io_sim"; }

}  // namespace mesh::io
