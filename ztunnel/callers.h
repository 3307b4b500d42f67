#pragma once
// Callers: who calls this pod, once for all connections of one identity.

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>

#include "mesh/net/spiffe_id.h"
#include "mesh/policy/connection.h"

namespace mesh::ztunnel {

// Holds nothing for long: who has no connection any more is forgotten when the table has doubled.
class Callers {
 public:
  std::shared_ptr<const policy::Caller> of(const net::SpiffeId& id) {
    std::weak_ptr<const policy::Caller>& known = known_[id];
    std::shared_ptr<const policy::Caller> caller = known.lock();
    if (caller == nullptr) {
      caller = std::make_shared<const policy::Caller>(id);
      known = caller;
      if (known_.size() >= tidy_at_) tidy();
    }
    return caller;
  }
  std::size_t size() const { return known_.size(); }

 private:
  static constexpr std::size_t kTidyAt = 64;
  void tidy() {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    tidy_at_ = std::max(kTidyAt, 2 * known_.size());
  }

  std::map<net::SpiffeId, std::weak_ptr<const policy::Caller>> known_;
  std::size_t tidy_at_ = kTidyAt;
};

}  // namespace mesh::ztunnel
