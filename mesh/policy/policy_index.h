#pragma once
// The policies of one scope, arranged so that a connection meets only those which could apply to
// it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mesh/policy/policy.h"

namespace mesh::policy {

// Hashing that takes a string_view for a string.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
  }
};

class PolicyIndex {
 public:
  // Sorted by key, so that of several that would decide always the same one is named.
  explicit PolicyIndex(std::vector<PolicyPtr> policies);

  std::span<const PolicyPtr> policies() const { return policies_; }
  // The first that cannot be used and is no dry run; null if all can.
  const Policy* unusable() const { return unusable_; }
  bool has_allow() const { return has_allow_; }
  bool has_dry_run() const { return has_dry_run_; }
  // The first that applies; null if none does. Cost: a policy whose rules all demand a name
  // (namespace, principal, service account) or a port is met only by connections of that name or
  // port.
  const Policy* first_deny(const Connection& connection) const;
  const Policy* first_allow(const Connection& connection) const;

 private:
  // Positions in policies_, of one action.
  struct ByCaller {
    std::vector<std::uint32_t> anyone;  // no rule demands a name
    std::unordered_map<std::string, std::vector<std::uint32_t>, TextHash, std::equal_to<>>
        by_namespace;
    std::unordered_map<std::string, std::vector<std::uint32_t>, TextHash, std::equal_to<>>
        by_principal;
    std::unordered_map<std::uint16_t, std::vector<std::uint32_t>> by_port;
  };
  void add(ByCaller& to, std::uint32_t position);
  const Policy* first(const ByCaller& among, const Connection& connection) const;

  std::vector<PolicyPtr> policies_;
  const Policy* unusable_ = nullptr;
  bool has_allow_ = false;
  bool has_dry_run_ = false;
  ByCaller deny_;
  ByCaller allow_;
};

}  // namespace mesh::policy
