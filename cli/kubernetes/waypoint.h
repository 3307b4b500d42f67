#pragma once
// `weft waypoint`: makes, lists, watches and removes waypoints, by istioctl's flags and in its
// words.
//
// Two differences: the class is weft-waypoint (--class for another), and `list` says "service" for
// a waypoint without the label waypoint-for, because that is what it is for.

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "cli/kubernetes/cluster.h"
#include "cli/session.h"

namespace mesh::cli {

struct WaypointOptions {
  std::string name = "waypoint";
  std::string class_name = "weft-waypoint";
  std::string traffic = {};  // service, workload, all, none; "": no label
  std::string revision = {};
  bool enroll_namespace = false;
  bool overwrite = false;
  bool wait = false;
  bool all_namespaces = false;
  bool all = false;                     // delete
  std::vector<std::string> names = {};  // delete
  std::chrono::milliseconds timeout{90'000};
};

// The Gateway that apply makes. Pure.
nlohmann::json waypoint_gateway(const WaypointOptions& options, const std::string& ns);

// Of a Gateway: what `list` and `status` show. Pure.
struct WaypointState {
  std::string ns, name, revision, traffic;
  std::string programmed = "Unknown";  // True, False
  std::string reason, message;
};
WaypointState waypoint_state(const nlohmann::json& gateway);

int waypoint_generate(const Session& session, const WaypointOptions& options);
int waypoint_apply(const Session& session, const WaypointOptions& options);
int waypoint_list(const Session& session, const WaypointOptions& options);
int waypoint_status(const Session& session, const WaypointOptions& options);
int waypoint_delete(const Session& session, const WaypointOptions& options);

// With a cluster at hand, for tests. stdout and stderr as above.
Outcome<int> apply_waypoint(Cluster& cluster, const std::string& ns,
                            const WaypointOptions& options);
Outcome<int> delete_waypoints(Cluster& cluster, const std::string& ns,
                              const WaypointOptions& options);

}  // namespace mesh::cli
