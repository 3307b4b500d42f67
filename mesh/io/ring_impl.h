#pragma once
// What a Ring is made of above the back end. Internal to mesh/io.

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "mesh/io/backend.h"
#include "mesh/io/buffer_pool.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer_heap.h"

namespace mesh::io {

struct Ring::Impl {
  explicit Impl(const RingOptions& given);
  ~Impl();

  // One turn: messages, due timers, coroutines that are ready. The back end sets `now` before, as
  // soon as it has waited: what a completion resumes reads it too.
  void turn();
  // Nothing to wait for: something can run already.
  bool has_work() const noexcept;
  // The main task is done, and nobody awaits anything.
  bool finished() const noexcept;
  // Runs `main` until it first waits; whoever drives the loop does the rest.
  void start(Task<void> main);

  void resume_soon(internal::Resumption& resumption) noexcept;
  void post(std::move_only_function<void()> action);
  std::size_t bulk_share(BufferClass kind) noexcept;
  BufferPool& pool(BufferClass kind) noexcept { return pools[static_cast<std::size_t>(kind)]; }

  RingOptions options;
  TimePoint now{};
  TimerHeap timers;
  std::array<BufferPool, kBufferClasses> pools;
  std::unique_ptr<internal::Backend> backend;
  std::uint64_t turns = 0;  // each enters the kernel once
  unsigned parked = 0;      // operations armed ahead of whoever will want their result
  bool running = false;

 private:
  void run_ready();
  void run_inbox();

  std::optional<TaskScope> main_scope_;
  internal::Resumption* ready_first_ = nullptr;
  internal::Resumption* ready_last_ = nullptr;
  std::atomic<bool> inbox_filled_ = false;
  std::mutex inbox_mutex_;
  std::vector<std::move_only_function<void()>> inbox_;
};

}  // namespace mesh::io
