#include "control/envoy/translate_for_tests.h"

#include <memory>
#include <utility>

#include <catch2/catch_test_macros.hpp>

#include "control/folder.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {

WaypointConfig translate_for_tests(const World& world, const Settings& settings,
                                   const std::string& ns, const std::string& name,
                                   bool checks_through_tunnels) {
  const Catalog catalog(world, settings);
  WaypointClient client;
  client.gateway = world.find<manifest::Gateway>(ns, name);
  REQUIRE(client.gateway != nullptr);
  client.checks_through_tunnels = checks_through_tunnels;
  const auto* pod = world.find<manifest::Pod>(ns, name + "-0");
  if (pod != nullptr) client.locality = locality_of(world, *pod);
  WaypointConfig config = translate_waypoint(world, settings, catalog, client);
  config.filled.clear();  // of the catalog
  return config;
}

ToldWaypoint tell_for_tests(const std::string& manifests, const std::string& mesh) {
  Folder folder;
  const manifest::Parsed written = manifest::parse("m.yaml", manifests);
  for (const manifest::Problem& problem : written.problems) FAIL_CHECK(problem.to_string());
  folder.put("m.yaml", written);
  auto parsed = manifest::parse_mesh_config("mesh.yaml", mesh);
  for (const manifest::Problem& problem : parsed.problems) FAIL_CHECK(problem.to_string());
  const World world(folder.settle(),
                    std::make_shared<manifest::MeshConfig>(std::move(parsed.config)));
  const WaypointConfig config = translate_for_tests(world, Settings{});
  const std::string type(xds::message_of(type_url(EnvoyType::kListener)));
  const std::string& bytes = config.of(EnvoyType::kListener).at("main_internal");
  CHECK(xds::unknown_fields(type, bytes).empty());
  ToldWaypoint told;
  told.main = xds::to_json(type, bytes);
  for (const auto& [name, cluster] : config.of(EnvoyType::kCluster)) told.clusters.insert(name);
  for (const PolicyNote& note : config.notes) {
    told.notes += note.object.to_string() + ": " + note.text + "\n";
  }
  return told;
}

}  // namespace mesh::control
