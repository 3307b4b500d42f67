#pragma once
// TaskScope: the one place where a Task runs beside the code that started it.

#include <cstddef>

#include "mesh/io/task.h"

namespace mesh::io {

// Owns any number of running Tasks. `co_await scope.join()` before the scope is destroyed
// (checked). What a spawned Task borrows must outlive join(): pass values, or references to things
// declared before the scope.
class TaskScope {
 public:
  // With `outer`, cancelling that scope cancels the children too: usually co_await
  // current_cancel().
  explicit TaskScope(CancelScope* outer = nullptr) noexcept : cancel_(outer) {}
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope() { MESH_CHECK(live_ == 0 && !joiner_); }

  // Runs `task` until it first suspends, then returns. In a cancelled scope it still starts, and
  // whatever it awaits answers kCancelled.
  void spawn(Task<void> task) { run(std::move(task), *this); }

  // Asks every child to stop, those still to come included. join() still has to be awaited.
  void cancel() noexcept { cancel_.request(); }
  bool cancelled() const noexcept { return cancel_.requested(); }
  CancelScope& cancel_scope() noexcept { return cancel_; }

  // Children that are not done.
  std::size_t size() const noexcept { return live_; }

  // Resumes when no child is left. One joiner at a time. Not itself cancelled.
  auto join() noexcept { return Joiner{*this}; }

 private:
  struct Joiner {
    TaskScope& scope;
    bool await_ready() const noexcept { return scope.live_ == 0; }
    void await_suspend(std::coroutine_handle<> joiner) noexcept {
      MESH_CHECK(!scope.joiner_);
      scope.joiner_ = joiner;
    }
    void await_resume() const noexcept {}
  };

  struct Child {
    struct promise_type {
      TaskScope& scope;
      CancelScope* cancel;
      promise_type(Task<void>&, TaskScope& owner) noexcept : scope(owner), cancel(&owner.cancel_) {}

      // Frees its own frame first: the joiner may destroy the scope.
      struct Leave {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(
            std::coroutine_handle<promise_type> self) const noexcept {
          TaskScope& owner = self.promise().scope;
          self.destroy();
          if (--owner.live_ > 0 || !owner.joiner_) return std::noop_coroutine();
          return std::exchange(owner.joiner_, nullptr);
        }
        void await_resume() const noexcept {}
      };
      Child get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      Leave final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
      static void* operator new(std::size_t bytes) { return internal::allocate_frame(bytes); }
      static void operator delete(void* frame, std::size_t bytes) noexcept {
        internal::release_frame(frame, bytes);
      }
    };
  };
  static Child run(Task<void> task, TaskScope& scope) {
    ++scope.live_;
    co_await std::move(task);
  }

  CancelScope cancel_;
  std::size_t live_ = 0;
  std::coroutine_handle<> joiner_;
};

}  // namespace mesh::io
