#pragma once
// The two messages of grpc.health.v1.Health/Check. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mesh::waypoint::health {

inline constexpr std::size_t kAnswerMax = 4096;

std::string encode_check(std::string_view service);

enum class Serving : std::uint8_t { kUnknown, kServing, kNotServing, kServiceUnknown };
// None: it is no such message. Fields that are not known are passed over.
std::optional<Serving> decode_check_answer(std::string_view message);

}  // namespace mesh::waypoint::health
