#include "mesh/workload/policy_order.h"

#include <algorithm>
#include <utility>

namespace mesh::workload {
namespace {

bool lists(const Workload& workload, std::string_view key) {
  return std::ranges::find(workload.authorization_policies, key) !=
         workload.authorization_policies.end();
}

bool lists_unknown(const Directory& directory, const Workload& workload) {
  return std::ranges::any_of(workload.authorization_policies, [&](const std::string& key) {
    return directory.policies().find(key) == nullptr;
  });
}

WorkloadPtr with_list(const Workload& workload, std::vector<std::string> list) {
  auto changed = std::make_shared<Workload>(workload);
  changed->authorization_policies = std::move(list);
  return changed;
}

}  // namespace

PolicyOrder::PolicyOrder(PolicyWaits waits, DirectoryPtr first)
    : waits_(waits), directory_(std::move(first)) {
  if (directory_ == nullptr) return;
  directory_->for_each_workload([this](const WorkloadPtr& one) { count_listed(*one, +1); });
}

void PolicyOrder::take(const Delta& delta, std::uint64_t sequence, Time now) {
  MESH_CHECK(sequence > last_sequence_);
  last_sequence_ = sequence;
  const Since since{.sequence = sequence, .deadline = now + waits_.policy};
  DirectoryBuilder builder(directory_);
  take_policies(builder, delta, since);
  for (const std::string& resource : delta.removed) take_removed(builder, resource);
  for (const RefusedPtr& refused : delta.rejected) {
    // The last good version is the one that is held: it takes effect, so that the rejected one is
    // measured against it.
    if (const auto held = workloads_.find(refused->resource); held != workloads_.end()) {
      put(builder, held->second.sent);
      workloads_.erase(held);
    }
    builder.reject(refused);
  }
  for (const WorkloadPtr& sent : delta.workloads) take_workload(builder, sent, since, now);
  for (const ServicePtr& service : delta.services) builder.set(service);
  builder.complete(delta);
  if (!delta.policies.empty() || !delta.removed_policies.empty()) settle(builder);
  drop_unlisted_policies(builder);
  directory_ = std::move(builder).build();
}

void PolicyOrder::take_policies(DirectoryBuilder& builder, const Delta& delta, const Since& since) {
  std::vector<std::string> removed;
  for (const std::string& key : delta.removed_policies) {
    if (is_listed(key) && builder.now().policies().find(key) != nullptr) {
      removals_.try_emplace(key, since);
    } else {
      removed.push_back(key);
    }
  }
  // One that is both removed and sent is there afterwards.
  for (const policy::PolicyPtr& policy : delta.policies) removals_.erase(policy->key);
  builder.set_policies(delta.policies, removed);
}

void PolicyOrder::take_removed(DirectoryBuilder& builder, const std::string& resource) {
  if (const Workload* last = builder.now().find_workload(resource)) count_listed(*last, -1);
  workloads_.erase(resource);
  builder.remove(resource);
}

void PolicyOrder::take_workload(DirectoryBuilder& builder, const WorkloadPtr& sent,
                                const Since& since, Time now) {
  const Directory& directory = builder.now();
  const Workload* last = directory.find_workload(sent->uid);
  // What is held counts its time from when it was first held, however often it is sent anew.
  std::optional<Since> held_since;
  if (const auto held = workloads_.find(sent->uid); held != workloads_.end()) {
    held_since = held->second.since;
    workloads_.erase(held);
  }
  if (!directory.policies_complete()) return put(builder, sent);

  const bool awaited = last != nullptr && last->policies_awaited;
  if (lists_unknown(directory, *sent)) {
    // One that denies for an unknown policy as it is has nothing to lose.
    if (last != nullptr && !awaited && lists_unknown(directory, *last)) return put(builder, sent);
    WorkloadPtr meanwhile;
    if (last == nullptr || awaited) {
      auto waiting = std::make_shared<Workload>(*sent);
      waiting->policies_awaited = true;
      meanwhile = std::move(waiting);
    } else {
      meanwhile = with_list(*sent, last->authorization_policies);
    }
    workloads_[sent->uid] = {.since = held_since.value_or(since), .unlisting = false, .sent = sent};
    return put(builder, std::move(meanwhile));
  }
  if (last == nullptr || awaited) return put(builder, sent);

  std::vector<std::string> both = sent->authorization_policies;
  for (const std::string& key : last->authorization_policies) {
    if (lists(*sent, key) || removals_.contains(key)) continue;
    if (directory.policies().find(key) != nullptr) both.push_back(key);
  }
  if (both.size() == sent->authorization_policies.size()) return put(builder, sent);
  const Since briefly{.sequence = since.sequence, .deadline = now + waits_.unlist};
  workloads_[sent->uid] = {.since = held_since.value_or(briefly), .unlisting = true, .sent = sent};
  put(builder, with_list(*sent, std::move(both)));
}

void PolicyOrder::settle(DirectoryBuilder& builder) {
  for (auto one = workloads_.begin(); one != workloads_.end();) {
    const HeldWorkload& held = one->second;
    if (!held.unlisting && lists_unknown(builder.now(), *held.sent)) {
      ++one;
      continue;
    }
    put(builder, held.sent);
    one = workloads_.erase(one);
  }
}

void PolicyOrder::drop_unlisted_policies(DirectoryBuilder& builder) {
  std::vector<std::string> gone;
  for (const auto& [key, since] : removals_) {
    if (!is_listed(key)) gone.push_back(key);
  }
  for (const std::string& key : gone) removals_.erase(key);
  builder.set_policies({}, gone);
}

void PolicyOrder::put(DirectoryBuilder& builder, WorkloadPtr workload) {
  if (const Workload* last = builder.now().find_workload(workload->uid)) count_listed(*last, -1);
  count_listed(*workload, +1);
  builder.set(std::move(workload));
}

void PolicyOrder::count_listed(const Workload& workload, int change) {
  for (const std::string& key : workload.authorization_policies) {
    const auto counted = listed_.try_emplace(key, 0).first;
    MESH_CHECK(change > 0 || counted->second > 0);
    counted->second += static_cast<std::uint32_t>(change);
    if (counted->second == 0) listed_.erase(counted);
  }
}

std::uint64_t PolicyOrder::in_force() const {
  std::uint64_t through = last_sequence_;
  const auto before = [&](const Since& since) { through = std::min(through, since.sequence - 1); };
  for (const auto& [uid, held] : workloads_) before(held.since);
  for (const auto& [key, since] : removals_) before(since);
  return through;
}

std::optional<PolicyOrder::Time> PolicyOrder::deadline() const {
  std::optional<Time> first;
  const auto consider = [&](const Since& since) {
    if (!first || since.deadline < *first) first = since.deadline;
  };
  for (const auto& [uid, held] : workloads_) consider(held.since);
  for (const auto& [key, since] : removals_) consider(since);
  return first;
}

std::vector<std::string> PolicyOrder::expire(Time now) {
  std::vector<std::string> expired;
  const auto note = [&](const std::string& name) {
    if (expired.size() < kExpiredListed) expired.push_back(name);
  };
  DirectoryBuilder builder(directory_);
  for (auto one = workloads_.begin(); one != workloads_.end();) {
    const HeldWorkload& held = one->second;
    if (held.since.deadline > now) {
      ++one;
      continue;
    }
    if (!held.unlisting) note(one->first);
    put(builder, held.sent);
    one = workloads_.erase(one);
  }
  std::vector<std::string> gone;
  for (const auto& [key, since] : removals_) {
    if (since.deadline <= now) gone.push_back(key);
  }
  for (const std::string& key : gone) {
    if (is_listed(key)) note(key);
    removals_.erase(key);
  }
  builder.set_policies({}, gone);
  drop_unlisted_policies(builder);
  directory_ = std::move(builder).build();
  return expired;
}

}  // namespace mesh::workload
