// Requests on the agent socket: whatever parses is within the documented limits.

#include "ebpf/agent_message.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::ebpf;
  const auto request = parse_request({reinterpret_cast<const char*>(data), size});
  if (!request) {
    MESH_CHECK(!request.error().empty());
    MESH_CHECK(!format_error(request.error()).empty());
    return 0;
  }
  MESH_CHECK(size <= kRequestBytesMax);
  MESH_CHECK(request->pod.uid.empty() || is_plain_name(request->pod.uid, kUidBytesMax));
  if (request->operation == Operation::kAdd) {
    MESH_CHECK(is_plain_name(request->pod.name, kNameBytesMax));
    MESH_CHECK(is_plain_name(request->pod.ns, kNameBytesMax));
    MESH_CHECK(is_plain_name(request->pod.service_account, kNameBytesMax));
    MESH_CHECK(!request->pod.ips.empty() && request->pod.ips.size() <= kPodAddressesMax);
  }
  return 0;
}
