#pragma once
// One operation of the back end, awaited once. Internal to mesh/io.

#include <coroutine>

#include "mesh/base/result.h"
#include "mesh/io/backend.h"
#include "mesh/io/cancel.h"
#include "mesh/io/ring_impl.h"

namespace mesh::io::internal {

// Lives in the frame of the coroutine that awaits it, as does the memory it points to; rule 2 of
// task.h keeps that frame alive until the back end has answered.
class [[nodiscard]] AwaitOperation final : Operation, CancelListener {
 public:
  // `scope`, when given, cancels it instead of the awaiting coroutine's own.
  AwaitOperation(Ring& ring, const char* during, const Submission& submission,
                 CancelScope* scope = nullptr) noexcept
      : backend_(*ring.impl().backend), submission_(submission), scope_(scope), during_(during) {}

  bool await_ready() const noexcept { return false; }

  template <class Caller>
  bool await_suspend(std::coroutine_handle<Caller> caller) noexcept {
    return start(caller, scope_ != nullptr ? scope_ : caller.promise().cancel);
  }

  // Bytes, a handle or events; or why there is none.
  Result<std::size_t> await_resume() const noexcept {
    if (result_ < 0) return failed_with_errno(-result_, during_);
    return static_cast<std::size_t>(result_);
  }

 private:
  bool start(std::coroutine_handle<> caller, CancelScope* scope) noexcept {
    if (scope != nullptr && scope->requested()) {
      result_ = -ECANCELED;
      return false;
    }
    caller_ = caller;
    if (scope != nullptr) join(*scope);
    backend_.submit(*this, submission_);
    return true;
  }
  void on_cancel() noexcept override { backend_.cancel(*this); }
  void on_completion(const Completion& completion) override {
    leave();
    result_ = completion.result;
    caller_.resume();  // `this` may be gone afterwards
  }

  Backend& backend_;
  Submission submission_;
  CancelScope* scope_;
  std::coroutine_handle<> caller_;
  const char* during_;
  int result_ = 0;
};

}  // namespace mesh::io::internal
