#include "waypoint/authenticators.h"

namespace mesh::waypoint {

std::shared_ptr<const jwt::Authenticator> Authenticators::of(const config::ChainPtr& chain,
                                                             const config::JwtFilter& filter) {
  const auto found = entries_.find(&filter);
  if (found != entries_.end() && found->second.chain.lock() == chain) return found->second.prepared;
  if (entries_.size() >= kMax) {
    std::erase_if(entries_, [](const auto& entry) { return entry.second.chain.expired(); });
    if (entries_.size() >= kMax) entries_.clear();
  }
  auto prepared = std::make_shared<const jwt::Authenticator>(filter);
  entries_[&filter] = {.chain = chain, .prepared = prepared};
  return prepared;
}

}  // namespace mesh::waypoint
