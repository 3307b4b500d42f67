#pragma once
// Two Tasks at once: both() wants both answers, first_of() the first one.

#include <optional>

#include "mesh/base/result.h"
#include "mesh/io/task_scope.h"

namespace mesh::io {

template <class A, class B>
struct BothResults {
  Result<A> first;
  Result<B> second;
};

enum class Winner : bool { kFirst, kSecond };

template <class A, class B>
struct FirstOfResults {
  Winner winner;
  Result<A> first;  // the loser's is usually kCancelled; when it was done anyway, its own answer
  Result<B> second;
};

namespace internal {

enum class StopOther : bool { kOnError, kAlways };

struct Pair {
  TaskScope scope;
  StopOther stop_other;
  std::optional<Winner> winner;
};

template <class T>
Task<void> run_one_of(Pair& pair, Winner me, Task<Result<T>> task,
                      std::optional<Result<T>>& result) {
  result.emplace(co_await std::move(task));
  if (!pair.winner) pair.winner = me;
  if (!result->has_value() || pair.stop_other == StopOther::kAlways) pair.scope.cancel();
}

}  // namespace internal

// Runs both and returns both results. When one fails the other is cancelled, so that a half-broken
// pair never lingers; when one succeeds the other runs on undisturbed.
template <class A, class B>
Task<BothResults<A, B>> both(Task<Result<A>> first, Task<Result<B>> second) {
  std::optional<Result<A>> a;
  std::optional<Result<B>> b;
  internal::Pair pair{TaskScope(co_await current_cancel()), internal::StopOther::kOnError, {}};
  pair.scope.spawn(internal::run_one_of<A>(pair, Winner::kFirst, std::move(first), a));
  pair.scope.spawn(internal::run_one_of<B>(pair, Winner::kSecond, std::move(second), b));
  co_await pair.scope.join();
  co_return BothResults<A, B>{*std::move(a), *std::move(b)};
}

// Runs both until one is done, well or not; then cancels the other and joins it.
template <class A, class B>
Task<FirstOfResults<A, B>> first_of(Task<Result<A>> first, Task<Result<B>> second) {
  std::optional<Result<A>> a;
  std::optional<Result<B>> b;
  internal::Pair pair{TaskScope(co_await current_cancel()), internal::StopOther::kAlways, {}};
  pair.scope.spawn(internal::run_one_of<A>(pair, Winner::kFirst, std::move(first), a));
  pair.scope.spawn(internal::run_one_of<B>(pair, Winner::kSecond, std::move(second), b));
  co_await pair.scope.join();
  co_return FirstOfResults<A, B>{*pair.winner, *std::move(a), *std::move(b)};
}

}  // namespace mesh::io
