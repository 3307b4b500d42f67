#pragma once
// Waiting for another coroutine of the same ring. Waits hear cancellation; nobody is resumed inside
// the call that wakes him, but from the ring's queue.

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/io/cancel.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::io {

namespace internal {

// Coroutines that wait for the same thing, in the order in which they came.
class WaitList {
 public:
  explicit WaitList(Ring& ring) noexcept : ring_(ring) {}
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() { MESH_CHECK(first_ == nullptr); }  // a waiter borrows what it waits for

  class [[nodiscard]] Wait final : CancelListener {
   public:
    explicit Wait(WaitList& list) noexcept : list_(list) {}
    bool await_ready() const noexcept { return false; }
    template <class Caller>
    bool await_suspend(std::coroutine_handle<Caller> caller) noexcept {
      return suspend(caller, caller.promise().cancel);
    }
    // true: woken; false: cancelled.
    bool await_resume() const noexcept { return woken_; }

   private:
    friend class WaitList;
    bool suspend(std::coroutine_handle<> caller, CancelScope* scope) noexcept;
    void on_cancel() noexcept override;
    void unlink() noexcept;

    WaitList& list_;
    Resumption resumption_;
    Wait* previous_ = nullptr;
    Wait* next_ = nullptr;
    bool woken_ = false;
  };

  Wait wait() noexcept { return Wait(*this); }
  void wake_one() noexcept;
  void wake_all() noexcept;
  bool empty() const noexcept { return first_ == nullptr; }

 private:
  Ring& ring_;
  Wait* first_ = nullptr;
  Wait* last_ = nullptr;
};

}  // namespace internal

// A flag that coroutines wait for. set() wakes all of them; it stays set until reset().
class Event {
 public:
  explicit Event(Ring& ring) noexcept : waiters_(ring) {}

  void set() noexcept {
    set_ = true;
    waiters_.wake_all();
  }
  void reset() noexcept { set_ = false; }
  bool is_set() const noexcept { return set_; }

  // Done as soon as it was set, also when it was reset since. Errors: kCancelled.
  Task<Result<Done>> wait();

 private:
  internal::WaitList waiters_;
  bool set_ = false;
};

// A bounded queue between coroutines of one ring.
// Limits: `capacity` items; push() waits while there are as many.
template <class T>
class Queue {
 public:
  Queue(Ring& ring, std::size_t capacity) noexcept
      : capacity_(capacity), not_empty_(ring), not_full_(ring) {
    MESH_CHECK(capacity > 0);
  }

  // Errors: kPeerClosed after close(), kCancelled.
  Task<Result<Done>> push(T item) {
    while (!closed_ && items_.size() >= capacity_) {
      if (!co_await not_full_.wait()) co_return failed(Reason::kCancelled, "queue push");
    }
    if (!try_push(item)) co_return failed(Reason::kPeerClosed, "queue push");
    co_return Done{};
  }

  // Errors: kPeerClosed after close() and when nothing is left, kCancelled.
  Task<Result<T>> pop() {
    for (;;) {
      if (auto item = try_pop()) co_return *std::move(item);
      if (closed_) co_return failed(Reason::kPeerClosed, "queue pop");
      if (!co_await not_empty_.wait()) co_return failed(Reason::kCancelled, "queue pop");
    }
  }

  // Moves from `item` and answers true, unless the queue is full or closed.
  bool try_push(T& item) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    not_empty_.wake_one();
    return true;
  }
  bool try_push(T&& item) { return try_push(item); }

  std::optional<T> try_pop() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    not_full_.wake_one();
    return item;
  }

  // No further push; pop() hands out what is left.
  void close() noexcept {
    closed_ = true;
    not_empty_.wake_all();
    not_full_.wake_all();
  }
  bool closed() const noexcept { return closed_; }
  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }

 private:
  std::size_t capacity_;
  std::deque<T> items_;
  internal::WaitList not_empty_;
  internal::WaitList not_full_;
  bool closed_ = false;
};

}  // namespace mesh::io
