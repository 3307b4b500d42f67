// The status of Telemetry: whether it is in force, and what of it is not.

#include "control/status.h"
#include "control/telemetry/faults.h"

namespace mesh::control {

StatusCondition telemetry_status(const World& world, const Settings& settings,
                                 const manifest::Telemetry& telemetry) {
  StatusCondition status{"Accepted", true, "Accepted", "for every waypoint of the namespace"};
  if (!telemetry.targets.empty()) {
    status = targets_status(world, settings, telemetry.metadata.ns, telemetry.targets);
  } else if (telemetry.metadata.ns == settings.root_namespace) {
    status.message = "for every waypoint of the mesh";
  }
  if (!status.holds) return status;
  if (const auto* other = telemetry_in_place_of(world, telemetry)) {
    return {status.type, false, "Conflicted",
            "Telemetry " + other->metadata.ns + "/" + other->metadata.name +
                " is older and has the same scope"};
  }
  const std::vector<std::string> faults = telemetry_faults(world.mesh(), telemetry);
  if (faults.empty()) return status;
  // Who asks for spans or logs and gets none must see it, whatever else of theirs is in force.
  status.holds = !telemetry.has_selector && !names_nobody(world.mesh(), telemetry);
  status.reason = status.holds ? "PartiallyInvalid" : "UnsupportedValue";
  status.message = message_of(faults);
  return status;
}

}  // namespace mesh::control
