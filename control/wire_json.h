#pragma once
// The wire's messages as JSON: protobuf's canonical names, defaults left out; addresses as text
// ("10.0.0.1", "10.0.0.0/8") instead of base64. For the debug pages and for tests.

#include <nlohmann/json_fwd.hpp>

#include "control/resource_store.h"

namespace mesh::control {

// {"workload": {...}} or {"service": {...}} of an Address; the policy of an Authorization.
// null for bytes that are not the message.
nlohmann::json to_json(xds::ResourceType type, const Resource& resource);

}  // namespace mesh::control
