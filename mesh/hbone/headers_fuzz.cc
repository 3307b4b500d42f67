// The headers of a CONNECT, as any client may send them. What parses is written and parsed again.

#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "mesh/hbone/authority.h"
#include "mesh/hbone/baggage.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::hbone;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto authority = parse_authority(text)) {
    MESH_CHECK(parse_authority(to_string(*authority)) == authority);
  }
  if (const auto baggage = parse_baggage(text)) {
    (void)parse_baggage(to_header(*baggage));
  }
  if (const auto forwarded = parse_forwarded(text)) {
    if (forwarded->client) {
      const Forwarded only{.client = forwarded->client, .host = {}};
      MESH_CHECK(parse_forwarded(to_header(only))->client == only.client);
    }
  }
  if (const auto trace = parse_traceparent(text)) {
    MESH_CHECK(parse_traceparent(to_header(*trace))->span == trace->span);
  }
  return 0;
}
