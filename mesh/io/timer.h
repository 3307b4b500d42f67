#pragma once
// Time: sleeping, and a limit on how long anything may take.

#include <optional>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"

namespace mesh::io {

// Errors: kCancelled.
Task<Result<Done>> sleep_for(Ring& ring, Duration duration);
Task<Result<Done>> sleep_until(Ring& ring, TimePoint when);

// Runs `task`; when it is not done after `limit` it is cancelled and joined, and the result is
// kTimedOut naming `during`. A cancellation from outside is passed on as kCancelled.
template <class T>
Task<Result<T>> with_deadline(Ring& ring, Duration limit, const char* during,
                              Task<Result<T>> task);

}  // namespace mesh::io
