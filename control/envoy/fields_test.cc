// Every row of docs/istio-fields.md: a field of a VirtualService or a DestinationRule is done,
// named or refused, as the page says.

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "control/status.h"

namespace mesh::control {
namespace {

using nlohmann::json;

constexpr const char* kWorld = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop}
spec: {clusterIP: 10.96.1.14, selector: {gateway: waypoint}, ports: [{name: mesh, port: 15008}]}
)";

std::string service(const std::string& name, int number, const std::string& selector,
                    const std::string& ports) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         ", namespace: shop}\nspec: {clusterIP: 10.96.2." + std::to_string(number) +
         ", selector: {" + selector + "}, ports: [" + ports + "]}\n";
}

// A pod on a node of its own, in region r1, r2, …
std::string pod(const std::string& name, int number, const std::string& labels) {
  const std::string n = std::to_string(number);
  return "---\napiVersion: v1\nkind: Node\nmetadata: {name: node" + n +
         ", labels: {topology.kubernetes.io/region: r" + n +
         "}}\n---\napiVersion: v1\nkind: Pod\n" + "metadata: {name: " + name +
         ", namespace: shop, labels: {" + labels + "}}\nspec: {nodeName: node" + n +
         ", containers: [{name: main, image: a}]}\n" + "status: {phase: Running, podIP: 10.244.0." +
         n + ", conditions: [{type: Ready, status: \"True\"}]}\n";
}

std::string world_text() {
  const std::string http = "{name: http, port: 80}";
  return kWorld + service("web", 1, "app: web", http + ", {name: http-more, port: 8080}") +
         service("web-v1", 2, "app: web, version: v1", http) +
         service("web-v2", 3, "app: web, version: v2", http) +
         service("db", 4, "app: db", "{name: tcp, port: 5432}") +
         service("pg", 5, "app: db", "{name: tcp, port: 5432}") +
         pod("waypoint-0", 1, "gateway: waypoint") + pod("web-1", 2, "app: web, version: v1") +
         pod("web-2", 3, "app: web, version: v2") + pod("db-1", 4, "app: db");
}

struct Row {
  std::string kind = {}, path = {}, example = {}, becomes = {}, beside = {};
};

std::string cell(std::istringstream& line) {
  std::string text;
  std::getline(line, text, '|');
  const auto begin = text.find_first_not_of(" `");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" `") - begin + 1);
}

std::vector<Row> rows_of_page() {
  std::ifstream page(std::string(DOCS_FOLDER) + "/istio-fields.md");
  REQUIRE(page.good());
  std::vector<Row> rows;
  std::string kind;
  for (std::string text; std::getline(page, text);) {
    if (text.starts_with("## ")) kind = text.substr(3);
    if (!text.starts_with("| `")) continue;
    std::istringstream line(text);
    cell(line);  // before the first bar
    Row row{.kind = kind, .path = cell(line), .example = cell(line), .becomes = {}, .beside = {}};
    row.becomes = cell(line);
    row.beside = cell(line);
    rows.push_back(std::move(row));
  }
  return rows;
}

// JSON, or else a text; "key: text" for a map.
json value_of(const std::string& text, bool is_map) {
  const auto colon = text.find(": ");
  if (is_map) return {{text.substr(0, colon), value_of(text.substr(colon + 2), false)}};
  json value = json::parse(text, nullptr, false);
  return value.is_discarded() ? json(text) : value;
}

// Sets what `path` names: "http[].match[].headers{}.exact".
void set(json& spec, const std::string& path, const std::string& text) {
  json* at = &spec;
  std::istringstream steps(path);
  bool is_map = false;
  for (std::string step; std::getline(steps, step, '.');) {
    const std::string name = step.substr(0, step.find_first_of("[{"));
    at = &(*at)[name];
    is_map = step.ends_with("{}");
    if (step.ends_with("[]")) {
      if (!at->is_array()) *at = json::array();
      if (at->empty()) at->push_back(json());
      at = &at->front();
    } else if (is_map && !steps.eof()) {
      at = &(*at)["x-a"];
    }
  }
  *at = value_of(text, is_map);
}

json base_of(const Row& row) {
  json spec = row.kind == "DestinationRule" ? json{{"host", "web"}}
                                            : json::parse(R"({"hosts": ["web", "db"],
                                    "http": [{"route": [{"destination": {"host": "web-v1"}}]}]})");
  for (std::string_view rest = row.beside; !rest.empty();) {
    const auto end = std::min(rest.find("; "), rest.size());
    const std::string one(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 2, rest.size()));
    const auto equals = one.find('=');
    REQUIRE(equals != std::string::npos);
    set(spec, one.substr(0, equals), one.substr(equals + 1));
  }
  return spec;
}

struct Outcome {
  WaypointConfig config;
  std::vector<manifest::Problem> problems;
  std::string status;  // of the object: the message of its condition
};

Outcome play(const Row& row, const json& spec) {
  const json object = {{"apiVersion", "networking.istio.io/v1"},
                       {"kind", row.kind},
                       {"metadata", {{"name", "case"}, {"namespace", "shop"}}},
                       {"spec", spec}};
  manifest::Parsed parsed = manifest::parse("f", world_text() + "---\n" + object.dump() + "\n");
  Outcome made;
  made.problems = parsed.problems;
  Folder folder;
  folder.put("f", std::move(parsed));
  const World world(folder.settle());
  for (const ObjectStatus& status : compute_statuses(world, Settings{})) {
    if (status.object.name != "case") continue;
    REQUIRE(status.conditions.size() == 1);
    CHECK(status.conditions[0].type == kAccepted);
    CHECK(status.conditions[0].reason == "PartiallyInvalid");
    made.status = status.conditions[0].message;
  }
  made.config = translate_for_tests(world, Settings{});
  return made;
}

// "spec.http[0].retries" names "http[].retries.backoff", and so does what is below it.
bool names(const std::string& said, const std::string& path) {
  std::string field = said.starts_with("spec.") ? said.substr(5) : said;
  for (auto at = field.find("[0]"); at != std::string::npos; at = field.find("[0]")) {
    field.erase(at + 1, 1);
  }
  if (field.empty() || path == field) return !field.empty();
  return path.starts_with(field) &&
         (path[field.size()] == '.' || path[field.size()] == '[' || path[field.size()] == '{');
}

bool any_names(const Outcome& made, manifest::Severity severity, const std::string& path) {
  return std::ranges::any_of(made.problems, [&](const manifest::Problem& problem) {
    UNSCOPED_INFO(problem.to_string());
    return problem.severity == severity && names(problem.field, path);
  });
}

TEST_CASE("every field of the page becomes what the page says") {
  const std::vector<Row> rows = rows_of_page();
  CHECK(rows.size() > 180);
  for (const Row& row : rows) {
    INFO(row.kind << " " << row.path << " " << row.example << " [" << row.beside << "]");
    json spec = base_of(row);
    const Outcome before = play(row, spec);
    const bool alone = std::ranges::none_of(before.problems, [](const manifest::Problem& problem) {
      UNSCOPED_INFO(problem.to_string());
      return problem.severity == manifest::Severity::kError;
    });
    CHECK(alone);
    set(spec, row.path, row.example);
    const Outcome after = play(row, spec);
    if (row.becomes == "done") {
      CHECK(after.problems.empty());
      CHECK(after.status.empty());
      CHECK(after.config.notes.empty());
      CHECK(before.config.resources != after.config.resources);
    } else if (row.becomes == "named") {
      CHECK(any_names(after, manifest::Severity::kWarning, row.path));
      const std::string first = after.problems.empty() ? "" : after.problems.front().field;
      CHECK(after.status.find(first) != std::string::npos);
      CHECK_FALSE(after.status.empty());
    } else {
      CHECK(row.becomes == "refused");
      CHECK(any_names(after, manifest::Severity::kError, row.path));
    }
  }
}

TEST_CASE("a field that nobody knows is refused by name") {
  for (const Row& row : {Row{.kind = "VirtualService", .path = "http[].retries.backOff"},
                         Row{.kind = "VirtualService", .path = "tcp[].route[].headers"},
                         Row{.kind = "DestinationRule", .path = "trafficPolicy.loadbalancer"}}) {
    INFO(row.path);
    json spec = base_of(row);
    set(spec, row.path, "2s");
    CHECK(any_names(play(row, spec), manifest::Severity::kError, row.path));
  }
}

}  // namespace
}  // namespace mesh::control
