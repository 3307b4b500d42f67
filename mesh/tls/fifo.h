#pragma once
// Fifo: a queue that costs nothing while it is empty. (std::deque keeps 600 bytes, and every stream
// has two queues that are empty nearly always.)

#include <cstddef>
#include <utility>
#include <vector>

namespace mesh::tls {

template <class T>
class Fifo {
 public:
  bool empty() const noexcept { return head_ == items_.size(); }
  T& front() noexcept { return items_[head_]; }
  void push_back(T item) { items_.push_back(std::move(item)); }
  void pop_front() noexcept {
    items_[head_] = T();
    if (++head_ == items_.size()) {
      clear();
    } else if (head_ >= 32 && head_ * 2 >= items_.size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }
  void clear() noexcept {
    head_ = 0;
    items_ = std::vector<T>();
  }

 private:
  std::vector<T> items_;
  std::size_t head_ = 0;
};

}  // namespace mesh::tls
