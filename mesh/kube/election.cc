#include "mesh/kube/election.h"

#include <sys/random.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::kube {
namespace {

using Clock = std::chrono::steady_clock;

std::int64_t unix_microseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Election::Election(Http& http, Lease::Options options, std::function<void(bool)> changed)
    : http_(http), changed_(std::move(changed)), lease_(std::move(options)) {}

void Election::run() {
  http_.post([self = shared_from_this()] { self->step(); });
}

bool Election::held() const { return Clock::now().time_since_epoch().count() < held_until_.load(); }

Election::Health Election::health() const {
  const std::lock_guard lock(mutex_);
  return {held(), lease_.holder(), lease_.problem(), lease_.failures()};
}

void Election::step() {
  std::optional<HttpRequest> request;
  Lease::Time wake{};
  {
    const std::lock_guard lock(mutex_);
    request = lease_.next(Clock::now(), unix_microseconds());
    wake = lease_.wake();
  }
  // The end of what we hold is told when it comes, whatever the open request does.
  note();
  if (!request) return;
  http_.send(*std::move(request), [self = shared_from_this()](const Http::Answer& answer) {
    Lease::Time next{};
    {
      const std::lock_guard lock(self->mutex_);
      self->lease_.answer(answer, Clock::now());
      next = self->lease_.wake();
    }
    self->note();
    self->http_.at(next, [self] { self->step(); });
  });
}

// Tells others what has changed, and comes back when what we hold ends.
void Election::note() {
  Lease::Time until{};
  {
    const std::lock_guard lock(mutex_);
    until = lease_.held_until();
  }
  held_until_ = until.time_since_epoch().count();
  const bool now_held = held();
  if (now_held) http_.at(until, [self = shared_from_this()] { self->note(); });
  if (std::exchange(told_, now_held) != now_held) changed_(now_held);
}

void Election::release() {
  std::optional<HttpRequest> request;
  {
    const std::lock_guard lock(mutex_);
    request = lease_.release();
  }
  held_until_ = 0;
  if (request) (void)http_.call(*std::move(request));
}

std::string unique_identity(const std::string& base) {
  unsigned char bytes[16];
  MESH_CHECK(::getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
  std::string text = base + "_";
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace mesh::kube
