#include "waypoint/jwt/token.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "waypoint/jwt/json.h"

namespace mesh::waypoint::jwt {

namespace {

using http::Value;

// False: there and not a text.
bool read_text(const Value& from, std::string_view name, std::string& to) {
  const Value* found = from.member(name);
  if (found == nullptr) return true;
  to = found->text;
  return found->kind == Value::Kind::kString;
}

bool read_time(const Value& from, std::string_view name, std::optional<double>& to) {
  const Value* found = from.member(name);
  if (found == nullptr) return true;
  // Beyond this a double no longer counts seconds.
  constexpr double kMost = 9e15;
  if (found->kind != Value::Kind::kNumber || !std::isfinite(found->number) || found->number < 0 ||
      found->number > kMost) {
    return false;
  }
  to = found->number;
  return true;
}

bool read_audiences(const Value& from, std::vector<std::string>& to) {
  const Value* found = from.member("aud");
  if (found == nullptr) return true;
  if (found->kind == Value::Kind::kString) {
    to.push_back(found->text);
    return true;
  }
  if (found->kind != Value::Kind::kList) return false;
  for (const Value& one : found->list) {
    if (one.kind != Value::Kind::kString) return false;
    to.push_back(one.text);
  }
  return true;
}

bool read_header(std::string_view part, Token& token, Status& status) {
  const auto bytes = decode_base64url(part);
  const auto header = bytes ? parse_json(*bytes) : failed(Reason::kMalformed, "JWT header");
  if (!header || header->kind != Value::Kind::kObject) return false;
  // What must be understood and is not: RFC 7515 section 4.1.11. We understand no extension.
  if (header->member("crit") != nullptr) return false;
  std::string name;
  if (!read_text(*header, "alg", name) || name.empty()) return false;
  const auto algorithm = algorithm_of(name);
  if (!algorithm) {
    status = Status::kUnknownAlgorithm;
    return false;
  }
  token.algorithm = *algorithm;
  if (header->member("kid") == nullptr) return true;
  std::string key_id;
  if (!read_text(*header, "kid", key_id)) return false;
  if (!key_id.empty()) token.key_id = std::move(key_id);
  return true;
}

bool read_claims(std::string_view part, Token& token) {
  auto bytes = decode_base64url(part);
  if (!bytes) return false;
  token.payload = *std::move(bytes);
  auto claims = parse_json(token.payload);
  if (!claims || claims->kind != Value::Kind::kObject) return false;
  token.claims = *std::move(claims);
  return read_text(token.claims, "iss", token.issuer) &&
         read_text(token.claims, "sub", token.subject) &&
         read_audiences(token.claims, token.audiences) &&
         read_time(token.claims, "exp", token.expires) &&
         read_time(token.claims, "nbf", token.not_before) &&
         read_time(token.claims, "iat", token.issued);
}

// Envoy compares audiences without scheme and without the last slash.
std::string_view bare_audience(std::string_view audience) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (audience.starts_with(scheme)) {
      audience.remove_prefix(scheme.size());
      break;
    }
  }
  if (audience.ends_with('/')) audience.remove_suffix(1);
  return audience;
}

bool audience_allowed(const std::vector<std::string>& named,
                      const std::vector<std::string>& accepted) {
  if (accepted.empty()) return true;
  return std::ranges::any_of(named, [&accepted](const std::string& one) {
    return std::ranges::any_of(accepted, [&one](const std::string& other) {
      return !one.empty() && bare_audience(one) == bare_audience(other);
    });
  });
}

}  // namespace

std::string_view status_text(Status status) {
  switch (status) {
    case Status::kOk:
      return "OK";
    case Status::kMissing:
      return "Jwt is missing";
    case Status::kMalformed:
      return "Jwt is not in the form of Header.Payload.Signature";
    case Status::kSeveral:
      return "More than one Jwt";
    case Status::kUnknownAlgorithm:
      return "Jwt header [alg] is not supported";
    case Status::kUnknownIssuer:
      return "Jwt issuer is not configured";
    case Status::kUnknownKey:
      return "Jwks doesn't have key to match kid or alg from Jwt";
    case Status::kBadSignature:
      return "Jwt verification fails";
    case Status::kNoKeys:
      return "Jwks remote fetch is failed";
    case Status::kExpired:
      return "Jwt is expired";
    case Status::kNotYetValid:
      return "Jwt not yet valid";
    case Status::kNoExpiration:
      return "Jwt has no expiration";
    case Status::kLifetimeTooLong:
      return "Jwt lifetime exceeds the limit";
    case Status::kAudienceNotAllowed:
      return "Audiences in Jwt are not allowed";
    case Status::kSubjectNotAllowed:
      return "Subject in Jwt is not allowed";
    case Status::kUnknownRequirement:
      return "Wrong requirement_name";
  }
  return "Jwt verification fails";
}

int http_status(Status status) {
  return status == Status::kAudienceNotAllowed || status == Status::kSubjectNotAllowed ||
                 status == Status::kUnknownRequirement
             ? 403
             : 401;
}

std::optional<Token> parse_token(std::string_view text, Status& status) {
  status = Status::kMalformed;
  if (text.size() > kMaxTokenBytes || std::ranges::count(text, '.') != 2) return std::nullopt;
  const auto first = text.find('.');
  const auto second = text.rfind('.');
  Token token;
  if (!read_header(text.substr(0, first), token, status) ||
      !read_claims(text.substr(first + 1, second - first - 1), token)) {
    return std::nullopt;
  }
  auto signature = decode_base64url(text.substr(second + 1));
  if (!signature || signature->empty()) return std::nullopt;
  token.signature = *std::move(signature);
  token.signed_part = text.substr(0, second);
  status = Status::kOk;
  return token;
}

Status judge_claims(const Token& token, const config::JwtProvider& provider,
                    const std::vector<std::string>& audiences, std::chrono::sys_seconds now) {
  if (!provider.issuer.empty() && token.issuer != provider.issuer) return Status::kUnknownIssuer;
  const auto seconds = static_cast<double>(now.time_since_epoch().count());
  const auto skew = static_cast<double>(provider.clock_skew.count());
  if (token.not_before && *token.not_before > seconds + skew) return Status::kNotYetValid;
  if (token.expires && *token.expires + skew < seconds) return Status::kExpired;
  const bool bounded = provider.max_lifetime.count() > 0;
  if (!token.expires && (provider.require_expiration || bounded)) return Status::kNoExpiration;
  if (bounded) {
    const double from = token.not_before.value_or(token.issued.value_or(seconds));
    if (*token.expires - from > static_cast<double>(provider.max_lifetime.count())) {
      return Status::kLifetimeTooLong;
    }
  }
  if (provider.subject.kind != config::StringMatch::Kind::kNothing &&
      !provider.subject.matches(token.subject)) {
    return Status::kSubjectNotAllowed;
  }
  return audience_allowed(token.audiences, audiences) ? Status::kOk : Status::kAudienceNotAllowed;
}

Status judge_signature(const Token& token, const Keys& keys) {
  const auto id = token.key_id ? std::optional<std::string_view>(*token.key_id) : std::nullopt;
  switch (keys.check(token.algorithm, id, token.signed_part, token.signature)) {
    case Keys::Check::kGood:
      return Status::kOk;
    case Keys::Check::kBadSignature:
      return Status::kBadSignature;
    case Keys::Check::kNoKey:
      return Status::kUnknownKey;
  }
  return Status::kBadSignature;
}

}  // namespace mesh::waypoint::jwt
