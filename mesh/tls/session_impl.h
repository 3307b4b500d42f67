#pragma once
// What a Session is made of. Internal to mesh/tls.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mesh/tls/context_impl.h"
#include "mesh/tls/record.h"
#include "mesh/tls/session.h"

namespace mesh::tls {

inline constexpr std::uint8_t kLevelWarning = 1;
inline constexpr std::uint8_t kLevelFatal = 2;

inline constexpr std::uint8_t kMessageNewSessionTicket = 4;
inline constexpr std::uint8_t kMessageKeyUpdate = 24;

inline std::uint8_t at(std::span<const std::byte> bytes, std::size_t index) {
  return std::to_integer<std::uint8_t>(bytes[index]);
}

// An alert of the peer that is about our certificate.
bool refuses_certificate(std::uint8_t alert);

struct SessionImpl {
  std::shared_ptr<const Context> context;
  SessionOptions options;
  Session::State state = Session::State::kHandshake;
  Error failure{};

  // Until the handshake is done; with `tls12` to the end.
  bool tls12 = false;
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
  Slice held;                      // the beginning of a record whose rest follows at once
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
  Result<Done> read_tls12(const Slice& wire, std::vector<Slice>& plaintext);
  Result<Done> seal_tls12(std::span<const std::byte> bytes);
  void close_tls12();
  Result<Done> read_records(const Slice& wire, Session::Next next, std::vector<Slice>& plaintext);
  bool hold(const Slice& wire, std::span<std::byte> rest);
  Result<Done> read_across(const Slice& wire, std::span<std::byte>& rest,
                           std::vector<Slice>& plaintext);
  Result<Done> check_outside(std::span<const std::byte> record);
  Result<Done> read_control(ContentType type, std::span<const std::byte> content);
  Result<Done> collect(std::span<std::byte>& rest, std::vector<Slice>& plaintext);
  Result<Done> read_record(std::span<std::byte> record, const Slice& owner,
                           std::vector<Slice>& plaintext);
  Result<Done> read_alert(std::span<const std::byte> content);
  Result<Done> read_handshake(std::span<const std::byte> content);
  Result<Done> count_idle();
};

}  // namespace mesh::tls
