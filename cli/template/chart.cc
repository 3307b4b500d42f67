#include "cli/template/chart.h"

#include <algorithm>
#include <array>

#include "cli/json.h"
#include "cli/template/render.h"
#include "cli/template/schema.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

constexpr std::size_t kIndexMax = 1000;

// Kinds that others need come first; those that are not named come last.
constexpr std::array<std::string_view, 17> kOrder = {"Namespace",
                                                     "NetworkPolicy",
                                                     "PodDisruptionBudget",
                                                     "ServiceAccount",
                                                     "Secret",
                                                     "ConfigMap",
                                                     "CustomResourceDefinition",
                                                     "ClusterRole",
                                                     "ClusterRoleBinding",
                                                     "Role",
                                                     "RoleBinding",
                                                     "Service",
                                                     "DaemonSet",
                                                     "Deployment",
                                                     "GatewayClass",
                                                     "Gateway",
                                                     "PodMonitor"};

std::size_t rank(const Json& object) {
  const auto found = std::ranges::find(kOrder, text(object, "kind"));
  return static_cast<std::size_t>(found - kOrder.begin());
}

Outcome<Json> document(const ChartFiles& chart, const std::string& name) {
  const auto found = chart.find(name);
  if (found == chart.end()) return problem("the chart has no " + name);
  auto documents = read_yaml(found->second);
  if (!documents) return problem(name + ":" + documents.error());
  return documents->empty() ? Json::object() : std::move(documents->front());
}

// "a\.b[0]" up to a dot: the key, and indexes behind it.
struct Step {
  std::string key = {};
  std::vector<std::size_t> indexes = {};
};

Outcome<std::vector<Step>> steps_of(const std::string& path) {
  std::vector<Step> steps(1);
  for (std::size_t at = 0; at < path.size(); ++at) {
    if (path[at] == '\\' && at + 1 < path.size()) {
      steps.back().key += path[++at];
    } else if (path[at] == '.') {
      steps.emplace_back();
    } else if (path[at] == '[') {
      const std::size_t end = path.find(']', at);
      const std::string number = path.substr(at + 1, end == std::string::npos ? end : end - at - 1);
      if (end == std::string::npos || number.empty() || number.size() > 4 ||
          number.find_first_not_of("0123456789") != std::string::npos ||
          std::stoul(number) > kIndexMax) {
        return problem("\"" + path + "\": an index is a number up to 1000");
      }
      steps.back().indexes.push_back(std::stoul(number));
      at = end;
    } else {
      steps.back().key += path[at];
    }
  }
  for (const Step& step : steps) {
    if (step.key.empty()) return problem("\"" + path + "\": a key is empty");
  }
  return steps;
}

Json typed(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  if (text == "null") return nullptr;
  const std::string digits = text.starts_with('-') ? text.substr(1) : text;
  const bool whole = !digits.empty() && digits.size() < 18 &&
                     digits.find_first_not_of("0123456789") == std::string::npos &&
                     (digits == "0" || digits[0] != '0');
  return whole ? Json(std::stoll(text)) : Json(text);
}

Outcome<Done> set_one(Json& values, const std::string& assignment) {
  const std::size_t sign = assignment.find('=');
  if (sign == std::string::npos) return problem("\"" + assignment + "\" is not KEY=VALUE");
  TRY(const std::vector<Step> steps, steps_of(assignment.substr(0, sign)));
  Json* place = &values;
  for (const Step& step : steps) {
    if (!place->is_object()) *place = Json::object();
    place = &(*place)[step.key];
    for (const std::size_t index : step.indexes) {
      if (!place->is_array()) *place = Json::array();
      while (place->size() <= index) place->push_back(nullptr);
      place = &(*place)[index];
    }
  }
  *place = typed(assignment.substr(sign + 1));
  return Done{};
}

}  // namespace

void merge_values(Json& base, const Json& over) {
  if (!base.is_object() || !over.is_object()) {
    base = over;
    return;
  }
  for (const auto& [key, value] : over.items()) {
    if (value.is_null()) {
      base.erase(key);
    } else {
      merge_values(base[key], value);
    }
  }
}

Outcome<Done> set_values(Json& values, const std::string& assignments) {
  std::string one;
  for (std::size_t at = 0; at <= assignments.size(); ++at) {
    if (at == assignments.size() || assignments[at] == ',') {
      TRY_DO(set_one(values, one));
      one.clear();
    } else if (assignments[at] == '\\' && at + 1 < assignments.size() &&
               assignments[at + 1] == ',') {
      one += assignments[++at];
    } else {
      one += assignments[at];
    }
  }
  return Done{};
}

Outcome<std::vector<Json>> render_chart(const ChartFiles& chart, const Json& values,
                                        const Release& release) {
  TRY(const Json about, document(chart, "Chart.yaml"));
  TRY(Json all, document(chart, "values.yaml"));
  TRY(const Json schema, document(chart, "values.schema.json"));
  merge_values(all, values);
  if (const auto problems = schema_problems(schema, all); !problems.empty()) {
    std::string list;
    for (const std::string& one : problems) list += "\n  " + one;
    return problem("these values cannot be:" + list);
  }
  const Json data = {
      {"Values", std::move(all)},
      {"Chart",
       {{"Name", text(about, "name")},
        {"Version", text(about, "version")},
        {"AppVersion", text(about, "appVersion")}}},
      {"Release",
       {{"Name", release.name}, {"Namespace", release.ns}, {"Service", release.service}}}};
  std::map<std::string, std::string> templates;
  for (const auto& [path, body] : chart) {
    if (path.starts_with("templates/") && !path.ends_with(".txt")) templates[path] = body;
  }
  TRY(const auto rendered, tmpl::render(templates, data, chart));
  std::map<std::size_t, std::vector<Json>> by_rank;
  for (const auto& [name, body] : rendered) {
    auto documents = read_yaml(body);
    if (!documents) return problem(name + ", rendered, line " + documents.error());
    for (Json& one : *documents) {
      if (one.is_object()) by_rank[rank(one)].push_back(std::move(one));
    }
  }
  std::vector<Json> objects;
  for (auto& [rank, some] : by_rank) std::ranges::move(some, std::back_inserter(objects));
  return objects;
}

}  // namespace mesh::cli
