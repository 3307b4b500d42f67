#pragma once
// Token: a JWT in compact form (RFC 7519, RFC 7515), taken apart and judged.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/tls/signature.h"
#include "waypoint/config/jwt.h"
#include "waypoint/http/value.h"
#include "waypoint/jwt/keys.h"

namespace mesh::waypoint::jwt {

inline constexpr std::size_t kMaxTokenBytes = 16'384;

// Why a token is not accepted. Closed set; the texts are Envoy's.
enum class Status : std::uint8_t {
  kOk,
  kMissing,
  kMalformed,
  kSeveral,  // more than one token where one belongs
  kUnknownAlgorithm,
  kUnknownIssuer,
  kUnknownKey,  // no key of that id and kind
  kBadSignature,
  kNoKeys,  // keys could not be had
  kExpired,
  kNotYetValid,
  kNoExpiration,
  kLifetimeTooLong,
  kAudienceNotAllowed,
  kSubjectNotAllowed,
  kUnknownRequirement,  // the route names one that is not there
};
std::string_view status_text(Status status);  // "Jwt is expired"
// What a client is told: 401, or 403 for an audience or a subject that is not allowed.
int http_status(Status status);

struct Token {
  tls::SignatureAlgorithm algorithm = tls::SignatureAlgorithm::kRs256;
  std::optional<std::string> key_id = {};
  http::Value claims = {};
  std::string payload = {};      // JSON, decoded
  std::string signed_part = {};  // "header.payload", as it came
  std::string signature = {};    // bytes
  std::string issuer = {};
  std::string subject = {};
  std::vector<std::string> audiences = {};
  std::optional<double> expires = {};  // seconds since 1970
  std::optional<double> not_before = {};
  std::optional<double> issued = {};
};

// Errors: the Status is kMalformed or kUnknownAlgorithm (then `status` says which).
std::optional<Token> parse_token(std::string_view text, Status& status);

// Everything but the signature. `audiences`: those that are accepted; empty: any.
Status judge_claims(const Token& token, const config::JwtProvider& provider,
                    const std::vector<std::string>& audiences, std::chrono::sys_seconds now);
Status judge_signature(const Token& token, const Keys& keys);

}  // namespace mesh::waypoint::jwt
