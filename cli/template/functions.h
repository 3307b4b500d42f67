#pragma once
// The functions of templates: those of Helm that our charts call. Pure.

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::tmpl {

using Arguments = std::vector<nlohmann::json>;

// Errors: a name that is not known; wrong arguments; what `fail` and `required` say.
Outcome<nlohmann::json> call(const std::string& name, const Arguments& arguments);

// As text/template judges it: false, 0, "", null, an empty list or map are not.
bool is_true(const nlohmann::json& value);

// As it is printed; null is "".
std::string printed(const nlohmann::json& value);

}  // namespace mesh::cli::tmpl
