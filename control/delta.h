#pragma once
// Delta: what differs between what a client has and what there is. Streams that have the same are
// told the same: it is found once and made into bytes once, for all of them.

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "control/ordered_map.h"

namespace mesh::control {

struct Resource {
  std::string name;
  std::string version;  // a hash of `bytes`: equal content has an equal version, in any process
  std::string bytes;    // the serialized message
  // Of a policy: how much it is about. Less: workloads that name it; more: all of a namespace.
  std::uint8_t reach = 0;
};

using Resources = OrderedMap<std::string, std::shared_ptr<const Resource>>;

struct Delta {
  std::vector<std::shared_ptr<const Resource>> changed;  // ordered by name
  std::vector<std::string> removed;

  bool empty() const { return changed.empty() && removed.empty(); }
  // Of a DeltaDiscoveryResponse what is the same for every client: its resources and removals. Made
  // by the first who asks. Threads: any.
  const std::string& encoded(std::string_view type_url) const;

 private:
  mutable std::once_flag once_;
  mutable std::string encoded_;
};

// The Deltas that lead to one snapshot. Threads: any.
// Limits: the 16 that were asked for last are kept.
class DeltaCache {
 public:
  // From what a client has, by version, to what there is.
  std::shared_ptr<const Delta> between(const Resources& known, const Resources& there);

 private:
  struct Kept {
    Resources known, there;  // kept, so that nothing else comes to lie at their place
    std::shared_ptr<const Delta> delta;
  };
  std::mutex mutex_;
  std::vector<Kept> kept_;  // the last used last
};

}  // namespace mesh::control
