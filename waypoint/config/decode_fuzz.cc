// Decoding of a waypoint's resources: total, whatever the bytes, and a problem or a value.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "waypoint/config/decode.h"

namespace {

template <class T>
void judge(const mesh::waypoint::config::Decoded<T>& decoded) {
  MESH_CHECK(decoded.value.has_value() || !decoded.problem.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint::config;
  if (size < 1) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 10) {
    case 0:
      judge(decode_listener(rest));
      break;
    case 1:
      judge(decode_cluster(rest));
      break;
    case 2:
      judge(decode_endpoints(rest));
      break;
    case 3:
      judge(decode_routes(rest));
      break;
    case 4:
      judge(decode_extension(rest));
      break;
    case 5:
      judge(decode_listener_json(rest));
      break;
    case 6:
      judge(decode_cluster_json(rest));
      break;
    case 7:
      judge(decode_endpoints_json(rest));
      break;
    case 8:
      judge(decode_routes_json(rest));
      break;
    default:
      judge(decode_extension_json(rest));
      break;
  }
  return 0;
}
