#pragma once
// The reason phrases of HTTP/1.1's status line (RFC 9110 §15). They are for people: nobody may
// decide by them.

#include <string_view>

namespace mesh::net {

// "Unknown" for a code that the registry does not name.
std::string_view reason_phrase(int status);

}  // namespace mesh::net
