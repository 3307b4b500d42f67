#pragma once
// HttpConnectionManager. Internal to waypoint/config.

#include "waypoint/config/tree.h"

namespace mesh::waypoint::config::parts {

HttpChain http_chain(Input& in, const Tree& at);

}  // namespace mesh::waypoint::config::parts
