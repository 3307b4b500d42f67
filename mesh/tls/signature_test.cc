#include "mesh/tls/signature.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

namespace mesh::tls {
namespace {

std::string from_hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    bytes += static_cast<char>(digit(text[at]) * 16 + digit(text[at + 1]));
  }
  return bytes;
}

// RFC 8032 section 7.1, test 3.
const std::string kKey =
    from_hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
const std::string kMessage = from_hex("af82");
const std::string kSignature = from_hex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");

TEST_CASE("a signature is good for its message, its key and its algorithm alone") {
  const auto key = *PublicKey::ed25519(kKey);
  using enum SignatureAlgorithm;
  CHECK(key->verify(kEd25519, kMessage, kSignature));
  CHECK_FALSE(key->verify(kEd25519, kMessage + "x", kSignature));
  CHECK_FALSE(key->verify(kEd25519, kMessage, kSignature.substr(1)));
  CHECK_FALSE(key->verify(kEd25519, kMessage, ""));
  for (const auto other : {kRs256, kPs512, kEs256, kEs512}) {
    CHECK_FALSE(key->fits(other));
    CHECK_FALSE(key->verify(other, kMessage, kSignature));
  }
}

TEST_CASE("keys that are none are refused") {
  CHECK_FALSE(PublicKey::ed25519("short").has_value());
  const std::string coordinate(32, '\1');
  CHECK_FALSE(PublicKey::ec(PublicKey::Curve::kP256, coordinate, coordinate).has_value());
  CHECK_FALSE(PublicKey::ec(PublicKey::Curve::kP256, "", "").has_value());
  CHECK(PublicKey::rsa(std::string(128, '\xff'), "\x01\x01").error().reason == Reason::kTooLarge);
  CHECK(PublicKey::rsa(std::string(2'000, '\xff'), "\x01").error().reason == Reason::kTooLarge);
  CHECK(PublicKey::rsa(std::string(256, '\xff'), std::string(9, '\1')).error().reason ==
        Reason::kTooLarge);
  CHECK_FALSE(PublicKey::rsa(std::string(255, '\xff') + "\xfe", "\x03").has_value());  // even
  CHECK_FALSE(PublicKey::rsa(std::string(256, '\xff'), "").has_value());
}

}  // namespace
}  // namespace mesh::tls
