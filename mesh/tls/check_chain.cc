#include "mesh/tls/check_chain.h"

#include "mesh/tls/boringssl.h"
#include "mesh/tls/verify.h"

namespace mesh::tls {

Result<ChainWindow> check_chain(const CertificateChain& chain, const TrustBundle& roots,
                                Role shown_as, WallSeconds now) {
  const bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  MESH_CHECK(store != nullptr);
  for (const Certificate& root : roots.roots()) {
    MESH_CHECK(X509_STORE_add_cert(store.get(), root.impl().x509.get()) == 1);
  }
  TRY(const VerifiedChain verified,
      verify_chain(store.get(), chain.certificates(), shown_as, nullptr, now));
  return ChainWindow{.not_before = verified.not_before, .not_after = verified.not_after};
}

}  // namespace mesh::tls
