// lab.json, damaged or not: what is read is what would be written.

#include <cstdint>
#include <string>

#include "cli/lab/record.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::cli::lab;
  const auto record = from_json(std::string(reinterpret_cast<const char*>(data), size));
  if (!record) return 0;
  const auto again = from_json(to_json(*record));
  MESH_CHECK(again && to_json(*again) == to_json(*record));
  (void)find_pod(*record, "web");
  return 0;
}
