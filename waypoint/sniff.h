#pragma once
// What do the first bytes of a connection speak? Pure.

#include <cstddef>
#include <cstdint>
#include <span>

namespace mesh::waypoint {

enum class Spoken : std::uint8_t {
  kMore,   // too few bytes to tell
  kHttp1,  // a method that we know, a space, a target
  kHttp2,  // the connection preface
  kOther,
};
inline constexpr std::size_t kSniffMax = 32;  // with so many bytes the answer is never kMore

Spoken sniff(std::span<const std::byte> bytes);

}  // namespace mesh::waypoint
