#include "mesh/io/event.h"

namespace mesh::io {
namespace internal {

bool WaitList::Wait::suspend(std::coroutine_handle<> caller, CancelScope* scope) noexcept {
  if (scope != nullptr && scope->requested()) return false;
  resumption_.coroutine = caller;
  previous_ = list_.last_;
  (previous_ != nullptr ? previous_->next_ : list_.first_) = this;
  list_.last_ = this;
  if (scope != nullptr) join(*scope);
  return true;
}

void WaitList::Wait::unlink() noexcept {
  (previous_ != nullptr ? previous_->next_ : list_.first_) = next_;
  (next_ != nullptr ? next_->previous_ : list_.last_) = previous_;
}

void WaitList::Wait::on_cancel() noexcept {
  unlink();
  resume_soon(list_.ring_, resumption_);
}

void WaitList::wake_one() noexcept {
  Wait* wait = first_;
  if (wait == nullptr) return;
  wait->unlink();
  wait->leave();
  wait->woken_ = true;
  resume_soon(ring_, wait->resumption_);
}

void WaitList::wake_all() noexcept {
  while (first_ != nullptr) wake_one();
}

}  // namespace internal

Task<Result<Done>> Event::wait() {
  if (set_) co_return Done{};
  if (!co_await waiters_.wait()) co_return failed(Reason::kCancelled, "wait for an event");
  co_return Done{};
}

}  // namespace mesh::io
