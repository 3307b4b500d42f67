#pragma once
// SIGTERM, SIGINT, SIGHUP as something to await.

#include <initializer_list>

#include "mesh/base/result.h"
#include "mesh/io/descriptor.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::io {

// Blocks the signals for the calling thread and those it starts later: call it in main() before any
// thread exists. Simulated: a signal never comes.
class Signals {
 public:
  static Result<Signals> catch_all(Ring& ring, std::initializer_list<int> signals);

  // The number of the next signal. Errors: kCancelled.
  Task<Result<int>> next();

 private:
  Signals(Ring& ring, Descriptor descriptor) : ring_(&ring), descriptor_(std::move(descriptor)) {}
  Ring* ring_;
  Descriptor descriptor_;
};

}  // namespace mesh::io
