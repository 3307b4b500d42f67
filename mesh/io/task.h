#pragma once
// Task<T>: an asynchronous function call.
//
// Six rules; README.md says why.
//   1. Await a Task in the expression that makes it, or hand it to TaskScope::spawn(), both(),
//      first_of() or with_deadline(). A child then never outlives its caller's frame, and reference
//      parameters are safe.
//   2. A started Task runs to its end. Destroying it earlier is a bug (checked), because the kernel
//      may still be writing into its frame. To stop it, cancel its scope and await it.
//   3. No exception leaves a Task; std::terminate answers one that tries.
//   4. A coroutine is a function or a member function, never a lambda with captures.
//   5. A Task stays on the thread of the Ring that started it.
//   6. Locks, and views into tables that change, are not held across a co_await.
// Rules 2, 3 and 6 are enforced here, 4 by g++ here and by clang-tidy elsewhere.

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/io/cancel.h"

namespace mesh::io {

template <class T = void>
class Task;

namespace internal {

// The largest coroutine frame allocated by this thread so far; tests assert budgets on it.
inline thread_local std::size_t largest_frame_bytes = 0;

// Frames come from a cache per thread: after warm-up an awaited call costs no malloc.
void* allocate_frame(std::size_t bytes);
void release_frame(void* frame, std::size_t bytes) noexcept;

// Put `using not_across_await = void;` into a type that must not live across a suspension: a lock,
// a borrowed view of a table that changes. It then cannot be a parameter of a coroutine.
template <class T>
concept MarkedNotAcrossAwait = requires { typename std::remove_reference_t<T>::not_across_await; };

#ifdef __clang__
// clang does not hand a lambda's closure to the promise, so here it could only be an argument.
template <class T>
concept CapturingClosure = false;
#else
template <class T>
concept CapturingClosure =
    !std::is_empty_v<T> && requires { &std::remove_reference_t<T>::operator(); };
#endif

struct PromiseBase;

// Tasks whose caller waits for all of them: both() and first_of().
class Joint {
 public:
  // A task of it is done; true for the last, whose caller then goes on.
  virtual bool on_done(const PromiseBase& task, bool failed) noexcept = 0;

 protected:
  ~Joint() = default;
};

struct PromiseBase {
  PromiseBase() = default;

  // The compiler hands a coroutine's parameters to this constructor: the chance to enforce rules.
  template <class First, class... Rest>
  explicit PromiseBase(First&, Rest&...) {
    static_assert(!CapturingClosure<First>, "rule 4: its captures die before the coroutine does");
    static_assert(!(MarkedNotAcrossAwait<First> || ... || MarkedNotAcrossAwait<Rest>),
                  "rule 6: this parameter must not be held across a co_await");
  }

  std::coroutine_handle<> continuation = nullptr;  // set when it starts
  CancelScope* cancel = nullptr;                   // inherited from the awaiting coroutine
  Joint* joint = nullptr;                          // null: it is awaited alone

  bool started() const noexcept { return continuation != nullptr; }

  struct ResumeCaller {
    bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> self) const noexcept {
      P& promise = self.promise();
      if (promise.joint != nullptr && !promise.joint->on_done(promise, promise.has_failed())) {
        return std::noop_coroutine();
      }
      return promise.continuation;
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  ResumeCaller final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }

  static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept {
    release_frame(frame, bytes);
  }
};

template <class T>
struct Promise : PromiseBase {
  using PromiseBase::PromiseBase;
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() { return *std::move(value); }
  bool has_failed() const noexcept {
    if constexpr (requires { value->has_value(); }) return !value->has_value();
    return false;
  }
};

template <>
struct Promise<void> : PromiseBase {
  using PromiseBase::PromiseBase;
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
  bool has_failed() const noexcept { return false; }
};

template <class A, class B>
class PairAwaiter;

}  // namespace internal

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;

  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (!frame_) return;
    MESH_CHECK(!frame_.promise().started() || frame_.done());  // rule 2
    frame_.destroy();
  }

  auto operator co_await() && noexcept { return Awaiter{frame_, nullptr, false}; }

  // co_await std::move(task).under(scope): as above, but `scope` cancels it instead of the
  // awaiting coroutine's own. Borrows `scope` until it is done.
  auto under(CancelScope& scope) && noexcept { return Awaiter{frame_, &scope, true}; }

 private:
  friend promise_type;
  template <class A, class B>
  friend class internal::PairAwaiter;
  explicit Task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

  struct Awaiter {
    std::coroutine_handle<promise_type> frame;
    CancelScope* scope;
    bool own_scope;

    bool await_ready() const noexcept { return false; }
    template <class Caller>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Caller> caller) noexcept {
      promise_type& promise = frame.promise();
      MESH_CHECK(!promise.started());
      promise.continuation = caller;
      promise.cancel = own_scope ? scope : caller.promise().cancel;
      return frame;
    }
    T await_resume() { return frame.promise().take(); }
  };

  std::coroutine_handle<promise_type> frame_;
};

namespace internal {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace internal

// co_await current_cancel(): the scope that cancels the running Task, or nullptr.
class current_cancel {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Caller>
  bool await_suspend(std::coroutine_handle<Caller> caller) noexcept {
    scope_ = caller.promise().cancel;
    return false;
  }
  CancelScope* await_resume() const noexcept { return scope_; }

 private:
  CancelScope* scope_ = nullptr;
};

}  // namespace mesh::io
