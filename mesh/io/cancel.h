#pragma once
// Cancellation is a request, never a fact: whoever is asked still completes, usually with
// Reason::kCancelled, and only then may its memory go away.

#include "mesh/base/check.h"

namespace mesh::io {

class CancelScope;

// Something that wants to hear of a cancellation, from join() until leave() or until it was told.
class CancelListener {
 public:
  CancelListener() = default;
  CancelListener(const CancelListener&) = delete;
  CancelListener& operator=(const CancelListener&) = delete;

 protected:
  ~CancelListener() { MESH_CHECK(scope_ == nullptr); }

  // Told at most once. Must not resume a coroutine: it queues, or asks the kernel.
  virtual void on_cancel() noexcept = 0;
  void join(CancelScope& scope) noexcept;
  void leave() noexcept;

 private:
  friend class CancelScope;
  CancelScope* scope_ = nullptr;
  CancelListener* previous_ = nullptr;
  CancelListener* next_ = nullptr;
};

// What is cancelled together. Scopes nest: cancelling the outer one cancels the inner ones.
class CancelScope final : private CancelListener {
 public:
  CancelScope() = default;
  // Borrows `outer` until it is destroyed; nullptr is no outer scope.
  explicit CancelScope(CancelScope* outer) noexcept { nest_in(outer); }
  // The same for one that was made without; once, and before anybody listens.
  void nest_in(CancelScope* outer) noexcept {
    if (outer == nullptr) return;
    requested_ = outer->requested_;
    if (!requested_) CancelListener::join(*outer);
  }
  ~CancelScope() {
    MESH_CHECK(first_ == nullptr);  // whoever listens here borrows this scope
    leave();
  }

  // Idempotent. Listeners are told in the order in which they joined.
  void request() noexcept;
  bool requested() const noexcept { return requested_; }

 private:
  friend class CancelListener;
  void on_cancel() noexcept override { request(); }

  bool requested_ = false;
  CancelListener* first_ = nullptr;
  CancelListener* last_ = nullptr;
};

inline void CancelListener::join(CancelScope& scope) noexcept {
  MESH_CHECK(scope_ == nullptr && !scope.requested_);
  scope_ = &scope;
  previous_ = scope.last_;
  next_ = nullptr;
  (previous_ != nullptr ? previous_->next_ : scope.first_) = this;
  scope.last_ = this;
}

inline void CancelListener::leave() noexcept {
  if (scope_ == nullptr) return;
  (previous_ != nullptr ? previous_->next_ : scope_->first_) = next_;
  (next_ != nullptr ? next_->previous_ : scope_->last_) = previous_;
  scope_ = nullptr;
}

inline void CancelScope::request() noexcept {
  if (requested_) return;
  requested_ = true;
  // Each leaves before it is told, so that being told may change the list in any way.
  while (first_ != nullptr) {
    CancelListener* listener = first_;
    listener->leave();
    listener->on_cancel();
  }
}

}  // namespace mesh::io
