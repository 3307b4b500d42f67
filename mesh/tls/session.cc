#include "mesh/tls/session.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "mesh/net/address.h"
#include "mesh/tls/context_impl.h"
#include "mesh/tls/record.h"

namespace mesh::tls {
namespace {

constexpr std::size_t kHandshakeBytesMax = 256 * 1024;
constexpr std::size_t kPostHandshakeMessageMax = 64 * 1024;
constexpr unsigned kIdleRecordsMax = 32;
// AES-GCM keys are good for 2^24.5 full records (RFC 8446 5.5); we change them a little earlier.
constexpr std::uint64_t kRecordsPerKey = std::uint64_t{1} << 24;

constexpr std::uint8_t kLevelWarning = 1;
constexpr std::uint8_t kLevelFatal = 2;
constexpr std::uint8_t kAlertUserCanceled = 90;
constexpr std::uint8_t kMessageNewSessionTicket = 4;
constexpr std::uint8_t kMessageKeyUpdate = 24;

std::uint8_t at(std::span<const std::byte> bytes, std::size_t index) {
  return std::to_integer<std::uint8_t>(bytes[index]);
}

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

struct SessionImpl {
  std::shared_ptr<const Context> context;
  SessionOptions options;
  Session::State state = Session::State::kHandshake;
  Error failure{};

  // Until the handshake is done.
  bssl::UniquePtr<SSL> ssl;
  BIO* in = nullptr;   // owned by ssl
  BIO* out = nullptr;  // owned by ssl
  std::size_t handshake_bytes = 0;
  std::optional<Error> refusal;  // what verify_peer_of_session() found

  std::optional<net::SpiffeId> peer;
  std::string cipher;
  std::vector<Piece> output;

  // After it.
  RecordKeys read;
  RecordKeys write;
  std::array<std::byte, kRecordHeader> header{};  // of a record that comes in parts
  std::size_t header_size = 0;
  std::shared_ptr<std::byte[]> part;  // the record that comes in parts, when its header is complete
  std::size_t part_size = 0;
  std::size_t part_needed = 0;
  std::vector<std::byte> message;  // a handshake message that comes in parts
  unsigned idle_records = 0;       // since the last data
  bool close_sent = false;

  Result<Done> fail(Error error) {
    state = Session::State::kFailed;
    failure = error;
    return std::unexpected(error);
  }
  Result<Done> fail_with_alert(std::uint8_t alert, Reason reason, const char* during) {
    send_alert(kLevelFatal, alert);
    return fail({.reason = reason, .during = during});
  }

  void send_sealed(std::span<const std::uint8_t> content, ContentType type);
  void send_alert(std::uint8_t level, std::uint8_t alert);
  void update_write_keys();

  Result<Done> shake(const Slice& wire, Slice& rest);
  void flush_handshake();
  Result<Done> take_over();
  Result<Done> read_records(const Slice& wire, std::vector<Slice>& plaintext);
  Result<Done> collect(std::span<std::byte>& rest, std::vector<Slice>& plaintext);
  Result<Done> read_record(std::span<std::byte> record, const Slice& owner,
                           std::vector<Slice>& plaintext);
  Result<Done> read_alert(std::span<const std::byte> content);
  Result<Done> read_handshake(std::span<const std::byte> content);
  Result<Done> count_idle();
};

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
  if (BIO_mem_contents(in, &left, &left_size) == 1 && left_size > 0) {
    rest = Slice::copy_of(std::as_bytes(std::span(left, left_size)));
  }
  return take_over();
}

// The library's part ends here: from now on the records are ours.
Result<Done> SessionImpl::take_over() {
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

// ---- records ----

Result<Done> SessionImpl::read_records(const Slice& wire, std::vector<Slice>& plaintext) {
  std::span<std::byte> rest = wire.bytes();
  while (!rest.empty()) {
    // After close_notify whatever comes is ignored (RFC 8446 6.1).
    if (state == Session::State::kPeerClosed) return Done{};
    if (header_size == 0 && rest.size() >= kRecordHeader) {
      const std::size_t length = std::size_t{at(rest, 3)} << 8 | at(rest, 4);
      if (rest.size() >= kRecordHeader + length && length <= kRecordCiphertextMax) {
        const std::span<std::byte> record = rest.first(kRecordHeader + length);
        rest = rest.subspan(record.size());
        TRY_DO(read_record(record, wire, plaintext));
        continue;
      }
    }
    TRY_DO(collect(rest, plaintext));
  }
  return Done{};
}

// A record that spans two reads: gathered in memory of its own.
Result<Done> SessionImpl::collect(std::span<std::byte>& rest, std::vector<Slice>& plaintext) {
  if (!part) {
    const std::size_t count = std::min(rest.size(), kRecordHeader - header_size);
    std::memcpy(header.data() + header_size, rest.data(), count);
    header_size += count;
    rest = rest.subspan(count);
    if (header_size < kRecordHeader) return Done{};
    const std::size_t length = std::size_t{at(header, 3)} << 8 | at(header, 4);
    if (length > kRecordCiphertextMax) {
      return fail_with_alert(SSL_AD_RECORD_OVERFLOW, Reason::kProtocol, "tls record too long");
    }
    part_needed = kRecordHeader + length;
    part = std::make_shared_for_overwrite<std::byte[]>(part_needed);
    std::memcpy(part.get(), header.data(), kRecordHeader);
    part_size = kRecordHeader;
  }
  const std::size_t count = std::min(rest.size(), part_needed - part_size);
  if (count > 0) std::memcpy(part.get() + part_size, rest.data(), count);
  part_size += count;
  rest = rest.subspan(count);
  if (part_size < part_needed) return Done{};

  const std::span<std::byte> record(part.get(), part_needed);
  std::byte* const begin = part.get();
  const Slice owner(std::shared_ptr<void>(std::move(part), begin), record);
  part.reset();
  header_size = 0;
  return read_record(record, owner, plaintext);
}

Result<Done> SessionImpl::count_idle() {
  if (++idle_records <= kIdleRecordsMax) return Done{};
  return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kFlood, "tls records without data");
}

Result<Done> SessionImpl::read_record(std::span<std::byte> record, const Slice& owner,
                                      std::vector<Slice>& plaintext) {
  if (at(record, 0) != static_cast<std::uint8_t>(ContentType::kApplicationData)) {
    return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls record unprotected");
  }
  Result<OpenedRecord> opened = read.open(record);
  if (!opened) {
    return fail_with_alert(SSL_AD_BAD_RECORD_MAC, Reason::kProtocol, opened.error().during);
  }
  if (!message.empty() && opened->type != ContentType::kHandshake) {
    return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls message interrupted");
  }
  switch (opened->type) {
    case ContentType::kApplicationData:
      if (opened->content.empty()) return count_idle();
      idle_records = 0;
      plaintext.push_back(owner.part(opened->content));
      return Done{};
    case ContentType::kAlert:
      return read_alert(opened->content);
    case ContentType::kHandshake:
      return read_handshake(opened->content);
    default:
      return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls content type");
  }
}

Result<Done> SessionImpl::read_alert(std::span<const std::byte> content) {
  if (content.size() != 2) {
    return fail_with_alert(SSL_AD_DECODE_ERROR, Reason::kProtocol, "tls alert");
  }
  const std::uint8_t alert = at(content, 1);
  if (alert == SSL_AD_CLOSE_NOTIFY) {
    state = Session::State::kPeerClosed;
    return Done{};
  }
  if (alert == kAlertUserCanceled && at(content, 0) == kLevelWarning) return count_idle();
  if (refuses_certificate(alert)) {
    return fail({.reason = Reason::kTlsHandshake, .during = "the peer refused our certificate"});
  }
  return fail({.reason = Reason::kPeerReset, .during = "tls alert from the peer"});
}

Result<Done> SessionImpl::read_handshake(std::span<const std::byte> content) {
  if (content.empty()) {
    return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "empty tls message");
  }
  if (message.size() + content.size() > kPostHandshakeMessageMax) {
    return fail_with_alert(SSL_AD_DECODE_ERROR, Reason::kTooLarge, "tls message");
  }
  message.insert(message.end(), content.begin(), content.end());
  while (message.size() >= 4) {
    const std::size_t length =
        std::size_t{at(message, 1)} << 16 | std::size_t{at(message, 2)} << 8 | at(message, 3);
    if (length > kPostHandshakeMessageMax - 4) {
      return fail_with_alert(SSL_AD_DECODE_ERROR, Reason::kTooLarge, "tls message");
    }
    if (message.size() < 4 + length) return Done{};
    const std::uint8_t type = at(message, 0);
    const bool last = message.size() == 4 + length;
    if (type == kMessageKeyUpdate) {
      // Keys change at the border of a record.
      if (length != 1 || !last || at(message, 4) > 1) {
        return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls key update");
      }
      read.advance();
      if (at(message, 4) == 1 && !close_sent) update_write_keys();
    } else if (type != kMessageNewSessionTicket || context->role() == Role::kServer) {
      return fail_with_alert(SSL_AD_UNEXPECTED_MESSAGE, Reason::kProtocol, "tls message");
    }
    message.erase(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(4 + length));
    TRY_DO(count_idle());
  }
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

Result<Done> Session::feed(Slice wire, std::vector<Slice>& plaintext) {
  if (impl_->state == State::kFailed) return std::unexpected(impl_->failure);
  if (impl_->state == State::kHandshake) {
    Slice rest;
    TRY_DO(impl_->shake(wire, rest));
    if (impl_->state == State::kHandshake) return Done{};
    wire = std::move(rest);
  }
  return impl_->read_records(wire, plaintext);
}

void Session::take_output(std::vector<Piece>& ciphertext) {
  for (Piece& piece : impl_->output) ciphertext.push_back(std::move(piece));
  impl_->output.clear();
}

bool Session::has_output() const { return !impl_->output.empty(); }

Result<Done> Session::seal(Piece plaintext, std::vector<Piece>& ciphertext) {
  if (!open() || impl_->close_sent) return failed(Reason::kPeerClosed, "tls send");
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
  if (open()) impl_->send_alert(kLevelWarning, SSL_AD_CLOSE_NOTIFY);
}

const std::optional<net::SpiffeId>& Session::peer() const { return impl_->peer; }
std::string Session::cipher() const { return impl_->cipher; }

}  // namespace mesh::tls
