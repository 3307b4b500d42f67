#include "mesh/xds/ca_client.h"

#include <utility>

#include "mesh/xds/ca_codec.h"

namespace mesh::xds {
namespace {

constexpr std::string_view kPath = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

}  // namespace

struct CaClient::Impl {
  Impl(io::Ring& ring, CaClientOptions o, std::function<void(std::string_view)> l)
      : channel(ring, o.channel), options(std::move(o)), log(std::move(l)) {}

  io::Task<Result<identity::Issued>> request(net::SpiffeId id, std::string csr_pem);

  grpc::Channel channel;
  CaClientOptions options;
  std::function<void(std::string_view)> log;
  std::size_t running = 0;
};

CaClient::CaClient(io::Ring& ring, CaClientOptions options,
                   std::function<void(std::string_view line)> log)
    : impl_(std::make_unique<Impl>(ring, std::move(options), std::move(log))) {}
CaClient::~CaClient() = default;

io::Task<void> CaClient::close() { co_await impl_->channel.close(); }

// Certificates are asked for in bursts, hours apart: the connection is closed after each burst, so
// that the next one reads the roots again and meets no connection that died unseen.
io::Task<Result<identity::Issued>> CaClient::issue(net::SpiffeId id, std::string csr_pem) {
  ++impl_->running;
  auto issued = co_await impl_->request(std::move(id), std::move(csr_pem));
  if (--impl_->running == 0) co_await impl_->channel.close();
  co_return issued;
}

io::Task<Result<identity::Issued>> CaClient::Impl::request(net::SpiffeId id, std::string csr_pem) {
  const CertificateRequest request{.csr_pem = std::move(csr_pem),
                                   .validity_seconds = options.validity.count(),
                                   .impersonated_identity = id.to_string()};
  const grpc::Channel::Response response =
      co_await channel.unary(kPath, encode(request), options.request_deadline);
  if (!response.status.ok()) {
    log("ca: " + id.to_string() + ": " + std::string(grpc::status_code_name(response.status.code)) +
        ": " + response.status.message);
    co_return std::unexpected(response.status.error("certificate request"));
  }
  co_return decode_certificates(response.message);
}

}  // namespace mesh::xds
