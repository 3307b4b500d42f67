#pragma once
// What /stats shows. Pure.

#include <span>
#include <string>

#include "waypoint/lane.h"

namespace mesh::waypoint {

// /stats: "name: value" lines.
std::string dump_stats(std::span<const Lane::Report> reports, const config::Snapshot& snapshot,
                       bool connected);

}  // namespace mesh::waypoint
