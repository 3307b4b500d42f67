#include "control/delta.h"

#include <algorithm>

#include "mesh/xds/ads_codec.h"

namespace mesh::control {
namespace {

constexpr std::size_t kKept = 16;
constexpr std::size_t kAtOnce = 1000;  // resources as messages, beside their bytes

}  // namespace

const std::string& Delta::encoded(std::string_view type_url) const {
  std::call_once(once_, [&] {
    // Messages of protobuf that follow one another are one message.
    for (std::size_t from = 0; from < changed.size(); from += kAtOnce) {
      xds::DeltaResponse some;
      for (std::size_t i = from; i < std::min(changed.size(), from + kAtOnce); ++i) {
        some.resources.push_back({.name = changed[i]->name,
                                  .version = changed[i]->version,
                                  .type_url = std::string(type_url),
                                  .bytes = changed[i]->bytes});
      }
      encoded_ += xds::encode(some);
    }
    encoded_ += xds::encode(xds::DeltaResponse{.removed = removed});
    encoded_.shrink_to_fit();
  });
  return encoded_;
}

std::shared_ptr<const Delta> DeltaCache::between(const Resources& known, const Resources& there) {
  const std::lock_guard lock(mutex_);
  const auto same = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
    return kept.known.is(known) && kept.there.is(there);
  });
  if (same != kept_.end()) {
    std::rotate(same, same + 1, kept_.end());
    return kept_.back().delta;
  }
  auto delta = std::make_shared<Delta>();
  Resources::diff(known, there, [&](const std::string& name, const auto* before, const auto* now) {
    if (now == nullptr) {
      delta->removed.push_back(name);
    } else if (before == nullptr || (*before)->version != (*now)->version) {
      delta->changed.push_back(*now);
    }
  });
  if (kept_.size() >= kKept) kept_.erase(kept_.begin());
  kept_.push_back({known, there, delta});
  return delta;
}

}  // namespace mesh::control
