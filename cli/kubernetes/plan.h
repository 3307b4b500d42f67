#pragma once
// What an installation would change: the objects that a chart makes against those a cluster holds.

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "cli/kubernetes/cluster.h"

namespace mesh::cli {

struct Step {
  enum class Action { kCreate, kChange, kNone, kRemove };
  Action action = Action::kNone;
  nlohmann::json object;
};

struct Plan {
  std::vector<Step> steps;  // in the order to take them

  std::size_t changes() const;
  std::string table() const;
  nlohmann::json json() const;
};

// Asks the server what applying `objects` would do (a dry run of each), and which objects of the
// release `labels` selects are not among them: those would be removed. Errors: what the server
// would refuse.
Outcome<Plan> plan_of(Cluster& cluster, const std::vector<nlohmann::json>& objects,
                      const std::string& labels, bool force);

// The objects of a release, the last to be made first.
Outcome<Plan> removal_of(Cluster& cluster, const std::string& labels);

// Takes the steps, saying each on stderr.
Outcome<Done> carry_out(Cluster& cluster, const Plan& plan, bool force);

// Whether two versions of an object differ in more than what the server keeps account by.
bool differs(const nlohmann::json& before, const nlohmann::json& after);

}  // namespace mesh::cli
