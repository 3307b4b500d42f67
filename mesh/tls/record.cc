#include "mesh/tls/record.h"

#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "mesh/base/check.h"

namespace mesh::tls {
namespace {

const EVP_MD* digest_of(Suite suite) {
  return suite == Suite::kAes128GcmSha256 ? EVP_sha256() : EVP_sha384();
}

const EVP_AEAD* aead_of(Suite suite) {
  return suite == Suite::kAes128GcmSha256 ? EVP_aead_aes_128_gcm() : EVP_aead_aes_256_gcm();
}

std::uint8_t* bytes_of(std::byte* at) { return reinterpret_cast<std::uint8_t*>(at); }

}  // namespace

void expand_label(Suite suite, std::span<const std::uint8_t> secret, std::string_view label,
                  std::span<std::uint8_t> out) {
  std::array<std::uint8_t, 64> info{};
  constexpr std::string_view kPrefix = "tls13 ";
  MESH_CHECK(kPrefix.size() + label.size() + 4 <= info.size() && out.size() <= 255);
  std::size_t size = 0;
  info[size++] = 0;
  info[size++] = static_cast<std::uint8_t>(out.size());
  info[size++] = static_cast<std::uint8_t>(kPrefix.size() + label.size());
  for (const char c : kPrefix) info[size++] = static_cast<std::uint8_t>(c);
  for (const char c : label) info[size++] = static_cast<std::uint8_t>(c);
  info[size++] = 0;  // no context
  MESH_CHECK(HKDF_expand(out.data(), out.size(), digest_of(suite), secret.data(), secret.size(),
                         info.data(), size) == 1);
}

RecordKeys::~RecordKeys() {
  if (set_) EVP_AEAD_CTX_cleanup(&aead_);
  OPENSSL_cleanse(secret_.data(), secret_.size());
  OPENSSL_cleanse(iv_.data(), iv_.size());
}

Result<Done> RecordKeys::set(Suite suite, std::span<const std::uint8_t> secret,
                             std::uint64_t sequence) {
  if (secret.size() != EVP_MD_size(digest_of(suite)) || secret.size() > secret_.size()) {
    return failed(Reason::kMalformed, "traffic secret");
  }
  suite_ = suite;
  secret_size_ = secret.size();
  std::memcpy(secret_.data(), secret.data(), secret.size());
  derive();
  sequence_ = sequence;
  return Done{};
}

void RecordKeys::derive() {
  const std::span<const std::uint8_t> secret(secret_.data(), secret_size_);
  std::array<std::uint8_t, 32> key{};
  const std::size_t key_size = EVP_AEAD_key_length(aead_of(suite_));
  expand_label(suite_, secret, "key", std::span(key).first(key_size));
  expand_label(suite_, secret, "iv", iv_);
  if (set_) EVP_AEAD_CTX_cleanup(&aead_);
  MESH_CHECK(
      EVP_AEAD_CTX_init(&aead_, aead_of(suite_), key.data(), key_size, kRecordTag, nullptr) == 1);
  set_ = true;
  OPENSSL_cleanse(key.data(), key.size());
}

void RecordKeys::advance() {
  std::array<std::uint8_t, 48> next{};
  expand_label(suite_, {secret_.data(), secret_size_}, "traffic upd",
               std::span(next).first(secret_size_));
  secret_ = next;
  OPENSSL_cleanse(next.data(), next.size());
  derive();
  sequence_ = 0;
}

std::array<std::uint8_t, 12> RecordKeys::next_nonce() {
  std::array<std::uint8_t, 12> nonce = iv_;
  std::uint64_t number = sequence_++;
  for (std::size_t i = 12; number != 0; number >>= 8) {
    --i;
    nonce[i] = static_cast<std::uint8_t>(nonce[i] ^ (number & 0xff));
  }
  return nonce;
}

void RecordKeys::seal(Piece& piece, ContentType type) {
  MESH_CHECK(set_ && piece.size() <= kRecordPlaintextMax);
  *piece.grow_back(1) = static_cast<std::byte>(type);
  const std::size_t inner = piece.size();
  piece.grow_back(kRecordTag);
  piece.grow_front(kRecordHeader);
  std::uint8_t* const record = bytes_of(piece.bytes().data());
  const std::size_t length = inner + kRecordTag;
  record[0] = static_cast<std::uint8_t>(ContentType::kApplicationData);
  record[1] = 3;
  record[2] = 3;
  record[3] = static_cast<std::uint8_t>(length >> 8);
  record[4] = static_cast<std::uint8_t>(length & 0xff);
  const std::array<std::uint8_t, 12> nonce = next_nonce();
  std::size_t sealed = 0;
  MESH_CHECK(EVP_AEAD_CTX_seal(&aead_, record + kRecordHeader, &sealed, length, nonce.data(),
                               nonce.size(), record + kRecordHeader, inner, record,
                               kRecordHeader) == 1);
  MESH_CHECK(sealed == length);
}

Result<OpenedRecord> RecordKeys::open(std::span<std::byte> record) {
  MESH_CHECK(set_);
  if (record.size() < kRecordHeader + kRecordTag + 1)
    return failed(Reason::kProtocol, "tls record");
  std::uint8_t* const at = bytes_of(record.data());
  const std::array<std::uint8_t, 12> nonce = next_nonce();
  std::size_t size = 0;
  if (EVP_AEAD_CTX_open(&aead_, at + kRecordHeader, &size, record.size() - kRecordHeader,
                        nonce.data(), nonce.size(), at + kRecordHeader,
                        record.size() - kRecordHeader, at, kRecordHeader) != 1) {
    ERR_clear_error();
    return failed(Reason::kProtocol, "tls record does not open");
  }
  if (size > kRecordPlaintextMax + 1) return failed(Reason::kProtocol, "tls record too long");
  // The content type is the last byte that is not zero; zeros behind it are padding.
  while (size > 0 && at[kRecordHeader + size - 1] == 0) --size;
  if (size == 0) return failed(Reason::kProtocol, "tls record without a type");
  const auto type = static_cast<ContentType>(at[kRecordHeader + size - 1]);
  return OpenedRecord{.type = type, .content = record.subspan(kRecordHeader, size - 1)};
}

Result<OpenedAcross> RecordKeys::open(std::span<std::byte> begin, std::span<std::byte> end) {
  MESH_CHECK(set_ && begin.size() >= kRecordHeader);
  const std::span<std::byte> first = begin.subspan(kRecordHeader);
  if (first.size() + end.size() < kRecordTag + 1) return failed(Reason::kProtocol, "tls record");
  const std::array<CRYPTO_IOVEC, 2> body = {
      CRYPTO_IOVEC{bytes_of(first.data()), bytes_of(first.data()), first.size()},
      CRYPTO_IOVEC{bytes_of(end.data()), bytes_of(end.data()), end.size()}};
  const CRYPTO_IVEC header{bytes_of(begin.data()), kRecordHeader};
  const std::array<std::uint8_t, 12> nonce = next_nonce();
  std::size_t size = 0;
  if (EVP_AEAD_CTX_openv(&aead_, body.data(), body.size(), &size, nonce.data(), nonce.size(),
                         &header, 1) != 1) {
    ERR_clear_error();
    return failed(Reason::kProtocol, "tls record does not open");
  }
  if (size > kRecordPlaintextMax + 1) return failed(Reason::kProtocol, "tls record too long");
  const auto byte_at = [&](std::size_t index) {
    return index < first.size() ? first[index] : end[index - first.size()];
  };
  while (size > 0 && byte_at(size - 1) == std::byte{0}) --size;
  if (size == 0) return failed(Reason::kProtocol, "tls record without a type");
  const auto type = static_cast<ContentType>(byte_at(--size));
  const std::size_t in_first = std::min(size, first.size());
  return OpenedAcross{
      .type = type, .first = first.first(in_first), .second = end.first(size - in_first)};
}

}  // namespace mesh::tls
