#include "mesh/tls/outside.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <cstdint>

#include "mesh/base/check.h"
#include "mesh/tls/context_impl.h"

namespace mesh::tls {
namespace {

constexpr std::string_view kEnd = "-----END CERTIFICATE-----";

// Files of others may hold a key beside its certificates.
std::string only_certificates(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  std::string only;
  for (;;) {
    const std::size_t begin = pem.find(kBegin);
    const std::size_t end = pem.find(kEnd, begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) return only;
    only.append(pem.substr(begin, end + kEnd.size() - begin)).append("\n");
    pem.remove_prefix(end + kEnd.size());
  }
}

// The certificates of a bundle, one by one: a system's holds more than a workload's may.
Result<std::vector<Certificate>> read_roots(std::string_view pem, bool lenient) {
  if (pem.size() > kOutsideRootsBytesMax) return failed(Reason::kTooLarge, "roots");
  std::vector<Certificate> roots;
  for (std::size_t end = pem.find(kEnd); end != std::string_view::npos; end = pem.find(kEnd)) {
    const auto one = TrustBundle::parse_pem(pem.substr(0, end + kEnd.size()));
    pem.remove_prefix(end + kEnd.size());
    if (!one && lenient) continue;
    if (!one) return std::unexpected(one.error());
    roots.insert(roots.end(), one->roots().begin(), one->roots().end());
    if (roots.size() > kOutsideRootsMax) return failed(Reason::kTooLarge, "roots");
  }
  if (roots.empty()) return failed(Reason::kUntrusted, "roots");
  return roots;
}

Result<std::vector<std::uint8_t>> alpn_of(const std::vector<std::string>& names) {
  std::vector<std::uint8_t> wire;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255) return failed(Reason::kMalformed, "ALPN");
    wire.push_back(static_cast<std::uint8_t>(name.size()));
    wire.insert(wire.end(), name.begin(), name.end());
  }
  return wire;
}

void allow_tls12(SSL_CTX* ctx, OutsideServer::Tls12 how) {
  MESH_CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
  if (how == OutsideServer::Tls12::kOnly) {
    MESH_CHECK(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) == 1);
  }
  MESH_CHECK(SSL_CTX_set_strict_cipher_list(
                 ctx,
                 "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                 "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                 "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305") == 1);
}

}  // namespace

Result<std::shared_ptr<const Context>> context_for_outside(const OutsideServer& server) {
  TRY(std::vector<Certificate> roots, read_roots(server.roots, server.lenient_roots));
  TRY(const std::vector<std::uint8_t> alpn, alpn_of(server.alpn));
  const std::size_t first = std::min(roots.size(), kBundleCertificatesMax);
  TRY(TrustBundle bundle, TrustBundle::make({roots.begin(), roots.begin() + first}));
  NamedServer named{.roots = bundle, .name = server.name};
  if (!server.certificate.empty()) {
    TRY(CertificateChain chain, CertificateChain::parse_pem(only_certificates(server.certificate)));
    TRY(PrivateKey key, PrivateKey::parse_pem(server.key));
    named.client = Credentials{std::move(chain), std::move(key), std::move(bundle)};
  }
  TRY(auto context, Context::for_named_server(named));
  // Nobody uses it yet.
  const ContextImpl& impl = context->impl();
  for (std::size_t i = first; i < roots.size(); ++i) {
    MESH_CHECK(X509_STORE_add_cert(impl.roots.get(), roots[i].impl().x509.get()) == 1);
  }
  if (server.tls12 != OutsideServer::Tls12::kNo) allow_tls12(impl.ssl.get(), server.tls12);
  MESH_CHECK(SSL_CTX_set_alpn_protos(impl.ssl.get(), alpn.data(), alpn.size()) == 0);
  return context;
}

}  // namespace mesh::tls
