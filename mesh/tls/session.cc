#include "mesh/tls/session.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "mesh/net/address.h"
#include "mesh/tls/session_impl.h"

namespace mesh::tls {
namespace {

constexpr std::size_t kHandshakeBytesMax = 256 * 1024;
// AES-GCM keys are good for 2^24.5 full records (RFC 8446 5.5); we change them a little earlier.
constexpr std::uint64_t kRecordsPerKey = std::uint64_t{1} << 24;

Error handshake_error() {
  const std::uint32_t code = ERR_peek_error();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  ERR_clear_error();
  if (reason > SSL_AD_REASON_OFFSET) {
    const bool about_us =
        refuses_certificate(static_cast<std::uint8_t>(reason - SSL_AD_REASON_OFFSET));
    return {.reason = Reason::kTlsHandshake,
            .during = about_us ? "the peer refused our certificate" : "tls alert from the peer"};
  }
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return {.reason = Reason::kNoCertificate, .during = "no certificate shown"};
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_VERSION_NUMBER:
      return {.reason = Reason::kTlsHandshake, .during = "tls version"};
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_INVALID_ALPN_PROTOCOL:
      return {.reason = Reason::kTlsHandshake, .during = "tls application protocol"};
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUP:
      return {.reason = Reason::kTlsHandshake, .during = "tls parameters"};
    default:
      return {.reason = Reason::kTlsHandshake, .during = "tls handshake"};
  }
}

}  // namespace

bool refuses_certificate(std::uint8_t alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_DECRYPT_ERROR:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

ssl_verify_result_t verify_peer_of_session(SSL* ssl, std::uint8_t* alert) {
  auto* const session = static_cast<SessionImpl*>(SSL_get_app_data(ssl));
  const ContextImpl& context = session->context->impl();
  const auto refuse = [&](const Error& error) {
    session->refusal = error;
    *alert = alert_for(error);
    return ssl_verify_invalid;
  };
  Result<VerifiedChain> chain =
      context.judge(SSL_get0_peer_certificates(ssl), session->options.now);
  if (!chain) return refuse(chain.error());
  if (context.server_name) return ssl_verify_ok;

  // The identity that the rest of the program will use is the one judged here.
  MESH_CHECK(chain->identity.has_value());
  const SessionOptions& options = session->options;
  if (context.role == Role::kServer || options.any_of_own_domain) {
    if (chain->identity->trust_domain() != context.identity->trust_domain()) {
      return refuse(
          {.reason = Reason::kWrongIdentity, .during = "identity of another trust domain"});
    }
  } else if (std::ranges::find(options.accepted, *chain->identity) == options.accepted.end()) {
    return refuse({.reason = Reason::kWrongIdentity, .during = "identity of another workload"});
  }
  session->peer = std::move(chain->identity);
  return ssl_verify_ok;
}

void SessionImpl::send_sealed(std::span<const std::uint8_t> content, ContentType type) {
  Piece piece = Piece::copy_of(std::as_bytes(content));
  write.seal(piece, type);
  output.push_back(std::move(piece));
}

void SessionImpl::send_alert(std::uint8_t level, std::uint8_t alert) {
  if (close_sent) return;
  const std::array<std::uint8_t, 2> content = {level, alert};
  send_sealed(content, ContentType::kAlert);
  close_sent = true;
}

void SessionImpl::update_write_keys() {
  const std::array<std::uint8_t, 5> message_bytes = {kMessageKeyUpdate, 0, 0, 1, 0};
  send_sealed(message_bytes, ContentType::kHandshake);
  write.advance();
}

// ---- the handshake ----

void SessionImpl::flush_handshake() {
  const std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  if (BIO_mem_contents(out, &bytes, &size) != 1 || size == 0) return;
  output.push_back(Piece::copy_of(std::as_bytes(std::span(bytes, size))));
  BIO_reset(out);
}

Result<Done> SessionImpl::shake(const Slice& wire, Slice& rest) {
  const std::span<const std::byte> bytes = wire.bytes();
  // Whatever is not TLS is told so in TLS's words, as the incumbent does, before anything is
  // parsed.
  if (handshake_bytes == 0 && !bytes.empty() &&
      at(bytes, 0) != static_cast<std::uint8_t>(ContentType::kHandshake) &&
      at(bytes, 0) != static_cast<std::uint8_t>(ContentType::kAlert)) {
    constexpr std::array<std::uint8_t, 7> kDecodeError = {21, 3, 3, 0, 2, 2, 50};
    output.push_back(Piece::copy_of(std::as_bytes(std::span(kDecodeError))));
    return fail({.reason = Reason::kTlsHandshake, .during = "not tls"});
  }
  handshake_bytes += bytes.size();
  if (handshake_bytes > kHandshakeBytesMax) {
    return fail({.reason = Reason::kTooLarge, .during = "tls handshake"});
  }
  if (!bytes.empty() && BIO_write_all(in, bytes.data(), bytes.size()) != 1) {
    return fail({.reason = Reason::kExhausted, .during = "tls handshake"});
  }
  ERR_clear_error();
  const int status = SSL_do_handshake(ssl.get());
  flush_handshake();
  if (status != 1) {
    if (SSL_get_error(ssl.get(), status) == SSL_ERROR_WANT_READ) {
      ERR_clear_error();
      return Done{};
    }
    const Error error = handshake_error();
    return fail(refusal.value_or(error));
  }
  const std::uint8_t* left = nullptr;
  std::size_t left_size = 0;
  const bool ours = SSL_version(ssl.get()) != TLS1_2_VERSION;
  if (ours && BIO_mem_contents(in, &left, &left_size) == 1 && left_size > 0) {
    rest = Slice::copy_of(std::as_bytes(std::span(left, left_size)));
  }
  return take_over();
}

// The library's part ends here: from now on the records are ours.
Result<Done> SessionImpl::take_over() {
  if (SSL_version(ssl.get()) == TLS1_2_VERSION) {
    tls12 = true;
    cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl.get()));
    state = Session::State::kOpen;
    return Done{};
  }
  const std::uint16_t suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl.get()));
  bssl::Span<const std::uint8_t> read_secret;
  bssl::Span<const std::uint8_t> write_secret;
  if ((suite != 0x1301 && suite != 0x1302) ||
      !bssl::SSL_get_traffic_secrets(ssl.get(), &read_secret, &write_secret)) {
    return fail({.reason = Reason::kTlsHandshake, .during = "tls parameters"});
  }
  cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl.get()));
  const auto set = [&](RecordKeys& keys, bssl::Span<const std::uint8_t> secret,
                       std::uint64_t used) {
    return keys.set(static_cast<Suite>(suite), {secret.data(), secret.size()}, used).has_value();
  };
  if (!set(read, read_secret, SSL_get_read_sequence(ssl.get())) ||
      !set(write, write_secret, SSL_get_write_sequence(ssl.get()))) {
    return fail({.reason = Reason::kTlsHandshake, .during = "tls traffic secrets"});
  }
  ssl.reset();
  in = nullptr;
  out = nullptr;
  state = Session::State::kOpen;
  return Done{};
}

// ---- the public face ----

Session::Session(std::unique_ptr<SessionImpl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Context> context,
                                                 SessionOptions options) {
  auto impl = std::make_unique<SessionImpl>();
  const ContextImpl& of = context->impl();
  impl->ssl.reset(SSL_new(of.ssl.get()));
  bssl::UniquePtr<BIO> in(BIO_new(BIO_s_mem()));
  bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  MESH_CHECK(impl->ssl && in && out);
  SSL* const ssl = impl->ssl.get();
  BIO_set_mem_eof_return(in.get(), -1);
  impl->in = in.get();
  impl->out = out.get();
  SSL_set_bio(ssl, in.release(), out.release());
  SSL_set_app_data(ssl, impl.get());
  if (of.role == Role::kClient) {
    constexpr std::uint16_t kShare = SSL_GROUP_X25519;
    MESH_CHECK(SSL_set1_client_key_shares(ssl, &kShare, 1) == 1);
    if (of.server_name && !net::IpAddress::parse(*of.server_name)) {
      MESH_CHECK(SSL_set_tlsext_host_name(ssl, of.server_name->c_str()) == 1);
    }
    SSL_set_connect_state(ssl);
  } else {
    SSL_set_accept_state(ssl);
  }
  impl->context = std::move(context);
  impl->options = std::move(options);
  auto session = std::unique_ptr<Session>(new Session(std::move(impl)));
  Slice nothing;
  TRY_DO(session->impl_->shake({}, nothing));  // a client speaks first
  return session;
}

Session::State Session::state() const { return impl_->state; }

Result<Done> Session::feed(Slice wire, std::vector<Slice>& plaintext, Next next) {
  if (impl_->state == State::kFailed) return std::unexpected(impl_->failure);
  if (impl_->state == State::kHandshake) {
    Slice rest;
    TRY_DO(impl_->shake(wire, rest));
    if (impl_->state == State::kHandshake) return Done{};
    wire = std::move(rest);
  }
  if (impl_->tls12) return impl_->read_tls12(wire, plaintext);
  return impl_->read_records(wire, next, plaintext);
}

void Session::take_output(std::vector<Piece>& ciphertext) {
  for (Piece& piece : impl_->output) ciphertext.push_back(std::move(piece));
  impl_->output.clear();
}

bool Session::has_output() const { return !impl_->output.empty(); }

Result<Done> Session::seal(Piece plaintext, std::vector<Piece>& ciphertext) {
  if (!open() || impl_->close_sent) return failed(Reason::kPeerClosed, "tls send");
  if (impl_->tls12) {
    TRY_DO(impl_->seal_tls12(plaintext.bytes()));
    take_output(ciphertext);
    return Done{};
  }
  if (impl_->write.sequence() >= kRecordsPerKey) impl_->update_write_keys();
  if (!impl_->output.empty()) take_output(ciphertext);
  if (plaintext.empty()) return Done{};
  if (plaintext.size() <= kRecordPlaintextMax && plaintext.headroom() >= kRecordHeader &&
      plaintext.tailroom() >= kRecordTag + 1) {
    impl_->write.seal(plaintext, ContentType::kApplicationData);
    ciphertext.push_back(std::move(plaintext));
    return Done{};
  }
  for (std::span<const std::byte> rest = plaintext.bytes(); !rest.empty();) {
    Piece record = Piece::copy_of(rest.first(std::min(rest.size(), kRecordPlaintextMax)));
    rest = rest.subspan(record.size());
    impl_->write.seal(record, ContentType::kApplicationData);
    ciphertext.push_back(std::move(record));
  }
  return Done{};
}

void Session::close_notify() {
  if (impl_->tls12 && open()) return impl_->close_tls12();
  if (open()) impl_->send_alert(kLevelWarning, SSL_AD_CLOSE_NOTIFY);
}

const std::optional<net::SpiffeId>& Session::peer() const { return impl_->peer; }
std::string Session::cipher() const { return impl_->cipher; }

}  // namespace mesh::tls
