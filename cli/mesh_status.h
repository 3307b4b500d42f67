#pragma once
// `weft proxy-status` and `weft wait`: which node has which version of the configuration.

#include <chrono>

#include "cli/session.h"

namespace mesh::cli {

int proxy_status(const Session& session);

// Returns when every node with enrolled pods has applied the version that was current at the
// start, or a later one, on all its workers. kTimedOut, and names the nodes that have not.
int wait_for_mesh(const Session& session, std::chrono::milliseconds timeout);

// "90s", "2m", "500ms", "30" (seconds). Errors: anything else, or more than a day.
Outcome<std::chrono::milliseconds> parse_duration(const std::string& text);

}  // namespace mesh::cli
