#include "mesh/tls/digest.h"

#include <openssl/sha.h>

namespace mesh::tls {

std::array<std::uint8_t, 20> sha1(std::string_view text) {
  std::array<std::uint8_t, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), digest.data());
  return digest;
}

}  // namespace mesh::tls
