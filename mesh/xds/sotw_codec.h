#pragma once
// The messages of state-of-the-world ADS as plain values and protobuf bytes.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/xds/ads_message.h"

namespace mesh::xds {

// envoy.service.discovery.v3.DiscoveryRequest
struct SotwRequest {
  std::optional<Node> node = {};
  std::string version = {};  // of what was accepted last
  std::string type_url = {};
  std::vector<std::string> names = {};  // none: all
  std::string response_nonce = {};
  std::optional<std::string> error = {};
  friend bool operator==(const SotwRequest&, const SotwRequest&) = default;
};

// envoy.service.discovery.v3.DiscoveryResponse. Resources have the response's version, and the name
// that they say themselves: the first field of each of Envoy's.
struct SotwResponse {
  std::string version = {};
  std::string type_url = {};
  std::string nonce = {};
  std::vector<RawResource> resources = {};
};

std::string encode(const SotwRequest& request);
// Errors: kMalformed, also for a resource without a name.
Result<SotwResponse> decode_sotw_response(std::string_view bytes);

// The server's side, for tests.
std::string encode(const SotwResponse& response);
Result<SotwRequest> decode_sotw_request(std::string_view bytes);

}  // namespace mesh::xds
