#pragma once
// By what algorithm the kernel limits and spreads what a TCP socket sends. Internal to
// mesh/io/uring.

#include <string_view>

namespace mesh::io::internal {

// In every kernel and allowed to everybody. It sends what the window holds, at once.
inline constexpr std::string_view kUnpacedEverywhere = "reno";

// For `fd`, and what it will accept. False: the kernel has no such algorithm, or does not let us.
bool set_congestion_control(int fd, std::string_view name) noexcept;

}  // namespace mesh::io::internal
