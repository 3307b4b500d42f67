#pragma once
// PolicyOrder: Directories from a control plane that tells of workloads and of policies apart, in
// whichever order.
//
// A workload lists its policies by name, and one that is listed but unknown denies. So between a
// workload that newly lists a policy and the policy itself traffic would be refused that neither
// the old state nor the new one refuses; the same between a policy's removal and the workload that
// lets go of it. And between a workload that lets go of a policy and that policy's growing to the
// namespace traffic would pass that neither lets pass. So what would tear is held back:
//
//   newly listed, not there     the workload keeps the list it has (the rest of it is taken); one
//                               that is new is Workload::policies_awaited   kPolicyWait
//   removed, still listed       the policy stays                            kPolicyWait
//   no longer listed, there     the old names stay listed beside the new    kUnlistWait
//
// until what is missing has come: for the last kind, the next word on policies. After the wait it
// is as the control plane said: what is listed but unknown denies, by its name.
//
// Pure: `now` comes from the caller, and means nothing but its differences. Before policies are
// complete nothing is held, because nothing is decided.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mesh/workload/delta.h"
#include "mesh/workload/directory_builder.h"

namespace mesh::workload {

inline constexpr std::chrono::seconds kPolicyWait{3};
inline constexpr std::chrono::milliseconds kUnlistWait{200};
struct PolicyWaits {
  std::chrono::nanoseconds policy = kPolicyWait;
  std::chrono::nanoseconds unlist = kUnlistWait;
};

class PolicyOrder {
 public:
  using Time = std::chrono::nanoseconds;

  // Goes on from `first`, which is in force; null: from nothing.
  explicit PolicyOrder(PolicyWaits waits = {}, DirectoryPtr first = nullptr);

  // Takes one response. `sequence` grows with each.
  void take(const Delta& delta, std::uint64_t sequence, Time now);
  // As of the last take() or expire(); null before the first.
  const DirectoryPtr& directory() const { return directory_; }

  // What was taken up to and including this is in directory(), all of it.
  std::uint64_t in_force() const;
  // When to call expire(); none: nothing is held.
  std::optional<Time> deadline() const;
  // Stops holding what has waited long enough. Returns the names of what is now in force without
  // what it waited for, workloads' and policies', at most kExpiredListed of them.
  static constexpr std::size_t kExpiredListed = 8;
  std::vector<std::string> expire(Time now);

 private:
  struct Since {
    std::uint64_t sequence = 0;
    Time deadline{};
  };
  struct HeldWorkload {
    Since since;
    bool unlisting = false;  // waits for the next word on policies, not for a policy
    WorkloadPtr sent;
  };

  void take_policies(DirectoryBuilder& builder, const Delta& delta, const Since& since);
  void take_workload(DirectoryBuilder& builder, const WorkloadPtr& sent, const Since& since,
                     Time now);
  void take_removed(DirectoryBuilder& builder, const std::string& resource);
  // Policies have come: puts what waits no longer in force.
  void settle(DirectoryBuilder& builder);
  void drop_unlisted_policies(DirectoryBuilder& builder);
  // Into the builder, as it is; keeps count of who lists what.
  void put(DirectoryBuilder& builder, WorkloadPtr workload);
  void count_listed(const Workload& workload, int change);
  bool is_listed(std::string_view key) const { return listed_.contains(std::string(key)); }

  PolicyWaits waits_;
  DirectoryPtr directory_;
  std::uint64_t last_sequence_ = 0;
  std::map<std::string, HeldWorkload, std::less<>> workloads_;  // by uid
  std::map<std::string, Since, std::less<>> removals_;          // of policies, by key
  std::unordered_map<std::string, std::uint32_t> listed_;       // by how many in force
};

}  // namespace mesh::workload
