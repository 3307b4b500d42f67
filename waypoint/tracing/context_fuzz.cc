// traceparent and b3 of anybody: what is read is written again as it was read.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "waypoint/tracing/context.h"

using namespace mesh::waypoint;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& parent : {tracing::parse_traceparent(text), tracing::parse_b3(text)}) {
    if (!parent) continue;
    MESH_CHECK(parent->trace.valid() && parent->span != 0);
    const tracing::Span span{.trace = parent->trace, .id = parent->span, .sampled = true};
    const auto again = tracing::parse_traceparent(tracing::to_traceparent(span));
    MESH_CHECK(again && again->trace == parent->trace && again->span == parent->span);
  }
  return 0;
}
