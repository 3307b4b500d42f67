#pragma once
// What the admin pages show of a snapshot, in Envoy's shape. Pure.

#include <span>
#include <string>

#include "waypoint/lane.h"

namespace mesh::waypoint {

// /config_dump: ClustersConfigDump, ListenersConfigDump, EndpointsConfigDump as far as names,
// versions and addresses go; and what was asked for and is not honoured.
std::string dump_config(const config::Snapshot& snapshot, const Settings& settings,
                        std::string_view waiting_for);
// /stats: "name: value" lines.
std::string dump_stats(std::span<const Lane::Report> reports, const config::Snapshot& snapshot,
                       bool connected);

}  // namespace mesh::waypoint
