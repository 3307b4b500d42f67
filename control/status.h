#pragma once
// What the objects' status should say, as values. Pure: who may write it, and when, is the
// writer's.
//
// Conditions are those that Istio's users know, with the same types and reasons; each is for the
// generation of the object that was looked at. A condition says True only of what is in force:
// where the incumbent says True of something without effect, ours says False
// (test/golden/README.md).

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/world.h"

namespace mesh::control {

// What our parents' entries in a route's status are signed with.
inline constexpr std::string_view kRouteController = "weft.dev/gateway-controller";
// The GatewayClasses that are ours, by spec.controllerName.
inline constexpr std::string_view kClassControllers[] = {"weft.dev/mesh-controller",
                                                         "istio.io/mesh-controller"};

// The condition of kinds that have none of their own for it: whoever finds it on any object knows
// that it is of a mesh, and whose.
inline constexpr std::string_view kAccepted = "weft.dev/Accepted";

struct StatusCondition {
  std::string type;
  bool holds = false;
  std::string reason;
  std::string message;
};
using StatusConditions = std::vector<StatusCondition>;

struct ListenerStatus {
  std::string name;
  std::uint32_t attached_routes = 0;
  StatusConditions conditions = {};
};

struct ParentStatus {
  manifest::ParentRef parent = {};
  StatusConditions conditions = {};
};

// Of one object; lists that its kind does not have are empty.
struct ObjectStatus {
  manifest::ObjectKey object = {};
  std::int64_t generation = 0;  // observedGeneration of every condition
  StatusConditions conditions = {};
  std::vector<ListenerStatus> listeners = {};            // Gateway
  std::vector<manifest::GatewayAddress> addresses = {};  // Gateway
  std::vector<ParentStatus> parents = {};                // routes
};

// In the order of kind, namespace and name. Objects that are not ours to speak about are left out:
// a Service that asks for no waypoint, a Gateway of another class, a route without a parent of
// ours.
std::vector<ObjectStatus> compute_statuses(const World& world, const Settings& settings);

// Of an object whose newest version our readers refuse: nothing else is said of it, for whatever
// its last good version was. `message`: why, and what holds.
void refuse(ObjectStatus& status, std::int64_t generation, const std::string& message);
bool is_route(manifest::Kind kind);

// The parts of it, for one object each.
StatusConditions policy_status(const World& world, const Settings& settings,
                               const manifest::AuthorizationPolicy& policy);
StatusCondition telemetry_status(const World& world, const Settings& settings,
                                 const manifest::Telemetry& telemetry);
// Settings::annotation_faults, if there is that.
std::vector<std::string> faults_of_annotations(const Settings& settings, manifest::Kind kind,
                                               const manifest::Metadata& object);
// The faults of one object, one after the other, as long as they fit into a condition.
std::string message_of(const std::vector<std::string>& faults);
// Of the targets of an object in `ns`: whether they have a waypoint.
StatusCondition targets_status(const World& world, const Settings& settings, const std::string& ns,
                               const std::vector<manifest::TargetRef>& targets);
// The waypoints whose Service has a pod behind it.
class ReadyWaypoints {
 public:
  explicit ReadyWaypoints(const World& world);
  bool has(const std::string& ns, const std::string& name) const {
    return names_.contains({ns, name});
  }

 private:
  std::set<std::pair<std::string, std::string>> names_;
};

StatusConditions waypoint_status(const World& world, const ReadyWaypoints& ready,
                                 const manifest::Metadata& object, bool is_workload);

}  // namespace mesh::control
