#pragma once
// explain: may this pod connect there, and which rule of which policy says so? Asked of what
// control has sent, decoded and decided by the very code that decides in the data planes.

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "control/resource_store.h"
#include "mesh/workload/directory.h"

namespace mesh::control {

struct Question {
  std::string from;  // NAMESPACE/POD
  std::string to;    // NAMESPACE/POD, an address, or a host name ("cart.shop" is enough)
  std::uint16_t port = 0;
};

// Threads: any.
class Explainer {
 public:
  explicit Explainer(Settings settings) : settings_(std::move(settings)) {}

  // {"allowed", "decidedBy", "rule", "reason", "path", "policies": […], "endpoints": […],
  // "version"}; or {"error"} when the question names what is not there.
  nlohmann::json explain(const Snapshot& snapshot, const Question& question);

 private:
  workload::DirectoryPtr directory_of(const Snapshot& snapshot);

  const Settings settings_;
  std::mutex mutex_;
  std::uint64_t version_ = 0;
  workload::DirectoryPtr directory_;
};

}  // namespace mesh::control
