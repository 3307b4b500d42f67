// Whatever a control plane sends as a discovery response: decoded, taken into a Directory,
// answered.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "mesh/xds/ads_codec.h"
#include "mesh/xds/ads_state.h"
#include "mesh/xds/ca_codec.h"
#include "mesh/xds/directory_sink.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::xds;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)decode_certificates(bytes);
  (void)decode_certificate_request(bytes);
  (void)decode_request(bytes);
  const auto response = decode_response(bytes);
  if (!response) return 0;

  AdsState state({});
  DirectorySink sink;
  state.connected();
  for (int i = 0; i < 2; ++i) {
    const auto update = state.receive(*response, sink);
    if (update && *update) state.applied((*update)->sequence);
  }
  // Everything it then says can be read back.
  while (const auto request = state.next_request()) {
    const auto again = decode_request(encode(*request));
    MESH_CHECK(again || !request->response_nonce.empty());
  }
  return 0;
}
