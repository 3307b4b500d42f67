#pragma once
// The limits that annotations of routes ask for: local_limits.h, global_limits.h.

#include <set>
#include <string_view>

#include "control/envoy/catalog.h"

namespace envoy::config::route::v3 {
class VirtualHost;
}

namespace mesh::control {

struct Build;

// The last route of `into` comes of the rule `rule` of an object: it is limited as that says.
void limit_route(Build& build, const manifest::ObjectKey& author, const manifest::Metadata& object,
                 std::string_view rule, envoy::config::route::v3::VirtualHost* into);

// Lines for rules that are not among `rules`, the names of the object's, limit nothing: noted.
void note_limits_of_nothing(Build& build, const manifest::ObjectKey& author,
                            const manifest::Metadata& object,
                            const std::set<std::string_view>& rules);

}  // namespace mesh::control
