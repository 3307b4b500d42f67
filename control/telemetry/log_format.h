#pragma once
// Formats of access logs, as Envoy's command operators: what is wrong with one. An operator that a
// proxy does not know would make it refuse the listener. Pure.

#include <string>
#include <string_view>

namespace mesh::control {

// Empty: nothing.
std::string log_format_problem(std::string_view format);

}  // namespace mesh::control
