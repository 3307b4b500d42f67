// The agent's own file, damaged or not: what is read is what would be written.

#include "ebpf/pod_store.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::ebpf;
  const auto pods = parse_pods({reinterpret_cast<const char*>(data), size}, "boot");
  if (!pods) {
    MESH_CHECK(!pods.error().empty());
    return 0;
  }
  const std::string text = format_pods(*pods, "boot");
  const auto again = parse_pods(text, "boot");
  MESH_CHECK(again && again->size() == pods->size());
  MESH_CHECK(format_pods(*again, "boot") == text);
  return 0;
}
