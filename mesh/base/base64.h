#pragma once
// Base64 (RFC 4648), both alphabets.

#include <optional>
#include <string>
#include <string_view>

namespace mesh {

// With padding, the usual alphabet.
std::string base64_encode(std::string_view bytes);

// Line breaks, spaces and missing padding are allowed; anything else that does not belong is not.
std::optional<std::string> base64_decode(std::string_view text);

// The alphabet of tokens and URLs (- and _); nothing but it, no padding needed.
std::optional<std::string> base64url_decode(std::string_view text);

}  // namespace mesh
