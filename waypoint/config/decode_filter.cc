// HTTP filters by their messages, and what routes replace of them.

#include <algorithm>
#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

constexpr std::string_view kHttp = "envoy.extensions.filters.http.";

// Filters that change nothing about what passes, where it goes, or what it looks like: they count,
// tell peers about each other, or are what the waypoint does anyway.
bool is_ignored(std::string_view type) {
  static constexpr std::string_view kTypes[] = {
      "envoy.extensions.filters.http.router.v3.Router",
      "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
      "envoy.extensions.filters.http.set_filter_state.v3.Config",
      "io.istio.http.peer_metadata.Config",
      "stats.PluginConfig",
  };
  return std::ranges::find(kTypes, type) != std::end(kTypes);
}

std::vector<std::pair<std::string, std::string>> pairs(Input& in, const Tree& at,
                                                       std::string_view name) {
  std::vector<std::pair<std::string, std::string>> made;
  for (const Tree* one : in.list(at, name)) {
    made.emplace_back(in.text(*one, "key"), in.text(*one, "value"));
  }
  return made;
}

}  // namespace

std::uint16_t http_status(Input& in, const Tree& at, std::string_view name,
                          std::uint16_t otherwise) {
  // envoy.type.v3.StatusCode: canonical JSON has the names.
  static constexpr std::pair<std::string_view, std::uint16_t> kNames[] = {
      {"OK", 200},
      {"Created", 201},
      {"Accepted", 202},
      {"NonAuthoritativeInformation", 203},
      {"NoContent", 204},
      {"ResetContent", 205},
      {"PartialContent", 206},
      {"MultiStatus", 207},
      {"AlreadyReported", 208},
      {"IMUsed", 226},
      {"MultipleChoices", 300},
      {"MovedPermanently", 301},
      {"Found", 302},
      {"SeeOther", 303},
      {"NotModified", 304},
      {"UseProxy", 305},
      {"TemporaryRedirect", 307},
      {"PermanentRedirect", 308},
      {"BadRequest", 400},
      {"Unauthorized", 401},
      {"PaymentRequired", 402},
      {"Forbidden", 403},
      {"NotFound", 404},
      {"MethodNotAllowed", 405},
      {"NotAcceptable", 406},
      {"ProxyAuthenticationRequired", 407},
      {"RequestTimeout", 408},
      {"Conflict", 409},
      {"Gone", 410},
      {"LengthRequired", 411},
      {"PreconditionFailed", 412},
      {"PayloadTooLarge", 413},
      {"URITooLong", 414},
      {"UnsupportedMediaType", 415},
      {"RangeNotSatisfiable", 416},
      {"ExpectationFailed", 417},
      {"MisdirectedRequest", 421},
      {"UnprocessableEntity", 422},
      {"Locked", 423},
      {"FailedDependency", 424},
      {"UpgradeRequired", 426},
      {"PreconditionRequired", 428},
      {"TooManyRequests", 429},
      {"RequestHeaderFieldsTooLarge", 431},
      {"InternalServerError", 500},
      {"NotImplemented", 501},
      {"BadGateway", 502},
      {"ServiceUnavailable", 503},
      {"GatewayTimeout", 504},
      {"HTTPVersionNotSupported", 505},
      {"VariantAlsoNegotiates", 506},
      {"InsufficientStorage", 507},
      {"LoopDetected", 508},
      {"NotExtended", 510},
      {"NetworkAuthenticationRequired", 511}};
  const Tree* found = at.find(name);
  if (found == nullptr) return otherwise;
  for (const auto& [text, status] : kNames) {
    if (found->text == text) return status;
  }
  const auto status = in.number(at, name, otherwise, 599);
  if (status < 200) in.refuse(*found, "not a status");
  return static_cast<std::uint16_t>(status);
}

CorsPolicy cors_policy(Input& in, const Tree& at) {
  Input::secure(at);
  CorsPolicy policy;
  for (const Tree* origin : in.list(at, "allowOriginStringMatch")) {
    policy.origins.push_back(string_match(in, *origin));
  }
  policy.allow_methods = in.text(at, "allowMethods");
  policy.allow_headers = in.text(at, "allowHeaders");
  policy.expose_headers = in.text(at, "exposeHeaders");
  policy.max_age = in.text(at, "maxAge");
  policy.allow_credentials = in.flag(at, "allowCredentials");
  policy.allow_private_network = in.flag(at, "allowPrivateNetworkAccess");
  policy.forward_not_matching_preflights = in.flag(at, "forwardNotMatchingPreflights", true);
  if (const Tree* enabled = in.object(at, "filterEnabled")) {
    policy.enabled = runtime_fraction(in, *enabled);
  }
  if (const Tree* shadow = in.object(at, "shadowEnabled")) {
    policy.shadow = runtime_fraction(in, *shadow);
  }
  return policy;
}

Fault fault(Input& in, const Tree& at) {
  Fault made;
  if (const Tree* delay = in.object(at, "delay")) {
    made.delay = Fault::Delay{};
    made.delay->from_header = in.one_of(*delay, {"fixedDelay", "headerDelay"}) == "headerDelay";
    Input::overlook(*delay, {"headerDelay"});
    made.delay->fixed = in.duration(*delay, "fixedDelay", std::chrono::milliseconds(0));
    if (const Tree* part = in.object(*delay, "percentage"))
      made.delay->percentage = fraction(in, *part);
  }
  if (const Tree* abort = in.object(at, "abort")) {
    made.abort = Fault::Abort{};
    const auto which = in.one_of(*abort, {"httpStatus", "grpcStatus", "headerAbort"});
    made.abort->from_header = which == "headerAbort";
    Input::overlook(*abort, {"headerAbort"});
    if (which == "httpStatus") made.abort->http_status = http_status(in, *abort, which, 0);
    if (which == "grpcStatus") {
      made.abort->grpc_status = static_cast<std::uint32_t>(in.number(*abort, which, 0, 16));
    }
    if (const Tree* part = in.object(*abort, "percentage"))
      made.abort->percentage = fraction(in, *part);
  }
  made.headers = header_matches(in, at, "headers");
  made.upstream_cluster = in.text(at, "upstreamCluster");
  made.max_active = in.number(at, "maxActiveFaults");
  return made;
}

LocalRateLimit local_rate_limit(Input& in, const Tree& at) {
  Input::secure(at);
  LocalRateLimit made{.stat_prefix = in.text(at, "statPrefix")};
  const auto bucket = [&in](const Tree& from) {
    TokenBucket read{
        .max_tokens = static_cast<std::uint32_t>(in.number(from, "maxTokens")),
        .tokens_per_fill = static_cast<std::uint32_t>(in.number(from, "tokensPerFill", 1)),
        .fill_interval = in.duration(from, "fillInterval", std::chrono::milliseconds(0))};
    if (read.fill_interval < std::chrono::milliseconds(50))
      in.refuse(from, "fills faster than 50 ms");
    return read;
  };
  if (const Tree* whole = in.object(at, "tokenBucket")) made.bucket = bucket(*whole);
  if (const Tree* part = in.object(at, "filterEnabled")) made.enabled = runtime_fraction(in, *part);
  if (const Tree* part = in.object(at, "filterEnforced"))
    made.enforced = runtime_fraction(in, *part);
  if (const Tree* status = in.object(at, "status"))
    made.status = http_status(in, *status, "code", 429);
  made.grpc_resource_exhausted = in.flag(at, "rateLimitedAsResourceExhausted");
  made.stage = static_cast<std::uint32_t>(in.number(at, "stage", 0, 10));
  for (const Tree* one : in.list(at, "responseHeadersToAdd")) {
    if (const Tree* header = in.object(*one, "header")) {
      made.response_headers.emplace_back(changed_header_name(in, *one, in.text(*header, "key")),
                                         in.text(*header, "value"));
    }
    Input::overlook(*one, {"append", "appendAction"});
  }
  for (const Tree* one : in.list(at, "descriptors")) {
    LocalRateLimit::Descriptor descriptor{.entries = pairs(in, *one, "entries")};
    if (const Tree* own = in.object(*one, "tokenBucket")) descriptor.bucket = bucket(*own);
    made.descriptors.push_back(std::move(descriptor));
  }
  return made;
}

FilterUse http_filter(Input& in, const Tree& any, HttpFilter& made) {
  std::string_view type = any.any_type();
  if (type == "udpa.type.v1.TypedStruct" || type == "xds.type.v3.TypedStruct") {
    const Tree* url = any.find("typeUrl");
    if (url != nullptr) type = std::string_view(url->text).substr(url->text.rfind('/') + 1);
  }
  if (is_ignored(type)) {
    Input::overlook(&any);
    return FilterUse::kIgnored;
  }
  const auto is = [type](std::string_view name) {
    return type.starts_with(kHttp) && type.substr(kHttp.size()) == name;
  };
  if (is("rbac.v3.RBAC")) {
    made.settings = rbac_filter(in, any, true);
  } else if (is("jwt_authn.v3.JwtAuthentication")) {
    made.settings = jwt_filter(in, any);
  } else if (is("ext_authz.v3.ExtAuthz")) {
    made.settings = ext_authz(in, any);
  } else if (is("ext_proc.v3.ExternalProcessor")) {
    made.settings = ext_proc(in, any);
  } else if (is("fault.v3.HTTPFault")) {
    made.settings = fault(in, any);
  } else if (is("cors.v3.Cors")) {
    made.settings = CorsFilter{};
  } else if (is("local_ratelimit.v3.LocalRateLimit")) {
    made.settings = local_rate_limit(in, any);
  } else if (is("ratelimit.v3.RateLimit")) {
    made.settings = rate_limit_service(in, any);
  } else {
    Input::overlook(&any);
    made.settings = UnavailableFilter{.problem = std::string(type) + " is not supported"};
  }
  return FilterUse::kUsed;
}

FilterOverrides filter_overrides(Input& in, const Tree& at) {
  FilterOverrides made;
  for (const Tree* entry : in.map(at, "typedPerFilterConfig")) {
    const std::string_view type = entry->any_type();
    const auto is = [type](std::string_view name) {
      return type.starts_with(kHttp) && type.substr(kHttp.size()) == name;
    };
    if (is("cors.v3.CorsPolicy")) {
      made.cors = cors_policy(in, *entry);
    } else if (is("fault.v3.HTTPFault")) {
      made.fault = fault(in, *entry);
    } else if (is("local_ratelimit.v3.LocalRateLimit")) {
      made.local_rate_limit = local_rate_limit(in, *entry);
    } else if (is("rbac.v3.RBACPerRoute")) {
      const Tree* own = in.object(*entry, "rbac");
      made.rbac = own == nullptr ? RbacFilter{} : rbac_filter(in, *own, true);
    } else if (is("jwt_authn.v3.PerRouteConfig")) {
      const auto which = in.one_of(*entry, {"disabled", "requirementName"});
      if (which == "disabled") made.jwt_disabled = in.flag(*entry, which);
      if (which == "requirementName") made.jwt_requirement = in.text(*entry, which);
    } else if (is("ext_authz.v3.ExtAuthzPerRoute")) {
      made.ext_authz = ext_authz_override(in, *entry);
    } else if (is("ext_proc.v3.ExtProcPerRoute")) {
      made.ext_proc = ext_proc_override(in, *entry);
    } else if (is("ratelimit.v3.RateLimitPerRoute")) {
      made.rate_limit = rate_limit_override(in, *entry);
    } else {
      in.refuse(*entry, std::string(type) + " is not supported on a route");
    }
    Input::secure(*entry);
  }
  return made;
}

}  // namespace mesh::waypoint::config::parts
