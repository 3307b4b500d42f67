#pragma once
// Envoy's discovery messages as bytes, and what a proxy says about itself.

#include <optional>
#include <string>
#include <string_view>

#include "control/envoy/session.h"

namespace mesh::control {

// "waypoint~10.244.9.15~waypoint-0.shop~shop.svc.cluster.local", and what of the metadata counts.
struct WaypointNode {
  std::string pod, ns;
  std::string sds_folder;               // WEFT_SDS_FOLDER: an absolute path, or empty
  bool checks_through_tunnels = false;  // WEFT_HEALTH_CHECKS: "tunnels"
};

struct DecodedRequest {
  EnvoyRequest request;
  std::optional<std::string> node_id;  // when the request has a node
  std::string sds_folder;
  bool checks_through_tunnels = false;
};

// none: not the message. Fields that nobody here reads are passed over.
std::optional<DecodedRequest> decode_envoy_request(bool delta, std::string_view bytes);
std::string encode_envoy_response(bool delta, const EnvoyResponse& response);

// none: not the id of a waypoint.
std::optional<WaypointNode> parse_waypoint_id(std::string_view id);

}  // namespace mesh::control
