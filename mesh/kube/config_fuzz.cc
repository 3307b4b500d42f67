// Kubeconfigs: whatever the bytes are, what is accepted is https and has no half of a key pair.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "mesh/kube/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto access = mesh::kube::read_kubeconfig(text, "/folder", "");
  if (!access) return access.error().empty() ? std::abort(), 0 : 0;
  if (!access->server.starts_with("https://")) std::abort();
  if (access->certificate.empty() != access->key.empty()) std::abort();
  return 0;
}
