#pragma once
// The next Directory from the last one and a Delta.

#include <span>
#include <string>

#include "mesh/workload/delta.h"
#include "mesh/workload/directory.h"

namespace mesh::workload {

// Changes are applied to a copy that shares everything with `last`, one entry at a time.
// Cost: what changed, not what there is: microseconds for a workload among 100 000.
//
//   DirectoryBuilder builder(last);
//   builder.apply(delta);
//   DirectoryPtr next = std::move(builder).build();
class DirectoryBuilder {
 public:
  // `last` may be null: an empty Directory of version 0.
  explicit DirectoryBuilder(const DirectoryPtr& last);

  // Removals first, then rejections, then good resources: a resource that is both removed and sent
  // in one response is there afterwards.
  void apply(const Delta& delta);

  void set(WorkloadPtr workload);
  void set(ServicePtr service);
  void reject(RefusedPtr refused);
  void set_policies(std::span<const policy::PolicyPtr> changed,
                    std::span<const std::string> removed);
  // Only what the delta says of completeness.
  void complete(const Delta& delta);
  // A workload's uid, or a service's "namespace/hostname"; unknown names are ignored.
  void remove(std::string_view resource);

  // What there is so far.
  const Directory& now() const { return next_; }

  // Version: one more than the last one's.
  DirectoryPtr build() &&;

 private:
  void add(const WorkloadPtr& workload);
  void add(const ServicePtr& service);
  void drop(const WorkloadPtr& workload);
  void drop(const ServicePtr& service);
  void drop_refusal(std::string_view resource);

  Directory next_;
};

}  // namespace mesh::workload
