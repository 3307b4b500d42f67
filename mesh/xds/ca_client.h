#pragma once
// CaClient: asks Istio's CA service (istio.v1.auth.IstioCertificateService/CreateCertificate) for
// the certificates of this node's pods, over a Channel of its own.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/grpc/channel.h"
#include "mesh/identity/issuer.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::xds {

struct CaClientOptions {
  grpc::ChannelOptions channel;
  io::Duration request_deadline = std::chrono::seconds(10);
  std::chrono::seconds validity = std::chrono::hours(24);  // asked for; the CA may give less
};

// Limits of an answer: 16 elements, 64 KiB each.
class CaClient final : public identity::Issuer {
 public:
  CaClient(io::Ring& ring, CaClientOptions options, std::function<void(std::string_view line)> log);
  ~CaClient() override;  // after close()

  // Impersonates: the CSR is for `id`, the caller is the node (ImpersonatedIdentity).
  io::Task<Result<identity::Issued>> issue(net::SpiffeId id, std::string csr_pem) override;
  io::Task<void> close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::xds
