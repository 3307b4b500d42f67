#pragma once
// Two Tasks at once: both() wants both answers, first_of() the first one.

#include <coroutine>
#include <cstdint>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/io/cancel.h"
#include "mesh/io/task.h"

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

// Runs two Tasks in the frame of whoever awaits it: an idle relayed connection is a pair of Tasks,
// so a pair takes no frame of its own.
template <class A, class B>
class [[nodiscard]] PairAwaiter : Joint {
 public:
  PairAwaiter(Task<Result<A>> first, Task<Result<B>> second, StopOther stop_other) noexcept
      : first_(std::move(first)), second_(std::move(second)), stop_other_(stop_other) {}

  bool await_ready() const noexcept { return false; }

  template <class Caller>
  bool await_suspend(std::coroutine_handle<Caller> caller) {
    scope_.nest_in(caller.promise().cancel);
    start(first_, caller);
    start(second_, caller);
    return --running_ > 0;  // both may be done already
  }

 protected:
  Winner winner() const noexcept { return first_won_ ? Winner::kFirst : Winner::kSecond; }
  Result<A> first() { return first_.frame_.promise().take(); }
  Result<B> second() { return second_.frame_.promise().take(); }

 private:
  template <class T>
  void start(Task<T>& task, std::coroutine_handle<> caller) {
    auto& promise = task.frame_.promise();
    MESH_CHECK(!promise.started());
    promise.continuation = caller;
    promise.cancel = &scope_;
    promise.joint = this;
    task.frame_.resume();
  }

  bool on_done(const PromiseBase& task, bool failed) noexcept override {
    if (!decided_) {
      decided_ = true;
      first_won_ = &task == &first_.frame_.promise();
    }
    if (failed || stop_other_ == StopOther::kAlways) scope_.request();
    return --running_ == 0;
  }

  Task<Result<A>> first_;
  Task<Result<B>> second_;
  CancelScope scope_;
  StopOther stop_other_;
  bool decided_ = false;
  bool first_won_ = false;
  std::uint8_t running_ = 3;  // both, and await_suspend() itself
};

template <class A, class B>
struct BothAwaiter final : PairAwaiter<A, B> {
  using PairAwaiter<A, B>::PairAwaiter;
  BothResults<A, B> await_resume() { return {this->first(), this->second()}; }
};

template <class A, class B>
struct FirstOfAwaiter final : PairAwaiter<A, B> {
  using PairAwaiter<A, B>::PairAwaiter;
  FirstOfResults<A, B> await_resume() { return {this->winner(), this->first(), this->second()}; }
};

}  // namespace internal

// co_await both(a(), b()): runs both and returns both results. When one fails the other is
// cancelled, so that a half-broken pair never lingers; when one succeeds the other runs on
// undisturbed. Await it in the expression that makes it.
template <class A, class B>
internal::BothAwaiter<A, B> both(Task<Result<A>> first, Task<Result<B>> second) {
  return {std::move(first), std::move(second), internal::StopOther::kOnError};
}

// co_await first_of(a(), b()): runs both until one is done, well or not; then cancels the other and
// joins it.
template <class A, class B>
internal::FirstOfAwaiter<A, B> first_of(Task<Result<A>> first, Task<Result<B>> second) {
  return {std::move(first), std::move(second), internal::StopOther::kAlways};
}

}  // namespace mesh::io
