#pragma once
// Certificate: what one identity speaks with, complete and checked; immutable, shared by all threads.

#include <memory>
#include <string>
#include <vector>

#include "mesh/io/ring.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::tls {
class Credentials;
}

namespace mesh::identity {

struct Certificate {
  net::SpiffeId id;
  // The TLS contexts of both roles, made once.
  std::shared_ptr<const tls::Credentials> credentials;
  io::WallTime not_before;
  io::WallTime not_after;
  std::string chain_pem;
  std::string roots_pem;

  bool valid_at(io::WallTime when) const { return when >= not_before && when < not_after; }
};

}  // namespace mesh::identity
