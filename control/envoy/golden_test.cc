// What the incumbent control plane sent a waypoint for small worlds, recorded in test/golden/envoy,
// against what ours sends. "resources" are ours, without boilerplate; "incumbent" holds what
// differs there, and README.md says why. WEFT_UPDATE_GOLDEN=1 writes "resources" anew.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/envoy/essence_for_tests.h"
#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

using nlohmann::json;

constexpr const char* kMeshConfig = R"(
extensionProviders:
- name: ext-authz
  envoyExtAuthzGrpc: {service: authz.infra.svc.cluster.local, port: 9000}
- name: ext-authz-http
  envoyExtAuthzHttp:
    service: authz.infra.svc.cluster.local
    port: 8000
    includeRequestHeadersInCheck: [x-user]
    headersToUpstreamOnAllow: [x-authz]
)";

std::string read(const std::filesystem::path& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

json list_of(const WaypointConfig& config, EnvoyType type) {
  json list = json::array();
  for (const auto& [name, bytes] : config.of(type)) {
    const std::string message(xds::message_of(type_url(type)));
    INFO(name);
    CHECK(xds::unknown_fields(message, bytes).empty());  // we know what we say
    list.push_back({{"name", name}, {"resource", json::parse(xds::to_json(message, bytes))}});
  }
  return list;
}

struct Played {
  json resources;
  json notes = json::array();
  json problems = json::array();
};

Played play(const std::filesystem::path& manifests) {
  Folder folder;
  folder.put("m.yaml", manifest::parse("m.yaml", read(manifests)));
  // What the incumbent's mesh configuration said when it was recorded.
  const World world(folder.settle(),
                    std::make_shared<manifest::MeshConfig>(
                        manifest::parse_mesh_config("mesh.yaml", kMeshConfig).config));
  Played played;
  for (const manifest::Problem& problem : folder.problems()) {
    played.problems.push_back(problem.object + ": " + problem.field);
  }
  const Settings settings;
  const WaypointConfig config = translate_for_tests(world, settings);
  const json dump = {{"listeners", list_of(config, EnvoyType::kListener)},
                     {"clusters", list_of(config, EnvoyType::kCluster)},
                     {"endpoints", list_of(config, EnvoyType::kEndpoint)}};
  played.resources = essence(dump, manifests.stem() == "no-config");
  for (const PolicyNote& note : config.notes) {
    const std::string text = note.object.to_string() + ": " + note.text;
    if (std::find(played.notes.begin(), played.notes.end(), text) == played.notes.end()) {
      played.notes.push_back(text);
    }
  }
  return played;
}

void check_scenario(const std::filesystem::path& manifests) {
  INFO(manifests.filename());
  const auto path = std::filesystem::path(manifests).replace_extension("json");
  json golden = json::parse(read(path));
  const Played ours = play(manifests);
  if (std::getenv("WEFT_UPDATE_GOLDEN") != nullptr) {
    golden["resources"] = ours.resources;
    golden["notes"] = ours.notes;
    golden["problems"] = ours.problems;
    std::ofstream(path) << golden.dump(1) << '\n';
  }
  CHECK(ours.notes == golden.at("notes"));
  CHECK(ours.problems == golden.at("problems"));
  for (const auto& [name, expected] : golden.at("resources").items()) {
    INFO(name);
    CHECK(ours.resources.value(name, json()) == expected);
  }
  for (const auto& [name, value] : ours.resources.items()) {
    INFO(name);
    CHECK(golden.at("resources").contains(name));
  }
  // What is listed as a difference is one.
  for (const auto& [name, theirs] : golden.at("incumbent").items()) {
    INFO(name);
    CHECK(ours.resources.value(name, json()) != theirs);
  }
}

}  // namespace

TEST_CASE(
    "the recorded worlds come to the recorded configurations, but for the listed differences") {
  unsigned scenarios = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_FOLDER "/envoy")) {
    if (entry.path().extension() != ".yaml") continue;
    ++scenarios;
    check_scenario(entry.path());
  }
  CHECK(scenarios == 24);
}

}  // namespace mesh::control
