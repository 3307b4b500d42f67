// Whatever the manifests say, our waypoint takes all that our control plane makes of them. The
// waypoint is that of Gateway shop/waypoint.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>

#include "control/envoy/translate.h"
#include "control/folder.h"
#include "mesh/base/check.h"
#include "waypoint/config/decode.h"

namespace {

using namespace mesh;

// Whom annotations may name.
constexpr const char* kMesh = R"(
extensionProviders:
- name: limits
  weftRateLimitGrpc: {service: asked.shop.svc.cluster.local, port: 81, domain: shop}
- name: more
  weftRateLimitGrpc: {service: asked.shop.svc.cluster.local, port: 81, domain: more, failOpen: true}
- name: edit
  weftExtProcGrpc:
    service: asked.shop.svc.cluster.local
    port: 81
    processingMode: {requestBodyMode: BUFFERED, responseBodyMode: STREAMED}
)";

template <class Decode>
void check_all(const control::WaypointConfig& config, control::EnvoyType type, Decode&& decode) {
  for (const auto& [name, bytes] : config.of(type)) {
    const auto decoded = decode(bytes);
    if (!decoded.problem.empty()) {
      std::fprintf(stderr, "%s: %s\n", name.c_str(), decoded.problem.c_str());
    }
    MESH_CHECK(decoded.problem.empty() && decoded.value.has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  control::Folder folder;
  folder.put("fuzz.yaml",
             manifest::parse("fuzz.yaml", {reinterpret_cast<const char*>(data), size}));
  static const auto kProviders = std::make_shared<const manifest::MeshConfig>(
      manifest::parse_mesh_config("mesh.yaml", kMesh).config);
  const control::World world(folder.settle(), kProviders);
  control::WaypointClient client;
  client.gateway = world.find<manifest::Gateway>("shop", "waypoint");
  if (client.gateway == nullptr) return 0;
  client.checks_through_tunnels = true;
  const control::Settings settings;
  const control::Catalog catalog(world, settings);
  const auto config = control::translate_waypoint(world, settings, catalog, client);
  using control::EnvoyType;
  check_all(config, EnvoyType::kCluster, waypoint::config::decode_cluster);
  check_all(config, EnvoyType::kEndpoint, waypoint::config::decode_endpoints);
  check_all(config, EnvoyType::kListener, waypoint::config::decode_listener);
  check_all(config, EnvoyType::kRoute, waypoint::config::decode_routes);
  return 0;
}
