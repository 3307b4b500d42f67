#pragma once
// The record layer of TLS 1.3 (RFC 8446 section 5), for one direction: traffic secret in, records
// out. In place; no allocation. Internal to mesh/tls.

#include <openssl/aead.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/tls/piece.h"

namespace mesh::tls {

inline constexpr std::size_t kRecordHeader = 5;
inline constexpr std::size_t kRecordTag = 16;
inline constexpr std::size_t kRecordPlaintextMax = 16384;
inline constexpr std::size_t kRecordCiphertextMax = kRecordPlaintextMax + 256;

enum class ContentType : std::uint8_t {
  kChangeCipherSpec = 20,
  kAlert = 21,
  kHandshake = 22,
  kApplicationData = 23,
};

enum class Suite : std::uint16_t {
  kAes128GcmSha256 = 0x1301,
  kAes256GcmSha384 = 0x1302,
};

struct OpenedRecord {
  ContentType type = ContentType::kApplicationData;
  std::span<std::byte> content;  // inside the record that was given
};

// The content of a record that lay in two places, in order; either may be empty.
struct OpenedAcross {
  ContentType type = ContentType::kApplicationData;
  std::span<std::byte> first;
  std::span<std::byte> second;
};

// Keys of one direction, and the number of the next record. Wipes its secrets when destroyed.
class RecordKeys {
 public:
  RecordKeys() = default;
  ~RecordKeys();
  RecordKeys(const RecordKeys&) = delete;
  RecordKeys& operator=(const RecordKeys&) = delete;

  // `secret`: the traffic secret, as long as the suite's hash. `sequence`: records already used.
  // Errors: kMalformed.
  Result<Done> set(Suite suite, std::span<const std::uint8_t> secret, std::uint64_t sequence);
  // The next generation (KeyUpdate, RFC 8446 7.2); the sequence starts over.
  void advance();

  // `piece`: at most kRecordPlaintextMax bytes, with kRecordHeader of headroom and kRecordTag + 1
  // of tailroom. It becomes one record.
  void seal(Piece& piece, ContentType type);
  // `record`: one whole record, header included. Errors: kProtocol.
  Result<OpenedRecord> open(std::span<std::byte> record);
  // The same of a record in two places; its header is in the first. Opened in place, too.
  Result<OpenedAcross> open(std::span<std::byte> begin, std::span<std::byte> end);

  std::uint64_t sequence() const { return sequence_; }

 private:
  void derive();
  std::array<std::uint8_t, 12> next_nonce();

  Suite suite_ = Suite::kAes256GcmSha384;
  std::array<std::uint8_t, 48> secret_{};
  std::size_t secret_size_ = 0;
  std::array<std::uint8_t, 12> iv_{};
  std::uint64_t sequence_ = 0;
  bool set_ = false;
  EVP_AEAD_CTX aead_{};
};

// HKDF-Expand-Label of RFC 8446 section 7.1, with an empty context.
void expand_label(Suite suite, std::span<const std::uint8_t> secret, std::string_view label,
                  std::span<std::uint8_t> out);

}  // namespace mesh::tls
