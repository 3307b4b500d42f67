// RequestAuthentication: whose tokens are believed. A rule that cannot be honoured as written is
// an error, because one that is weaker than written believes somebody else's tokens.

#include <algorithm>

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxRules = 4096;
constexpr std::size_t kMaxHeaders = 64;
constexpr std::size_t kMaxSpaceDelimited = 64;
constexpr std::size_t kMaxKeysBytes = 256u << 10;

JwtRule read_rule(Fields& fields) {
  JwtRule rule;
  rule.issuer = fields.required_text("issuer");
  rule.audiences = fields.texts("audiences");
  rule.jwks_uri = fields.text("jwksUri", fields.text("jwks_uri"));
  rule.jwks = fields.text("jwks");
  if (!rule.jwks.empty() && !rule.jwks_uri.empty()) {
    fields.error("jwks", "cannot be combined with jwksUri");
  }
  if (rule.jwks.size() > kMaxKeysBytes) fields.error("jwks", "is larger than 256 KiB");
  const bool fits = rule.jwks_uri.empty() || rule.jwks_uri.starts_with("https://") ||
                    rule.jwks_uri.starts_with("http://");
  if (!fits) fields.error("jwksUri", "must be an http or https address");
  for (Fields& header : fields.maps("fromHeaders", kMaxHeaders)) {
    rule.from_headers.push_back(
        {.name = header.required_text("name"), .prefix = header.text("prefix")});
    header.finish();
  }
  rule.from_params = fields.texts("fromParams");
  rule.from_cookies = fields.texts("fromCookies");
  rule.payload_header = fields.text("outputPayloadToHeader");
  for (Fields& claim : fields.maps("outputClaimToHeaders", kMaxHeaders)) {
    rule.claim_headers.push_back(
        {.header = claim.required_text("header"), .claim = claim.required_text("claim")});
    claim.finish();
  }
  rule.forward = fields.flag("forwardOriginalToken", false);
  rule.timeout = fields.duration("timeout");
  rule.space_delimited_claims = fields.texts("spaceDelimitedClaims");
  if (rule.space_delimited_claims.size() > kMaxSpaceDelimited) {
    fields.error("spaceDelimitedClaims", "has more than 64 entries");
  }
  if (std::ranges::find(rule.space_delimited_claims, "") != rule.space_delimited_claims.end()) {
    fields.error("spaceDelimitedClaims", "has an empty name");
  }
  fields.finish();
  return rule;
}

}  // namespace

RequestAuthentication read_request_authentication(Fields& document, Metadata metadata) {
  RequestAuthentication authentication;
  authentication.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  authentication.selector = read_selector(spec);
  authentication.targets = read_targets(spec, authentication.selector.has_value());
  for (Fields& rule : spec.maps("jwtRules", kMaxRules)) {
    authentication.rules.push_back(read_rule(rule));
  }
  spec.finish();
  return authentication;
}

}  // namespace mesh::manifest
