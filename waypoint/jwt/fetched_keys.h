#pragma once
// FetchedKeys: the keys of one provider that are fetched over HTTP, as a state machine. It says
// when to fetch; whoever fetches tells it what came. No I/O, no clock.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "waypoint/jwt/keys.h"

namespace mesh::waypoint::jwt {

class FetchedKeys {
 public:
  using Time = std::chrono::nanoseconds;  // since any origin, always the same one
  // After a failure; after an unknown key id (so that strangers' tokens do not make us fetch).
  static constexpr Time kRetry = std::chrono::seconds(1);
  static constexpr Time kMaxRetry = std::chrono::seconds(64);
  static constexpr Time kUnknownKeyPause = std::chrono::seconds(30);

  explicit FetchedKeys(Time cache_for) : cache_for_(cache_for) {}

  // Null: there are none (yet), or they are older than twice their time and could not be replaced.
  KeysPtr keys(Time now) const;
  // True once for each fetch that should begin now; then fetched() or failed() must follow.
  bool start_fetch(Time now);
  // When to ask again.
  Time next_fetch() const { return next_; }
  // Keys that do not parse are a failure, and the old ones stay.
  bool fetched(std::string_view body, Time now);
  void failed(Time now);
  // A token named a key that is not here: fetch early, but not too often.
  void unknown_key(Time now);

 private:
  Time cache_for_;
  KeysPtr keys_;
  Time fetched_at_{0};
  Time next_{Time::min()};
  Time wait_ = kRetry;
  bool fetching_ = false;
};

}  // namespace mesh::waypoint::jwt
