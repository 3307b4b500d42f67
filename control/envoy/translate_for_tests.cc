#include "control/envoy/translate_for_tests.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {

WaypointConfig translate_for_tests(const World& world, const Settings& settings,
                                   const std::string& ns, const std::string& name) {
  const Catalog catalog(world, settings);
  WaypointClient client;
  client.gateway = world.find<manifest::Gateway>(ns, name);
  REQUIRE(client.gateway != nullptr);
  const auto* pod = world.find<manifest::Pod>(ns, name + "-0");
  if (pod != nullptr) client.locality = locality_of(world, *pod);
  WaypointConfig config = translate_waypoint(world, settings, catalog, client);
  config.filled.clear();  // of the catalog
  return config;
}

}  // namespace mesh::control
