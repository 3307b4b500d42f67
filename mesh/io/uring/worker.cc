#include "mesh/io/worker.h"

#include <pthread.h>

#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace mesh::io {

struct Worker::Impl {
  std::thread thread;
  std::mutex mutex;
  Ring* ring = nullptr;  // while it takes messages

  void run(RingOptions options, Main main, std::promise<Result<Done>> started);
};

void Worker::Impl::run(RingOptions options, Main main, std::promise<Result<Done>> started) {
  auto created = Ring::create(options);
  if (!created) {
    started.set_value(std::unexpected(created.error()));
    return;
  }
  const std::unique_ptr<Ring> own = *std::move(created);
  {
    const std::lock_guard lock(mutex);
    ring = own.get();
  }
  started.set_value(Done{});
  own->run(main(*own));
  const std::lock_guard lock(mutex);
  ring = nullptr;
}

Result<std::unique_ptr<Worker>> Worker::start(const std::string& name, RingOptions options,
                                              Main main) {
  auto impl = std::make_unique<Impl>();
  std::promise<Result<Done>> started;
  std::future<Result<Done>> outcome = started.get_future();
  Impl* self = impl.get();
  self->thread =
      std::thread([self, options, main = std::move(main), started = std::move(started)]() mutable {
        self->run(options, std::move(main), std::move(started));
      });
  pthread_setname_np(self->thread.native_handle(), name.substr(0, 15).c_str());
  std::unique_ptr<Worker> worker(new Worker(std::move(impl)));
  TRY_DO(outcome.get());  // the destructor joins
  return worker;
}

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::~Worker() { join(); }

bool Worker::post(std::move_only_function<void(Ring&)> action) {
  const std::lock_guard lock(impl_->mutex);
  Ring* ring = impl_->ring;
  if (ring == nullptr) return false;
  ring->post([ring, action = std::move(action)]() mutable { action(*ring); });
  return true;
}

void Worker::join() {
  if (impl_->thread.joinable()) impl_->thread.join();
}

}  // namespace mesh::io
