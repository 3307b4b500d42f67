#pragma once
// Who gives certificates: the CA client in mesh/xds, or a test.

#include <string>

#include "mesh/base/result.h"
#include "mesh/io/task.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::identity {

// What a CA answered: PEM, not yet checked.
struct Issued {
  std::string chain_pem;  // leaf first, then intermediates
  std::string roots_pem;  // what to trust in peers
};

class Issuer {
 public:
  virtual ~Issuer() = default;
  // One request for `id`. Errors: kDenied when the CA refuses, and those of the transport.
  virtual io::Task<Result<Issued>> issue(net::SpiffeId id, std::string csr_pem) = 0;
};

}  // namespace mesh::identity
