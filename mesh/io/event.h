#pragma once
// Waiting for another coroutine of the same ring. All single-threaded; waits hear cancellation.

#include <deque>

#include "mesh/base/result.h"
#include "mesh/io/cancel.h"
#include "mesh/io/task.h"

namespace mesh::io {

// A flag that coroutines wait for. set() resumes all waiters (queued to the ring's next turn of
// ready work, never recursively inside set()); stays set until reset().
//   co_await event.wait()  ->  Result<Done>; kCancelled when the waiter's scope is cancelled
class Event;

// A bounded queue between coroutines: push() waits while full, pop() while empty; close() ends both
// with kPeerClosed once drained.
template <class T>
class Queue;

}  // namespace mesh::io
