#pragma once
// YAML as JSON values, as Kubernetes' tools read and write it.

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "cli/outcome.h"
#include "mesh/manifest/yaml.h"

namespace mesh::cli {

// Plain scalars by the rules of YAML 1.1 (yes and on are true), keys sorted. Errors: "LINE: …".
Outcome<std::vector<nlohmann::json>> read_yaml(std::string_view text);
nlohmann::json to_json(const manifest::Value& value);

// In block style, keys sorted, without the last line break. Text that would be read as
// something else is quoted.
std::string to_yaml(const nlohmann::json& value);

}  // namespace mesh::cli
