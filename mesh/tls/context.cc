#include "mesh/tls/context.h"

#include <openssl/err.h>
#include <openssl/sha.h>

#include <array>
#include <vector>

#include "mesh/net/address.h"
#include "mesh/tls/context_impl.h"

namespace mesh::tls {
namespace {

// In the incumbent's order, which a peer's choice can depend on.
constexpr std::array<std::uint16_t, 2> kSuites = {SSL_CIPHER_AES_256_GCM_SHA384,
                                                  SSL_CIPHER_AES_128_GCM_SHA256};
constexpr std::array<std::uint16_t, 4> kGroups = {SSL_GROUP_X25519, SSL_GROUP_SECP256R1,
                                                  SSL_GROUP_SECP384R1, SSL_GROUP_X25519_MLKEM768};
constexpr std::array<std::uint16_t, 10> kSignatures = {
    SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_ECDSA_SECP256R1_SHA256,
    SSL_SIGN_ECDSA_SECP521R1_SHA512, SSL_SIGN_ED25519,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PKCS1_SHA512,
    SSL_SIGN_RSA_PKCS1_SHA384,       SSL_SIGN_RSA_PKCS1_SHA256};
constexpr std::array<std::uint8_t, 3> kAlpn = {2, 'h', '2'};

// Only "h2": a client that offers other protocols, and not this one, is refused.
int select_alpn(SSL*, const std::uint8_t** out, std::uint8_t* out_size, const std::uint8_t* offered,
                unsigned offered_size, void*) {
  for (unsigned at = 0; at < offered_size; at += 1u + offered[at]) {
    if (offered[at] == 2 && at + 2 < offered_size && offered[at + 1] == 'h' &&
        offered[at + 2] == '2') {
      *out = offered + at + 1;
      *out_size = 2;
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bssl::UniquePtr<SSL_CTX> new_ssl_context(Role role) {
  bssl::UniquePtr<SSL_CTX> ssl(SSL_CTX_new(TLS_with_buffers_method()));
  MESH_CHECK(ssl != nullptr);
  SSL_CTX* const ctx = ssl.get();
  MESH_CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
             SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
  MESH_CHECK(SSL_CTX_set1_tls13_ciphers(ctx, kSuites.data(), nullptr, kSuites.size()) == 1);
  MESH_CHECK(SSL_CTX_set1_group_ids(ctx, kGroups.data(), kGroups.size()) == 1);
  MESH_CHECK(SSL_CTX_set_verify_algorithm_prefs(ctx, kSignatures.data(), kSignatures.size()) == 1);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(ctx, 64 * 1024);
  if (role == Role::kServer) {
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, nullptr);
  } else {
    MESH_CHECK(SSL_CTX_set_alpn_protos(ctx, kAlpn.data(), kAlpn.size()) == 0);
    SSL_CTX_enable_ocsp_stapling(ctx);
  }
  return ssl;
}

Result<Done> show(SSL_CTX* ctx, const CertificateChain& chain, const PrivateKey& key) {
  if (!key.matches(chain.leaf())) return failed(Reason::kMalformed, "key of another certificate");
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> owned;
  std::vector<CRYPTO_BUFFER*> buffers;
  for (const Certificate& certificate : chain.certificates()) {
    owned.emplace_back(
        CRYPTO_BUFFER_new(certificate.der().data(), certificate.der().size(), nullptr));
    buffers.push_back(owned.back().get());
  }
  if (SSL_CTX_set_chain_and_key(ctx, buffers.data(), buffers.size(), key.impl().key.get(),
                                nullptr) != 1) {
    ERR_clear_error();
    return failed(Reason::kMalformed, "certificate chain or key");
  }
  return Done{};
}

bssl::UniquePtr<X509_STORE> store_of(const TrustBundle& bundle) {
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  MESH_CHECK(store != nullptr);
  for (const Certificate& root : bundle.roots()) {
    MESH_CHECK(X509_STORE_add_cert(store.get(), root.impl().x509.get()) == 1);
  }
  return store;
}

// The names of the roots, so that a client with several certificates can choose.
void announce(SSL_CTX* ctx, const TrustBundle& bundle) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> names(sk_CRYPTO_BUFFER_new_null());
  MESH_CHECK(names != nullptr);
  for (const Certificate& root : bundle.roots()) {
    std::uint8_t* der = nullptr;
    const int size = i2d_X509_NAME(X509_get_subject_name(root.impl().x509.get()), &der);
    if (size <= 0) continue;
    const bssl::UniquePtr<std::uint8_t> owner(der);
    MESH_CHECK(bssl::PushToStack(names.get(), bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                                                  der, static_cast<std::size_t>(size), nullptr))));
  }
  SSL_CTX_set0_client_CAs(ctx, names.release());
}

Fingerprint fingerprint_of(const STACK_OF(CRYPTO_BUFFER) * shown) {
  SHA256_CTX hash;
  SHA256_Init(&hash);
  for (std::size_t i = 0; i < sk_CRYPTO_BUFFER_num(shown); ++i) {
    const CRYPTO_BUFFER* buffer = sk_CRYPTO_BUFFER_value(shown, i);
    const std::uint64_t size = CRYPTO_BUFFER_len(buffer);
    SHA256_Update(&hash, &size, sizeof(size));  // so that no two chains run together
    SHA256_Update(&hash, CRYPTO_BUFFER_data(buffer), size);
  }
  Fingerprint print{};
  SHA256_Final(print.data(), &hash);
  return print;
}

}  // namespace

Result<VerifiedChain> ContextImpl::judge(const STACK_OF(CRYPTO_BUFFER) * shown,
                                         WallSeconds now) const {
  if (shown == nullptr || sk_CRYPTO_BUFFER_num(shown) == 0) {
    return failed(Reason::kNoCertificate, "no certificate shown");
  }
  if (sk_CRYPTO_BUFFER_num(shown) > kChainCertificatesMax) {
    return failed(Reason::kTooLarge, "certificate chain");
  }
  const Fingerprint print = fingerprint_of(shown);
  {
    const std::scoped_lock lock(mutex);
    const auto known = verified.find(print);
    if (known != verified.end() && known->second.not_before <= now &&
        now <= known->second.not_after) {
      ++counts.known;
      return known->second;
    }
  }
  std::vector<Certificate> chain;
  for (std::size_t i = 0; i < sk_CRYPTO_BUFFER_num(shown); ++i) {
    const CRYPTO_BUFFER* buffer = sk_CRYPTO_BUFFER_value(shown, i);
    TRY(Certificate certificate,
        Certificate::from_der({CRYPTO_BUFFER_data(buffer), CRYPTO_BUFFER_len(buffer)}));
    chain.push_back(std::move(certificate));
  }
  const Role peer = role == Role::kClient ? Role::kServer : Role::kClient;
  TRY(VerifiedChain result,
      verify_chain(roots.get(), chain, peer, server_name ? &*server_name : nullptr, now));
  const std::scoped_lock lock(mutex);
  ++counts.verified;
  if (verified.size() >= kVerifiedChainsMax) verified.clear();
  verified.insert_or_assign(print, result);
  return result;
}

Context::Context(std::unique_ptr<ContextImpl> impl) : impl_(std::move(impl)) {}
Context::~Context() = default;

Role Context::role() const { return impl_->role; }
const std::optional<net::SpiffeId>& Context::identity() const { return impl_->identity; }

Context::CacheCounts Context::cache_counts() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->counts;
}

Result<std::shared_ptr<const Context>> Context::for_mesh(Role role,
                                                         const Credentials& credentials) {
  if (credentials.chain.leaf().is_ca())
    return failed(Reason::kUntrusted, "a CA certificate as leaf");
  auto impl = std::make_unique<ContextImpl>();
  TRY(impl->identity, credentials.chain.leaf().spiffe_id());
  impl->role = role;
  impl->ssl = new_ssl_context(role);
  TRY_DO(show(impl->ssl.get(), credentials.chain, credentials.key));
  impl->roots = store_of(credentials.roots);
  SSL_CTX_set_custom_verify(impl->ssl.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                            verify_peer_of_session);
  if (role == Role::kServer) announce(impl->ssl.get(), credentials.roots);
  return std::shared_ptr<const Context>(new Context(std::move(impl)));
}

Result<std::shared_ptr<const Context>> Context::for_named_server(const NamedServer& server) {
  if (server.name.empty() || server.name.size() > 253) {
    return failed(Reason::kMalformed, "name of the server");
  }
  auto impl = std::make_unique<ContextImpl>();
  impl->role = Role::kClient;
  impl->ssl = new_ssl_context(Role::kClient);
  impl->roots = store_of(server.roots);
  impl->server_name = server.name;
  if (server.client) TRY_DO(show(impl->ssl.get(), server.client->chain, server.client->key));
  SSL_CTX_set_custom_verify(impl->ssl.get(), SSL_VERIFY_PEER, verify_peer_of_session);
  return std::shared_ptr<const Context>(new Context(std::move(impl)));
}

Result<std::shared_ptr<const Context>> Context::for_open_server(const CertificateChain& chain,
                                                                const PrivateKey& key) {
  auto impl = std::make_unique<ContextImpl>();
  impl->role = Role::kServer;
  impl->ssl = new_ssl_context(Role::kServer);
  TRY_DO(show(impl->ssl.get(), chain, key));
  return std::shared_ptr<const Context>(new Context(std::move(impl)));
}

}  // namespace mesh::tls
