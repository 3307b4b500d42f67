#pragma once
// A chart and values in, objects out, as `helm template` makes them. Pure.

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli {

// The files of a chart by their paths below its folder, as they are in `charts/` of the repository:
// built into the program.
using ChartFiles = std::map<std::string, std::string>;
const ChartFiles& embedded_chart(std::string_view name);  // "weft" or "waypoint"

struct Release {
  std::string name = "weft";
  std::string ns = "weft-system";
  std::string service = "weft";  // app.kubernetes.io/managed-by; Helm says Helm
};

// Puts `over` on `base`: maps are merged, null removes, all else replaces.
void merge_values(nlohmann::json& base, const nlohmann::json& over);

// "a.b[0].c=VALUE" onto `values`, as helm's --set: VALUE is true, false, null, a whole number or
// text; `\.` in a key is a dot; several are separated by commas, `\,` is one.
Outcome<Done> set_values(nlohmann::json& values, const std::string& assignments);

// The objects, in the order to make them in. Errors: values that the schema refuses, templates.
Outcome<std::vector<nlohmann::json>> render_chart(const ChartFiles& chart,
                                                  const nlohmann::json& values,
                                                  const Release& release);

}  // namespace mesh::cli
