#pragma once
// DirectorySink: turns discovery responses into Directories, one after the other; what arrives
// before what it refers to waits (workload/policy_order.h).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mesh/workload/policy_order.h"
#include "mesh/xds/ads_state.h"
#include "mesh/xds/decode.h"

namespace mesh::xds {

class DirectorySink final : public ResourceSink {
 public:
  explicit DirectorySink(DecodeOptions options = {}, workload::PolicyWaits waits = {})
      : options_(std::move(options)), order_(waits) {}

  std::vector<Rejection> take(ResourceType type, std::span<const RawResource> resources,
                              std::span<const std::string> removed) override;

  // The time of what is taken next.
  void set_now(workload::PolicyOrder::Time now) { now_ = now; }

  // As of the last response taken, or the last expire(); null before the first.
  const workload::DirectoryPtr& directory() const { return order_.directory(); }
  // How many responses were taken, and up to which of them everything is in directory().
  std::uint64_t taken() const { return taken_; }
  std::uint64_t in_force() const { return order_.in_force(); }
  std::optional<workload::PolicyOrder::Time> deadline() const { return order_.deadline(); }
  std::vector<std::string> expire(workload::PolicyOrder::Time now) { return order_.expire(now); }

 private:
  DecodeOptions options_;
  workload::PolicyOrder order_;
  workload::PolicyOrder::Time now_{};
  std::uint64_t taken_ = 0;
};

}  // namespace mesh::xds
