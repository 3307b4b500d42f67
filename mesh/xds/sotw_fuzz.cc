// Messages of state-of-the-world ADS, of either side: what is read is written again as it was read.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "mesh/xds/sotw_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::xds;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto request = decode_sotw_request(bytes)) {
    const auto again = decode_sotw_request(encode(*request));
    MESH_CHECK(again && *again == *request);
  }
  const auto response = decode_sotw_response(bytes);
  if (!response) return 0;
  for (const RawResource& one : response->resources) {
    MESH_CHECK(!one.name.empty() && one.version == response->version);
  }
  const auto again = decode_sotw_response(encode(*response));
  MESH_CHECK(again && again->resources.size() == response->resources.size());
  return 0;
}
