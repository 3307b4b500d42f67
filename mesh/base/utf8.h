#pragma once

#include <string>
#include <string_view>

namespace mesh {

// RFC 3629: shortest form, no surrogates, at most U+10FFFF. Zero bytes are text.
bool is_utf8(std::string_view text);
// The same text with a '!' for every byte that keeps it from being UTF-8.
std::string clean_utf8(std::string_view text);

}  // namespace mesh
