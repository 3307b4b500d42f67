// The first byte says which kind of discovery; the rest is a request. The session takes it, and
// answers from a small configuration.

#include <cstdint>

#include "control/envoy/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::control;
  if (size == 0) return 0;
  const bool delta = (data[0] & 1) != 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto decoded = decode_envoy_request(delta, bytes);
  if (!decoded) return 0;
  if (decoded->node_id) parse_waypoint_id(*decoded->node_id);
  auto snapshot = std::make_shared<WaypointSnapshot>();
  snapshot->version = 1;
  for (const EnvoyType type : kEnvoyOrder) {
    snapshot->resources[static_cast<std::size_t>(type)]["a"] =
        std::make_shared<const Resource>("a", "1", "bytes");
  }
  WaypointSession session(delta);
  session.update(snapshot);
  for (int turn = 0; turn < 3; ++turn) {
    if (!session.receive(decoded->request)) return 0;
    while (const auto response = session.next()) {
      EnvoyRequest answer = decoded->request;
      answer.type_url = response->type_url;
      answer.nonce = response->nonce;
      encode_envoy_response(delta, *response);
      if (!session.receive(answer)) return 0;
    }
  }
  return 0;
}
