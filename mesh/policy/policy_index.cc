#include "mesh/policy/policy_index.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace mesh::policy {
namespace {

// The names and ports without which a rule cannot hold. `anyone`: there are none such.
struct Demand {
  bool anyone = false;
  std::vector<std::string_view> namespaces;
  std::vector<std::string_view> principals;
  std::vector<std::uint16_t> ports;
};

bool all_exact(const std::vector<StringMatch>& values) {
  return std::ranges::all_of(
      values, [](const StringMatch& one) { return one.kind == StringMatch::Kind::kExact; });
}

// What a match demands, added to `demand`; false if it demands nothing by name.
bool add_demand(const Match& match, Demand& demand) {
  if (match.empty()) return true;  // never holds: whatever it demands is not met
  if (!match.principals.empty() && all_exact(match.principals)) {
    for (const StringMatch& one : match.principals) demand.principals.push_back(one.value);
  } else if (!match.service_accounts.empty()) {
    for (const ServiceAccountMatch& one : match.service_accounts) {
      demand.namespaces.push_back(one.ns);
    }
  } else if (!match.namespaces.empty() && all_exact(match.namespaces)) {
    for (const StringMatch& one : match.namespaces) demand.namespaces.push_back(one.value);
  } else if (!match.destination_ports.empty()) {
    demand.ports.insert(demand.ports.end(), match.destination_ports.begin(),
                        match.destination_ports.end());
  } else {
    return false;
  }
  return true;
}

// One clause is enough, because all clauses of a rule must hold.
void add_demand(const Rule& rule, Demand& demand) {
  for (const Clause& clause : rule.all_of) {
    if (clause.any_of.empty()) continue;
    Demand of_clause;
    const bool demanding = std::ranges::all_of(
        clause.any_of, [&](const Match& match) { return add_demand(match, of_clause); });
    if (!demanding) continue;
    const auto append = [](auto& to, const auto& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(demand.namespaces, of_clause.namespaces);
    append(demand.principals, of_clause.principals);
    append(demand.ports, of_clause.ports);
    return;
  }
  demand.anyone = true;
}

template <class Map, class Keys>
void add_to(Map& map, Keys& keys, std::uint32_t position) {
  std::ranges::sort(keys);
  const auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  for (const auto& key : keys) {
    map[typename Map::key_type(key)].push_back(position);
  }
}

}  // namespace

PolicyIndex::PolicyIndex(std::vector<PolicyPtr> policies) : policies_(std::move(policies)) {
  std::ranges::sort(policies_, {}, [](const PolicyPtr& one) -> const std::string& {
    return one->key;
  });
  for (std::uint32_t i = 0; i < policies_.size(); ++i) {
    const Policy& policy = *policies_[i];
    if (policy.dry_run) {
      has_dry_run_ = true;
    } else if (!policy.usable()) {
      if (unusable_ == nullptr) unusable_ = &policy;
    } else if (policy.action == Action::kAllow) {
      has_allow_ = true;
      add(allow_, i);
    } else {
      add(deny_, i);
    }
  }
}

void PolicyIndex::add(ByCaller& to, std::uint32_t position) {
  Demand demand;
  for (const Rule& rule : policies_[position]->any_of) add_demand(rule, demand);
  if (demand.anyone) {
    to.anyone.push_back(position);
    return;
  }
  add_to(to.by_namespace, demand.namespaces, position);
  add_to(to.by_principal, demand.principals, position);
  add_to(to.by_port, demand.ports, position);
}

const Policy* PolicyIndex::first_deny(const Connection& connection) const {
  return first(deny_, connection);
}

const Policy* PolicyIndex::first_allow(const Connection& connection) const {
  return first(allow_, connection);
}

const Policy* PolicyIndex::first(const ByCaller& among, const Connection& connection) const {
  std::uint32_t best = std::numeric_limits<std::uint32_t>::max();
  const auto look = [&](const std::vector<std::uint32_t>& positions) {
    for (const std::uint32_t position : positions) {
      if (position >= best) return;
      if (policies_[position]->applies_to(connection)) best = position;
    }
  };
  const auto look_in = [&](const auto& map, const auto& key) {
    if (map.empty()) return;
    if (const auto found = map.find(key); found != map.end()) look(found->second);
  };
  const Caller* caller = connection.caller.get();
  look(among.anyone);
  look_in(among.by_port, connection.destination_port);
  look_in(among.by_namespace,
          caller != nullptr ? std::string_view(caller->id().ns()) : std::string_view());
  if (caller != nullptr) look_in(among.by_principal, std::string_view(caller->principal()));
  return best < policies_.size() ? policies_[best].get() : nullptr;
}

}  // namespace mesh::policy
