#pragma once
// `weft check`: is a cluster fit for Weft, and, once it is there, is all of it as it should be?
// Each thing that is wrong comes with what to do about it.

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

#include "cli/kubernetes/cluster.h"
#include "cli/session.h"

namespace mesh::cli {

enum class Health { kGood, kWarning, kBad };

struct CheckResult {
  Health health = Health::kGood;
  std::string what = {};  // "node-1: Linux 6.12"
  std::string why = {};   // what is wrong
  std::string fix = {};   // what to do; not empty when something is wrong
};
using CheckResults = std::vector<CheckResult>;

struct CheckOptions {
  std::string ns = "weft-system";
};

int check(const Session& session, const CheckOptions& options);

// The parts, each of which may ask the cluster. Errors: the server cannot be asked.
Outcome<Done> check_server(Cluster& cluster, CheckResults& results);
Outcome<Done> check_nodes(Cluster& cluster, CheckResults& results);
Outcome<Done> check_kinds(Cluster& cluster, CheckResults& results);
// What the caller must be allowed to do to install.
Outcome<Done> check_installer(Cluster& cluster, const std::string& ns, CheckResults& results);
// What the programs must be allowed to do, by the roles' own list: a missing verb is named.
Outcome<Done> check_roles(Cluster& cluster, const std::string& ns, CheckResults& results);
Outcome<Done> check_programs(Cluster& cluster, const std::string& ns, CheckResults& results);

// Whether what a program logged says why it does not run; "" fix when it does not. Pure.
CheckResult diagnosis_of(const std::string& log);

// Why weft-cni is not in its node's CNI chain, by what the agent's log says last; "" when it is, or
// when nothing is said. Pure.
std::string chain_problem(const std::string& log);

// "6.1.0-32-amd64" is at least 6.1. Pure.
bool is_kernel_new_enough(const std::string& release);

}  // namespace mesh::cli
