#include "mesh/identity/certificate.h"

#include <algorithm>
#include <utility>

#include "mesh/tls/check_chain.h"

namespace mesh::identity {

Result<std::shared_ptr<const Certificate>> make_certificate(const net::SpiffeId& id,
                                                            const tls::PrivateKey& key,
                                                            const Issued& issued,
                                                            io::WallTime now) {
  TRY(tls::CertificateChain chain, tls::CertificateChain::parse_pem(issued.chain_pem));
  TRY(tls::TrustBundle roots, tls::TrustBundle::parse_pem(issued.roots_pem));
  TRY(const net::SpiffeId named, chain.leaf().spiffe_id());
  if (named != id) return failed(Reason::kWrongIdentity, "certificate for another identity");
  if (!key.matches(chain.leaf())) return failed(Reason::kMalformed, "certificate for another key");

  // Clocks differ: a CA whose clock is a little ahead issues what is not valid yet here.
  const auto second = std::chrono::floor<std::chrono::seconds>(now);
  tls::WallSeconds when = second;
  for (const tls::Certificate& one : chain.certificates()) {
    if (one.not_before() > second && one.not_before() - now <= kClockTolerance) {
      when = std::max(when, one.not_before());
    }
  }
  TRY_DO(tls::check_chain(chain, roots, tls::Role::kClient, when));
  TRY(const tls::ChainWindow window, tls::check_chain(chain, roots, tls::Role::kServer, when));

  tls::Credentials credentials{.chain = chain, .key = key, .roots = roots};
  TRY(auto client, tls::Context::for_mesh(tls::Role::kClient, credentials));
  TRY(auto server, tls::Context::for_mesh(tls::Role::kServer, credentials));
  return std::make_shared<const Certificate>(Certificate{.id = id,
                                                         .chain = std::move(chain),
                                                         .roots = std::move(roots),
                                                         .client = std::move(client),
                                                         .server = std::move(server),
                                                         .not_after = window.not_after});
}

}  // namespace mesh::identity
