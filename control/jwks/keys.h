#pragma once
// JwksKeys: the sets of keys that RequestAuthentications name by URI: what is known of each, and
// what is to be fetched when. No I/O, no clock.

#include <chrono>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/world.h"

namespace mesh::control::jwks {

using Time = std::chrono::steady_clock::time_point;

// A JSON object with a list of keys, not too many. What is wrong with it.
std::expected<std::string, std::string> read_key_set(std::string_view text);

class Keys {
 public:
  struct Fetch {
    std::string uri;
    std::chrono::milliseconds timeout{5000};
  };

  // What the world asks for from now on; what it does not is forgotten.
  void want(const World& world);

  // One that is due; it counts as under way until done(). none: nothing is, before wake().
  std::optional<Fetch> next(Time now);
  Time wake() const;
  // True: the keys changed, or the set is not usable any more.
  bool done(const std::string& uri, std::expected<std::string, std::string> answer, Time now);

  // The world with known keys in the place of URIs; the very same when there are none.
  std::shared_ptr<const World> fill(const std::shared_ptr<const World>& world) const;

  struct Status {
    std::string uri;
    bool known = false;
    std::string problem;
  };
  std::vector<Status> statuses() const;

 private:
  struct Set {
    std::string keys;  // empty: not known
    std::string problem;
    std::chrono::milliseconds timeout{5000};
    Time due{};
    Time good_until{};
    unsigned failures = 0;
    bool under_way = false;
  };
  std::map<std::string, Set, std::less<>> sets_;
};

}  // namespace mesh::control::jwks
