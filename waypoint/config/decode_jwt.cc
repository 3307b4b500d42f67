// Tokens: envoy.extensions.filters.http.jwt_authn.v3.

#include <algorithm>
#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

constexpr std::size_t kMaxJwks = 1 << 20;

std::string header_name(Input& in, const Tree& at, std::string_view name) {
  const std::string text = in.text(at, name);
  return text.empty() ? text : changed_header_name(in, at, text);
}

void remote_jwks(Input& in, const Tree& at, RemoteJwks& remote) {
  if (const Tree* uri = in.object(at, "httpUri")) {
    remote.uri = in.text(*uri, "uri");
    remote.cluster = in.text(*uri, "cluster");
    remote.timeout = in.duration(*uri, "timeout", remote.timeout);
  }
  if (remote.uri.empty()) in.refuse(at, "keys without a place to fetch them from");
  if (!remote.uri.starts_with("http://") && !remote.uri.starts_with("https://")) {
    in.refuse(at, "keys from a place that is no URL of HTTP");
  }
  remote.cache_for = in.duration(at, "cacheDuration", remote.cache_for);
  if (const Tree* async = in.object(at, "asyncFetch")) {
    remote.fetch_ahead = true;
    // Requests wait for the first keys here, not the listener; failures are repeated from 1 s on.
    Input::overlook(*async, {"fastListener", "failedRefetchDuration"});
  }
  Input::overlook(at, {"retryPolicy"});
}

void jwks(Input& in, const Tree& at, JwtProvider& provider) {
  const auto which = in.one_of(at, {"localJwks", "remoteJwks"});
  if (which == "remoteJwks") {
    if (const Tree* remote = in.object(at, which)) remote_jwks(in, *remote, provider.remote);
    return;
  }
  const Tree* local = in.object(at, "localJwks");
  const auto source = local == nullptr ? "" : in.one_of(*local, {"inlineString", "inlineBytes"});
  if (source != "inlineString") return in.refuse(at, "no inline keys (localJwks.inlineString)");
  provider.inline_jwks = in.text(*local, source, kMaxJwks);
}

JwtProvider provider(Input& in, const Tree& at) {
  JwtProvider made{.name = at.label};
  made.issuer = in.text(at, "issuer");
  made.audiences = in.texts(at, "audiences");
  if (const Tree* subjects = in.object(at, "subjects")) made.subject = string_match(in, *subjects);
  jwks(in, at, made);
  for (const Tree* one : in.list(at, "fromHeaders")) {
    made.from_headers.push_back(
        {.name = to_lower(in.text(*one, "name")), .value_prefix = in.text(*one, "valuePrefix")});
    if (made.from_headers.back().name.empty()) in.refuse(*one, "a location without a name");
  }
  made.from_params = in.texts(at, "fromParams");
  made.from_cookies = in.texts(at, "fromCookies");
  made.forward = in.flag(at, "forward");
  made.forward_payload_header = header_name(in, at, "forwardPayloadHeader");
  made.pad_forward_payload = in.flag(at, "padForwardPayloadHeader");
  made.payload_in_metadata = in.text(at, "payloadInMetadata");
  if (const Tree* normalize = in.object(at, "normalizePayloadInMetadata")) {
    made.space_delimited_claims = in.texts(*normalize, "spaceDelimitedClaims");
  }
  for (const Tree* one : in.list(at, "claimToHeaders")) {
    made.claim_to_headers.push_back(
        {.header = header_name(in, *one, "headerName"), .claim = in.text(*one, "claimName")});
    if (made.claim_to_headers.back().header.empty()) in.refuse(*one, "a claim without a header");
  }
  made.clock_skew = std::chrono::seconds(in.number(at, "clockSkewSeconds", 60, 86'400));
  if (made.clock_skew.count() == 0) made.clock_skew = std::chrono::seconds(60);
  made.require_expiration = in.flag(at, "requireExpiration");
  made.max_lifetime = std::chrono::ceil<std::chrono::seconds>(
      in.duration(at, "maxLifetime", std::chrono::milliseconds(0)));
  made.clear_route_cache = in.flag(at, "clearRouteCache");
  Input::overlook(at, {"jwtCacheConfig"});  // how much to remember, not what to accept
  return made;
}

JwtRequirement requirement(Input& in, const Tree& at, int depth) {
  using Kind = JwtRequirement::Kind;
  JwtRequirement made;
  if (depth > 16) {
    in.refuse(at, "requirements nested deeper than 16");
    return made;
  }
  const auto which = in.one_of(at, {"providerName", "providerAndAudiences", "requiresAny",
                                    "requiresAll", "allowMissingOrFailed", "allowMissing"});
  if (which == "providerName") {
    made.kind = Kind::kProvider;
    made.provider = in.text(at, which);
  } else if (which == "providerAndAudiences") {
    made.kind = Kind::kProvider;
    if (const Tree* both = in.object(at, which)) {
      made.provider = in.text(*both, "providerName");
      made.audiences = in.texts(*both, "audiences");
    }
  } else if (which == "requiresAny" || which == "requiresAll") {
    made.kind = which == "requiresAny" ? Kind::kAny : Kind::kAll;
    if (const Tree* several = in.object(at, which)) {
      for (const Tree* child : in.list(*several, "requirements")) {
        made.children.push_back(requirement(in, *child, depth + 1));
      }
    }
    if (made.children.empty()) in.refuse(at, "a requirement of nothing");
  } else if (which == "allowMissing" || which == "allowMissingOrFailed") {
    Input::overlook(at.find(which));
    made.kind = which == "allowMissing" ? Kind::kAllowMissing : Kind::kAllowMissingOrFailed;
  } else {
    made.kind = Kind::kNone;
  }
  return made;
}

void check_providers(Input& in, const Tree& at, const JwtRequirement& required,
                     const std::vector<JwtProvider>& providers) {
  if (required.kind == JwtRequirement::Kind::kProvider &&
      std::ranges::find(providers, required.provider, &JwtProvider::name) == providers.end()) {
    in.refuse(at, "the provider " + required.provider + " is not there");
  }
  for (const JwtRequirement& child : required.children) check_providers(in, at, child, providers);
}

}  // namespace

JwtFilter jwt_filter(Input& in, const Tree& at) {
  Input::secure(at);
  JwtFilter filter;
  for (const Tree* entry : in.map(at, "providers"))
    filter.providers.push_back(provider(in, *entry));
  for (const Tree* entry : in.map(at, "requirementMap")) {
    const auto made = filter.named.emplace(entry->label, requirement(in, *entry, 0)).first;
    check_providers(in, *entry, made->second, filter.providers);
  }
  for (const Tree* one : in.list(at, "rules")) {
    JwtRule rule;
    if (const Tree* match = in.object(*one, "match")) {
      rule.match = route_match(in, *match);
      if (!rule.match.principals.empty()) in.refuse(*match, "filterState: not supported here");
    } else {
      in.refuse(*one, "a rule without a match");
    }
    const auto which = in.one_of(*one, {"requires", "requirementName"});
    rule.required.kind = JwtRequirement::Kind::kNone;
    if (which == "requires") {
      if (const Tree* required = in.object(*one, which))
        rule.required = requirement(in, *required, 0);
    } else if (which == "requirementName") {
      const auto name = in.text(*one, which);
      const auto found = filter.named.find(name);
      if (found == filter.named.end()) in.refuse(*one, "the requirement " + name + " is not there");
      if (found != filter.named.end()) rule.required = found->second;
    }
    check_providers(in, *one, rule.required, filter.providers);
    filter.rules.push_back(std::move(rule));
  }
  filter.bypass_cors_preflight = in.flag(at, "bypassCorsPreflight");
  Input::overlook(at, {"statPrefix"});
  return filter;
}

}  // namespace mesh::waypoint::config::parts
