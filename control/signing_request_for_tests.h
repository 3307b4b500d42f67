#pragma once
// PEM signing requests, right and wrong ones: for tests only.

#include <string>

namespace mesh::control {

struct SigningRequest {
  enum class KeyKind { kP256, kP384, kRsa, kEd25519 };

  KeyKind key = KeyKind::kP256;
  std::string uri = {};         // of the subjectAltName; empty: none
  std::string other_name = {};  // a further one, as OpenSSL spells it: "DNS:example.com"
  bool authority = false;       // asks for CA:TRUE
  bool bad_signature = false;
};

std::string make_signing_request(const SigningRequest& options);

}  // namespace mesh::control
