// Whatever the manifests say, our own data planes take all that comes of them.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>
#include <vector>

#include "control/folder.h"
#include "control/translation.h"
#include "mesh/base/check.h"
#include "mesh/xds/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh;
  control::Folder folder;
  folder.put("fuzz.yaml",
             manifest::parse("fuzz.yaml", {reinterpret_cast<const char*>(data), size}));
  const auto world = std::make_shared<const control::World>(folder.settle());
  control::Translation translation({}, 1);
  const auto snapshot = translation.next(world);
  for (const auto type : {xds::ResourceType::kAddress, xds::ResourceType::kAuthorization}) {
    std::vector<xds::RawResource> raw;
    for (const auto& [name, resource] : snapshot->of(type)) {
      raw.push_back({name, resource->version, std::string(xds::type_url(type)), resource->bytes});
    }
    const xds::Decoded decoded = type == xds::ResourceType::kAddress
                                     ? xds::decode_addresses(raw, {})
                                     : xds::decode_authorizations(raw, {});
    if (!decoded.complaints.empty()) {
      std::fprintf(stderr, "%s\n", decoded.nack_message().c_str());
      MESH_CHECK(decoded.complaints.empty());
    }
  }
  const auto again = translation.next(std::make_shared<const control::World>(folder.settle()));
  MESH_CHECK(again->version == snapshot->version);  // nothing has changed
  return 0;
}
