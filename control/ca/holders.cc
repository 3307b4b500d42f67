#include "control/ca/holders.h"

#include <algorithm>
#include <set>

namespace mesh::control::ca {
namespace {

constexpr std::size_t kMost = 500'000;
constexpr std::size_t kNamed = 5;

constexpr std::string_view kEnd = "-----END CERTIFICATE-----";

}  // namespace

Bundle bundle_of(std::string_view roots) {
  const auto trimmed = [](std::string_view text) {
    while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
    while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
    return text;
  };
  Bundle bundle;
  std::set<std::string_view> all;
  for (auto end = roots.find(kEnd); end != std::string_view::npos; end = roots.find(kEnd)) {
    const std::string_view one = trimmed(roots.substr(0, end));
    if (all.empty()) bundle.signer = std::hash<std::string_view>()(one);
    all.insert(one);
    roots.remove_prefix(end + kEnd.size());
  }
  for (const std::string_view root : all) {
    bundle.roots = bundle.roots * 31 + std::hash<std::string_view>()(root);
  }
  return bundle;
}

void Holders::issued(const std::string& holder, const std::string& identity, const Bundle& bundle,
                     std::int64_t expires) {
  const std::lock_guard lock(mutex_);
  const auto key = std::pair(holder, identity);
  if (held_.size() >= kMost && !held_.contains(key)) {
    unknown_until_ = std::max(unknown_until_, expires);
    return;
  }
  held_[key] = {bundle, expires};
}

std::vector<Holders::Waiting> Holders::without(const Bundle& bundle, std::int64_t now,
                                               const OfUse& of_use) {
  const std::lock_guard lock(mutex_);
  std::erase_if(held_, [&](const auto& one) {
    return one.second.expires <= now || !of_use(one.first.first, one.first.second);
  });
  std::vector<Waiting> waiting;
  if (unknown_until_ > now) waiting.push_back({"more holders than are kept", {}, 1});
  for (const auto& [key, held] : held_) {
    if (held.bundle == bundle) continue;
    if (waiting.empty() || waiting.back().holder != key.first) {
      waiting.push_back({key.first, {}, 0});
    }
    Waiting& last = waiting.back();
    if (++last.count <= kNamed) last.identities.push_back(key.second);
  }
  return waiting;
}

}  // namespace mesh::control::ca
