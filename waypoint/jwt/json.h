#pragma once
// JSON of a stranger: strict, bounded, and without two members of one name, which two readers could
// take two ways.

#include <cstddef>
#include <string_view>

#include "mesh/base/result.h"
#include "waypoint/http/value.h"

namespace mesh::waypoint::jwt {

inline constexpr int kMaxJsonDepth = 32;
inline constexpr std::size_t kMaxJsonValues = 65'536;

// Errors: kMalformed, kTooLarge.
Result<http::Value> parse_json(std::string_view text);

// RFC 4648 section 5 without padding, and only the one way to write it: no white space, no '=',
// no bits behind the last byte. Errors: kMalformed.
Result<std::string> decode_base64url(std::string_view text);
std::string encode_base64url(std::string_view bytes, bool pad = false);

}  // namespace mesh::waypoint::jwt
