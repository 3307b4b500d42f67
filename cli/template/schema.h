#pragma once
// Values against a JSON schema: the part of draft 7 that our charts' schemas are written in. Pure.

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace mesh::cli {

// "control.replicas: must be 1 or more", one for each thing that does not fit. A keyword that is
// not known is one too: nothing counts as checked that was not.
std::vector<std::string> schema_problems(const nlohmann::json& schema, const nlohmann::json& value);

}  // namespace mesh::cli
