// What our own control plane configures a waypoint with is understood by our waypoint, every byte
// of it: the worlds of test/golden/envoy, translated and decoded.

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/translate.h"
#include "control/folder.h"
#include "waypoint/config/decode.h"

namespace mesh {
namespace {

using waypoint::config::Decoded;

std::string read(const std::filesystem::path& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

control::WaypointConfig translated(const std::filesystem::path& manifests) {
  control::Folder folder;
  folder.put("m.yaml", manifest::parse("m.yaml", read(manifests)));
  const control::World world(folder.settle());
  const control::Settings settings;
  const control::Catalog catalog(world, settings);
  control::WaypointClient client;
  client.gateway = world.find<manifest::Gateway>("shop", "waypoint");
  REQUIRE(client.gateway != nullptr);
  const auto* pod = world.find<manifest::Pod>("shop", "waypoint-0");
  REQUIRE(pod != nullptr);
  client.locality = control::locality_of(world, *pod);
  return control::translate_waypoint(world, settings, catalog, client);
}

template <class Decode>
void check_all(const control::WaypointConfig& config, control::EnvoyType type, Decode&& decode,
               std::set<std::string>& names) {
  for (const auto& [name, bytes] : config.of(type)) {
    INFO(name);
    const auto decoded = decode(bytes);
    CHECK(decoded.problem == "");
    CHECK(decoded.value.has_value());
    for (const auto& left : decoded.not_honoured) {
      INFO(left.path);
      CHECK(left.path.ends_with("requests are not mirrored yet"));
    }
    names.insert(name);
  }
}

TEST_CASE("a waypoint of ours honours all of what our control plane says") {
  std::size_t worlds = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_FOLDER "/envoy")) {
    if (entry.path().extension() != ".yaml") continue;
    INFO(entry.path().stem());
    ++worlds;
    const control::WaypointConfig config = translated(entry.path());
    std::set<std::string> names;
    using control::EnvoyType;
    check_all(config, EnvoyType::kCluster, waypoint::config::decode_cluster, names);
    check_all(config, EnvoyType::kEndpoint, waypoint::config::decode_endpoints, names);
    check_all(config, EnvoyType::kListener, waypoint::config::decode_listener, names);
    check_all(config, EnvoyType::kRoute, waypoint::config::decode_routes, names);
    for (const char* needed : {"main_internal", "connect_terminate", "connect_originate"}) {
      CHECK(names.contains(needed));
    }
  }
  CHECK(worlds == 24);
}

}  // namespace
}  // namespace mesh
