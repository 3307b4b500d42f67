#pragma once
// What Envoy refuses of a route although the API server takes it. One such value would make it
// refuse the whole listener, and with it every later policy: so it is found here, and costs its own
// route.

#include <cstdint>
#include <string>
#include <string_view>

namespace envoy::config::route::v3 {
class Route;
}

namespace mesh::control {

// RE2 takes it, and it is not too large to run on every request.
bool is_usable_regex(std::string_view regex);
bool is_header_name(std::string_view name);
// No line breaks, no NUL.
bool is_header_value(std::string_view value);
// "/a/{*}/b/{**}": whole segments, "{**}" the last operator, no other braces.
bool is_path_template(std::string_view path);

enum class RouteFault : std::uint8_t { kNone, kMatch, kAction };

// What is wrong with a route, if anything: its match (it can never hold) or what it does. `why`
// says it for its author.
RouteFault check_route(const envoy::config::route::v3::Route& route, std::string& why);

}  // namespace mesh::control
