#pragma once
// Every policy of a snapshot, indexed by where it applies. Immutable; the next one shares with the
// last what did not change.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/persistent_map.h"
#include "mesh/policy/policy.h"
#include "mesh/policy/policy_index.h"

namespace mesh::policy {

class Catalog;

// The policies that apply to one workload, found when they are asked for. Borrows the Catalog and
// the list of names.
struct Selection {
  const Catalog* catalog = nullptr;
  const PolicyIndex* global = nullptr;        // null: none
  const PolicyIndex* of_namespace = nullptr;  // null: none
  std::span<const std::string> listed = {};   // keys; one that the catalog lacks denies
};

class Catalog {
 public:
  std::size_t size() const { return by_key_.size(); }
  const Policy* find(std::string_view key) const;

  // `ns` is the destination workload's namespace, `listed` the policies that it lists.
  Selection select(std::string_view ns, std::span<const std::string> listed) const;

  // visit(const PolicyPtr&), in no particular order.
  template <class F>
  void for_each(F&& visit) const {
    by_key_.for_each([&](const std::string&, const PolicyPtr& policy) { visit(policy); });
  }

  // A policy of the same key is replaced. Cost: a rebuild of the scopes that changed.
  Catalog with(std::span<const PolicyPtr> changed, std::span<const std::string> removed) const;

 private:
  PersistentMap<std::string, PolicyPtr, TextHash> by_key_;
  PersistentMap<std::string, std::shared_ptr<const PolicyIndex>, TextHash> by_namespace_;
  std::shared_ptr<const PolicyIndex> global_;
};

}  // namespace mesh::policy
