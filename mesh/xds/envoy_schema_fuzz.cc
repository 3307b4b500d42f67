// The first byte picks a type; the rest is a message of it.

#include <cstdint>

#include "mesh/base/check.h"
#include "mesh/xds/envoy_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr const char* kTypes[] = {
      "envoy.config.listener.v3.Listener", "envoy.config.cluster.v3.Cluster",
      "envoy.config.route.v3.RouteConfiguration", "envoy.config.endpoint.v3.ClusterLoadAssignment",
      "google.protobuf.Any"};
  if (size == 0) return 0;
  const char* type = kTypes[data[0] % std::size(kTypes)];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  MESH_CHECK(mesh::xds::unknown_fields(type, bytes, 8).size() <= 8);
  mesh::xds::to_json(type, bytes);
  return 0;
}
