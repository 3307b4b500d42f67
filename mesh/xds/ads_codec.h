#pragma once
// The messages of delta ADS as protobuf bytes. This is the envelope: fields of it that we do not
// know (control_plane, cache_control) are passed over; inside the resources decode.h refuses them.

#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/xds/ads_message.h"

namespace mesh::xds {

std::string encode(const DeltaRequest& request);
// Errors: kMalformed. Resource.aliases (a hint for on-demand clients) is dropped.
Result<DeltaResponse> decode_response(std::string_view bytes);

// The server's side, for simulations and tests.
std::string encode(const DeltaResponse& response);
Result<DeltaRequest> decode_request(std::string_view bytes);

}  // namespace mesh::xds
