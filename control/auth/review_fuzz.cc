// What an API server answers about a token: an identity is whole, or the token is nobody's.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/auth/token_reviews.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::control::auth;
  const ReviewOptions options{.node_accounts = {"weft-system/ztunnel"}};
  const auto identity = read_review({reinterpret_cast<const char*>(data), size}, options.audiences);
  if (!identity) {
    MESH_CHECK(!identity.error().text.empty());
    return 0;
  }
  MESH_CHECK(!identity->ns.empty() && !identity->service_account.empty());
  const auto caller = caller_of(*identity, options, nullptr);
  // Only a ztunnel's account with a pod on a node is that node's.
  if (caller && caller->is_node()) {
    MESH_CHECK(options.node_accounts.contains(identity->ns + "/" + identity->service_account));
    MESH_CHECK(!identity->pod.empty() && caller->node == identity->node);
  }
  return 0;
}
