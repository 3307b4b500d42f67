#include "mesh/io/acceptor.h"

#include <cerrno>
#include <utility>

namespace mesh::io::internal {

Task<Result<int>> Acceptor::accept() {
  CancelScope* scope = co_await current_cancel();
  for (;;) {
    if (closed_ || (scope != nullptr && scope->requested())) {
      co_return failed(Reason::kCancelled, "accept");
    }
    if (ready_.empty() && !arrivals_.empty()) {
      ready_.assign(arrivals_.rbegin(), arrivals_.rend());
      arrivals_.clear();
    }
    if (!ready_.empty()) {
      const int handle = ready_.back();
      ready_.pop_back();
      co_return handle;
    }
    if (error_ != 0) co_return failed_with_errno(std::exchange(error_, 0), "accept");
    arm();
    co_await arrived_.wait();
  }
}

void Acceptor::arm() noexcept {
  if (in_flight()) return;
  cancelled_ = false;
  ++ring_.impl().parked;
  backend().submit(*this, {.opcode = Opcode::kAccept, .multishot = true, .handle = handle_});
}

void Acceptor::on_completion(const Completion& completion) {
  if (completion.result >= 0) {
    if (closed_) {
      backend().close(completion.result, CloseHow::kReset);
    } else {
      arrivals_.push_back(completion.result);
      arrived_.wake_one();
    }
  }
  if (completion.more) {
    if (ready_.size() + arrivals_.size() >= kAheadMax && !cancelled_ && !closed_) {
      cancelled_ = true;
      backend().cancel(*this);
    }
    return;
  }
  if (closed_) {
    backend().close(std::exchange(handle_, -1), CloseHow::kGraceful);
    if (retired_) delete this;
    return;
  }
  --ring_.impl().parked;
  if (completion.result >= 0) {
    if (!arrived_.empty()) arm();
    return;
  }
  switch (-completion.result) {
    case ECANCELED:  // we held it back; or the kernel ended it under us
    case EINTR:
    case ECONNABORTED:  // the peer left while it waited in the backlog
      if (!arrived_.empty()) arm();
      return;
    default:
      error_ = -completion.result;
      arrived_.wake_one();
  }
}

void Acceptor::close() noexcept {
  if (std::exchange(closed_, true)) return;
  for (const std::vector<int>& waiting : {ready_, arrivals_}) {
    for (const int handle : waiting) backend().close(handle, CloseHow::kReset);
  }
  ready_.clear();
  arrivals_.clear();
  arrived_.wake_all();
  if (in_flight()) {
    --ring_.impl().parked;  // from now on somebody waits for it
    backend().cancel(*this);
  } else {
    backend().close(std::exchange(handle_, -1), CloseHow::kGraceful);
  }
}

void Acceptor::retire(std::unique_ptr<Acceptor> acceptor) noexcept {
  acceptor->close();
  if (!acceptor->in_flight()) return;
  acceptor->retired_ = true;
  acceptor.release();  // on_completion() deletes it
}

}  // namespace mesh::io::internal
