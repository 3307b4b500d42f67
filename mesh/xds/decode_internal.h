#pragma once
// What decode_workload.cc and decode_policy.cc share.

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

#include "mesh/xds/decode.h"

namespace mesh::xds {

inline constexpr std::size_t kMaxResource = 1 << 20;      // bytes of one resource
inline constexpr std::size_t kMaxResourceName = 2'048;    // bytes

// True, and says so, if the resource is wrong before it is even opened: its type, name, or size.
bool problem_of_envelope(const RawResource& resource,
                         std::initializer_list<std::string_view> types, std::string& problem);

}  // namespace mesh::xds
