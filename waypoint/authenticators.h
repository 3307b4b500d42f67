#pragma once
// Authenticators: what was prepared of the chains' JWT filters (their keys, parsed), one per ring.
//
// Limits: kMax filters; those of chains that are gone go first, then all.

#include <cstddef>
#include <map>
#include <memory>

#include "waypoint/config/model.h"
#include "waypoint/jwt/authenticate.h"

namespace mesh::waypoint {

class Authenticators {
 public:
  static constexpr std::size_t kMax = 4096;

  // `filter` is one of `chain`'s. The answer stays while the caller keeps it.
  std::shared_ptr<const jwt::Authenticator> of(const config::ChainPtr& chain,
                                               const config::JwtFilter& filter);
  // Good tokens of all of them.
  jwt::TokenCache& tokens() { return tokens_; }

 private:
  struct Entry {
    std::weak_ptr<const config::Chain> chain;
    std::shared_ptr<const jwt::Authenticator> prepared;
  };
  // By address; the chain says whether it is still the same filter.
  std::map<const config::JwtFilter*, Entry> entries_;
  jwt::TokenCache tokens_;
};

}  // namespace mesh::waypoint
