#pragma once
// Cross-origin requests, as Envoy's CORS filter answers them.

#include <cstdint>
#include <string>

#include "waypoint/config/filter.h"
#include "waypoint/http/dice.h"
#include "waypoint/http/request.h"

namespace mesh::waypoint::route {

struct Cors {
  enum class Kind : std::uint8_t {
    kNotCors,    // no origin, or no policy: forward, change nothing
    kForward,    // forward; `headers` go onto the response
    kRefused,    // forward, and the browser will refuse for want of headers
    kPreflight,  // answer 200 with `headers` now
  };
  Kind kind = Kind::kNotCors;
  h2::Headers headers = {};
};

// `policy`: null, if the route has none.
Cors cors(const config::CorsPolicy* policy, const http::Request& request, http::Dice& dice);

// Puts `headers` of kForward onto a response: ours win over the application's.
void apply_cors(const Cors& cors, h2::Headers& response);

}  // namespace mesh::waypoint::route
