#pragma once
// Worker: a thread with a Ring of its own, reached by messages only.

#include <functional>
#include <memory>
#include <string>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::io {

// In a simulation it is not a thread but one more ring, on the host of the ring that is running or
// being set up, interleaved with the others by the seed.
class Worker {
 public:
  struct Impl;
  using Main = std::move_only_function<Task<void>(Ring&)>;

  // Starts a thread called `name` (15 bytes at most are shown) that makes a Ring and runs `main` on
  // it. Returns when the Ring is there, or why it is not.
  static Result<std::unique_ptr<Worker>> start(const std::string& name, RingOptions options,
                                               Main main);
  ~Worker();  // join()
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Runs `action` with the worker's ring, on its thread. Any thread. False when the worker has
  // ended: the action will not run.
  bool post(std::move_only_function<void(Ring&)> action);

  // Waits for `main` to end; whoever owns the worker first posts what makes it end. Blocks the
  // calling thread: for use outside coroutines.
  void join();

 private:
  explicit Worker(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::io
