#include "mesh/policy/catalog.h"

#include <algorithm>
#include <set>

namespace mesh::policy {

const Policy* Catalog::find(std::string_view key) const {
  const PolicyPtr* found = by_key_.find(key);
  return found != nullptr ? found->get() : nullptr;
}

Selection Catalog::select(std::string_view ns, std::span<const std::string> listed) const {
  const std::shared_ptr<const PolicyIndex>* of_namespace = by_namespace_.find(ns);
  return {.catalog = this,
          .global = global_.get(),
          .of_namespace = of_namespace != nullptr ? of_namespace->get() : nullptr,
          .listed = listed};
}

namespace {

PolicyPtr with_scope_of(Policy policy, const Policy& last) {
  policy.scope = last.scope;
  policy.ns = last.ns;
  return std::make_shared<const Policy>(std::move(policy));
}

// The policies of one scope, as a change of some of them goes on.
struct ScopeChange {
  std::vector<PolicyPtr> policies;

  explicit ScopeChange(const PolicyIndex* last) {
    if (last != nullptr) policies.assign(last->policies().begin(), last->policies().end());
  }
  std::shared_ptr<const PolicyIndex> index() {
    return policies.empty() ? nullptr : std::make_shared<const PolicyIndex>(std::move(policies));
  }
};

}  // namespace

Catalog Catalog::with(std::span<const PolicyPtr> changed,
                      std::span<const std::string> removed) const {
  Catalog next = *this;
  bool global_changed = false;
  std::set<std::string, std::less<>> namespaces_changed;
  std::set<std::string_view> gone;
  std::vector<PolicyPtr> added;

  const auto touch = [&](const Policy& policy) {
    if (policy.scope == Scope::kGlobal) global_changed = true;
    if (policy.scope == Scope::kNamespace) namespaces_changed.insert(policy.ns);
  };
  for (const std::string& key : removed) {
    const Policy* last = find(key);
    if (last == nullptr) continue;
    touch(*last);
    gone.insert(last->key);
    next.by_key_.erase(key);
  }
  // Of several of one key in `changed` the last counts.
  std::set<std::string_view> seen;
  for (auto one = changed.rbegin(); one != changed.rend(); ++one) {
    PolicyPtr policy = *one;
    if (!seen.insert((*one)->key).second) continue;
    if (const Policy* last = find(policy->key); last != nullptr) {
      touch(*last);
      gone.insert(last->key);
      if (!policy->scope_known) policy = with_scope_of(*policy, *last);
    }
    touch(*policy);
    added.push_back(policy);
    next.by_key_.set(policy->key, std::move(policy));
  }

  const auto rebuilt = [&](const PolicyIndex* last, const auto& belongs) {
    ScopeChange scope(last);
    std::erase_if(scope.policies, [&](const PolicyPtr& one) { return gone.contains(one->key); });
    std::ranges::copy_if(added, std::back_inserter(scope.policies), belongs);
    return scope.index();
  };
  if (global_changed) {
    next.global_ = rebuilt(global_.get(), [](const PolicyPtr& one) {
      return one->scope == Scope::kGlobal;
    });
  }
  for (const std::string& ns : namespaces_changed) {
    const std::shared_ptr<const PolicyIndex>* last = by_namespace_.find(ns);
    auto index = rebuilt(last != nullptr ? last->get() : nullptr, [&](const PolicyPtr& one) {
      return one->scope == Scope::kNamespace && one->ns == ns;
    });
    if (index != nullptr) {
      next.by_namespace_.set(ns, std::move(index));
    } else {
      next.by_namespace_.erase(ns);
    }
  }
  return next;
}

}  // namespace mesh::policy
