// Manifests as the lab's scheduler and kubelet read them; what they write back can be read again.

#include <cstdint>
#include <string_view>

#include "cli/lab/document.h"
#include "cli/lab/model.h"
#include "mesh/base/check.h"

namespace {

using namespace mesh::cli::lab;

void check_readable(const std::string& written) {
  MESH_CHECK(parse_documents("written.yaml", written).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto documents = parse_documents("fuzz.yaml", {reinterpret_cast<const char*>(data), size});
  if (!documents) {
    MESH_CHECK(!documents.error().empty());
    return 0;
  }
  for (const Document& document : *documents) {
    MESH_CHECK(!document.kind.empty() && !document.name.empty());
    (void)is_kept_by_others(document);
    if (const auto pod = read_pod(document)) {
      (void)is_enrolled(*pod, dataplane_mode(document));
      for (const Container& container : pod->containers) MESH_CHECK(!container.command.empty());
      PodStatus status;
      status.uid = "u";
      status.ips = {"10.244.1.2"};
      check_readable(with_status(*pod, status));
    }
    if (const auto service = read_service(document)) {
      check_readable(with_addresses(*service, {"10.96.0.2"}));
    }
  }
  return 0;
}
