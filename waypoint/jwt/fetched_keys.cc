#include "waypoint/jwt/fetched_keys.h"

#include <algorithm>
#include <utility>

namespace mesh::waypoint::jwt {

KeysPtr FetchedKeys::keys(Time now) const {
  return keys_ != nullptr && now - fetched_at_ < 2 * cache_for_ ? keys_ : nullptr;
}

bool FetchedKeys::start_fetch(Time now) {
  if (fetching_ || now < next_) return false;
  fetching_ = true;
  return true;
}

bool FetchedKeys::fetched(std::string_view body, Time now) {
  auto parsed = Keys::parse(body);
  if (!parsed) {
    failed(now);
    return false;
  }
  keys_ = *std::move(parsed);
  fetched_at_ = now;
  next_ = now + cache_for_;
  wait_ = kRetry;
  fetching_ = false;
  return true;
}

void FetchedKeys::failed(Time now) {
  fetching_ = false;
  next_ = now + wait_;
  wait_ = std::min(wait_ * 2, kMaxRetry);
}

void FetchedKeys::unknown_key(Time now) {
  if (fetching_ || keys_ == nullptr) return;
  next_ = std::min(next_, std::max(now, fetched_at_ + kUnknownKeyPause));
}

}  // namespace mesh::waypoint::jwt
