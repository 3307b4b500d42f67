#pragma once
// What of a Telemetry is refused, by name, and which of two for one scope is in force. Pure.

#include <string>
#include <vector>

#include "control/world.h"

namespace mesh::control {

// What it asks for and does not get. Empty: all of it is done.
std::vector<std::string> telemetry_faults(const manifest::MeshConfig& mesh,
                                          const manifest::Telemetry& telemetry);

// It names somebody whom nobody knows, or who does not do what is asked of them.
bool names_nobody(const manifest::MeshConfig& mesh, const manifest::Telemetry& telemetry);

// A rule for what a waypoint does: for servers.
bool is_for_waypoints(manifest::TelemetryMode mode);

// Of two for one scope the older counts, then the first by name.
bool stands_before(const manifest::Telemetry& a, const manifest::Telemetry& b);

// The one that has taken every scope of `telemetry`'s; nullptr: none has.
const manifest::Telemetry* telemetry_in_place_of(const World& world,
                                                 const manifest::Telemetry& telemetry);

// Why a condition cannot be asked; empty: it can.
std::string condition_problem(const std::string& expression);

}  // namespace mesh::control
