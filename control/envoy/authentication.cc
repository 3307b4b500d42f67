#include "control/envoy/authentication.h"

#include <set>
#include <string>

#include "control/envoy/authorization.h"
#include "control/envoy/build.h"
#include "control/envoy/checks.h"
#include "envoy/jwt_authn.pb.h"

namespace mesh::control {
namespace {

namespace jwt = envoy::extensions::filters::http::jwt_authn::v3;

// A set of keys that no signature fits: the private half of this one was never kept.
constexpr std::string_view kNoKeys =
    R"({"keys":[{"kty":"EC","crv":"P-256","kid":"none","use":"sig","alg":"ES256",)"
    R"("x":"cdY-8Eg4RfKACePW32sVeCGAolsCfvZoctKRL9bxZQ0",)"
    R"("y":"tpvibbKFIoid16vWEgZzn-cXnOqSe03mZdv5OTvLh4w"}]})";

void fill_provider(const manifest::JwtRule& rule, jwt::JwtProvider* to) {
  to->set_issuer(rule.issuer);
  for (const std::string& audience : rule.audiences) to->add_audiences(audience);
  to->mutable_local_jwks()->set_inline_string(rule.jwks.empty() ? std::string(kNoKeys) : rule.jwks);
  for (const manifest::JwtHeader& header : rule.from_headers) {
    if (!is_header_name(header.name)) continue;  // no request has such a header
    jwt::JwtHeader* from = to->add_from_headers();
    from->set_name(header.name);
    from->set_value_prefix(header.prefix);
  }
  for (const std::string& param : rule.from_params) to->add_from_params(param);
  for (const std::string& cookie : rule.from_cookies) to->add_from_cookies(cookie);
  to->set_forward(rule.forward);
  if (is_header_name(rule.payload_header)) to->set_forward_payload_header(rule.payload_header);
  to->set_payload_in_metadata("payload");
  std::set<std::string> spaced = {"permission", "scope"};
  spaced.insert(rule.space_delimited_claims.begin(), rule.space_delimited_claims.end());
  for (const std::string& claim : spaced) {
    to->mutable_normalize_payload_in_metadata()->add_space_delimited_claims(claim);
  }
  to->set_clear_route_cache(true);
  for (const manifest::ClaimHeader& claim : rule.claim_headers) {
    if (!is_header_name(claim.header)) continue;
    jwt::JwtClaimToHeader* header = to->add_claim_to_headers();
    header->set_header_name(claim.header);
    header->set_claim_name(claim.claim);
  }
}

void require_or_missing(const std::string& provider, jwt::JwtRequirementOrList* either) {
  either->add_requirements()->set_provider_name(provider);
  either->add_requirements()->mutable_allow_missing();
}

// One of them; or, of those whose tokens are there, every one must be good.
void fill_requirement(const std::vector<std::string>& providers, jwt::JwtRequirement* to) {
  if (providers.size() == 1) return require_or_missing(providers[0], to->mutable_requires_any());
  for (const std::string& provider : providers) {
    to->mutable_requires_any()->add_requirements()->set_provider_name(provider);
  }
  auto* all = to->mutable_requires_any()->add_requirements()->mutable_requires_all();
  for (const std::string& provider : providers) {
    require_or_missing(provider, all->add_requirements()->mutable_requires_any());
  }
}

}  // namespace

bool is_closed(Build& build, const CatalogService* service) {
  using manifest::RequestAuthentication;
  bool closed = false;
  for (const auto* object : build.world.all<RequestAuthentication>()) {
    if (object->closed == RequestAuthentication::Closed::kNo) continue;
    const manifest::Metadata& metadata = object->metadata;
    const bool everywhere = metadata.ns == build.settings.root_namespace ||
                            metadata.ns == build.client.gateway->metadata.ns ||
                            (service != nullptr && metadata.ns == service->ns);
    const bool here = object->closed == RequestAuthentication::Closed::kNamespace
                          ? everywhere
                          : targets_chain(object->targets, metadata.ns, build.settings,
                                          *build.client.gateway, service);
    if (!here) continue;
    closed = true;
    build.note({manifest::Kind::kRequestAuthentication, metadata.ns, metadata.name},
               "it cannot be read, and never was good here: HTTP to what it is for is denied");
  }
  return closed;
}

bool fill_authentication(Build& build, const CatalogService* service,
                         jwt::JwtAuthentication* into) {
  std::vector<std::string> providers;
  for (const auto* object : build.world.all<manifest::RequestAuthentication>()) {
    if (!targets_chain(object->targets, object->metadata.ns, build.settings, *build.client.gateway,
                       service)) {
      continue;
    }
    for (const manifest::JwtRule& rule : object->rules) {
      const std::string name = "origins-" + std::to_string(providers.size());
      fill_provider(rule, &(*into->mutable_providers())[name]);
      providers.push_back(name);
      if (rule.jwks.empty()) {
        build.note(
            {manifest::Kind::kRequestAuthentication, object->metadata.ns, object->metadata.name},
            "the keys of " + rule.issuer + " are not known yet: until then its tokens are refused");
      }
    }
  }
  if (providers.empty()) return false;
  jwt::RequirementRule* rule = into->add_rules();
  rule->mutable_match()->set_prefix("/");
  fill_requirement(providers, rule->mutable_required());
  into->set_bypass_cors_preflight(true);
  return true;
}

}  // namespace mesh::control
