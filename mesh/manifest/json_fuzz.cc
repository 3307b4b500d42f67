// JSON of any shape: no crash, and what is read as an object was identified.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "mesh/manifest/json.h"
#include "mesh/manifest/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::manifest;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  unsigned items = 0;
  const auto each = [&](Value&& item) {
    ++items;
    for (const Kind kind : {Kind::kPod, Kind::kService, Kind::kAuthorizationPolicy}) {
      const Parsed parsed = parse_object("fuzz", kind, item);
      const std::size_t outcomes =
          parsed.objects.size() + parsed.broken.size() + (parsed.unidentified ? 1 : 0);
      if (outcomes != 1) std::abort();
    }
  };
  const auto list = read_json_list(text, each);
  const auto whole = read_json(text);
  // A list has more values in one tree than in its items one by one, so only this way round.
  if (whole && !list) std::abort();
  if (whole) (void)parse_object("fuzz", Kind::kServiceEntry, *whole);
  return 0;
}
