#pragma once
// Contexts towards servers outside the mesh: verified by name, against roots that are somebody
// else's, with the protocols that they speak.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/tls/context.h"

namespace mesh::tls {

inline constexpr std::size_t kOutsideRootsMax = 512;
inline constexpr std::size_t kOutsideRootsBytesMax = 1 << 20;

struct OutsideServer {
  std::string name = {};               // sent as SNI (unless an address); a SAN must match
  std::vector<std::string> alpn = {};  // offered in this order; none: nothing is offered
  std::string roots = {};              // PEM
  bool lenient_roots = false;          // of a system: what cannot be used as a root is left out
  // PEM, ours; empty: none is shown. One text may hold both, and other things.
  std::string certificate = {}, key = {};
  // TLS 1.2 with forward secrecy and AEAD, if the server has no better; only that.
  enum class Tls12 : std::uint8_t { kNo, kAllowed, kOnly };
  Tls12 tls12 = Tls12::kNo;
};

// Errors: kMalformed, kTooLarge, kUntrusted (no usable root).
Result<std::shared_ptr<const Context>> context_for_outside(const OutsideServer& server);

}  // namespace mesh::tls
