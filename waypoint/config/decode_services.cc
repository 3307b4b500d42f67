// Filters that ask a service: ext_authz, ext_proc, the global rate limit.

#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {
namespace {

std::vector<StringMatch> patterns(Input& in, const Tree& at, std::string_view name) {
  std::vector<StringMatch> made;
  const Tree* list = in.object(at, name);
  if (list == nullptr) return made;
  for (const Tree* one : in.list(*list, "patterns")) made.push_back(string_match(in, *one));
  return made;
}

// GrpcService: the cluster, its authority, how long to wait.
void grpc_service(Input& in, const Tree& at, std::string& cluster, std::string& authority,
                  std::chrono::milliseconds& timeout) {
  timeout = in.duration(at, "timeout", timeout);
  const Tree* service = in.object(at, "envoyGrpc");
  if (service == nullptr) return in.refuse(at, "a service that is not a cluster (envoyGrpc)");
  cluster = in.text(*service, "clusterName");
  authority = in.text(*service, "authority");
  if (cluster.empty()) in.refuse(*service, "a service without a cluster");
  for (const Tree* metadata : in.list(at, "initialMetadata")) in.refuse(*metadata, "not supported");
}

std::vector<std::pair<std::string, std::string>> added_headers(Input& in, const Tree& at,
                                                               std::string_view name) {
  std::vector<std::pair<std::string, std::string>> made;
  for (const Tree* one : in.list(at, name)) {
    made.emplace_back(changed_header_name(in, *one, in.text(*one, "key")), in.text(*one, "value"));
  }
  return made;
}

void http_service(Input& in, const Tree& at, ExtAuthz& made) {
  made.grpc = false;
  if (const Tree* uri = in.object(at, "serverUri")) {
    // The cluster says where; the service is told the host that the client asked for.
    Input::overlook(*uri, {"uri"});
    made.cluster = in.text(*uri, "cluster");
    made.timeout = in.duration(*uri, "timeout", made.timeout);
  }
  if (made.cluster.empty()) in.refuse(at, "a service without a cluster");
  made.path_prefix = in.text(at, "pathPrefix");
  if (!made.path_prefix.empty() && !made.path_prefix.starts_with('/')) {
    in.refuse(at, "a path prefix that does not begin with /");
  }
  if (const Tree* request = in.object(at, "authorizationRequest")) {
    const auto more = patterns(in, *request, "allowedHeaders");
    made.allowed_headers.insert(made.allowed_headers.end(), more.begin(), more.end());
    made.headers_to_add = added_headers(in, *request, "headersToAdd");
  }
  if (const Tree* response = in.object(at, "authorizationResponse")) {
    made.allowed_upstream_headers = patterns(in, *response, "allowedUpstreamHeaders");
    made.allowed_upstream_headers_to_append =
        patterns(in, *response, "allowedUpstreamHeadersToAppend");
    made.allowed_client_headers = patterns(in, *response, "allowedClientHeaders");
    made.allowed_client_headers_on_success =
        patterns(in, *response, "allowedClientHeadersOnSuccess");
    made.metadata_from_headers = patterns(in, *response, "dynamicMetadataFromHeaders");
  }
}

ExtAuthzOverride::Body sent_body(Input& in, const Tree& at) {
  ExtAuthzOverride::Body made;
  made.max_request_bytes = in.number(at, "maxRequestBytes", 0, 1 << 20);
  made.allow_partial_message = in.flag(at, "allowPartialMessage");
  made.pack_as_bytes = in.flag(at, "packAsBytes");
  if (made.max_request_bytes == 0) in.refuse(at, "a body of no bytes");
  return made;
}

// Asked only where the shadow rules of an RBAC filter named it.
void enabled_by(Input& in, const Tree& at, ExtAuthz& made) {
  constexpr std::string_view kSuffix = "shadow_effective_policy_id";
  const MetadataMatch match = metadata_match(in, at);
  const bool known = match.filter == "envoy.filters.http.rbac" && match.path.size() == 1 &&
                     match.path[0].ends_with(kSuffix) && !match.invert &&
                     match.value.kind == MetadataMatch::Value::Kind::kString;
  if (!known) return in.refuse(at, "a condition that is not a policy's name");
  made.enabled_by_policy = match.value.text;
  made.enabled_by_prefix = match.path[0].substr(0, match.path[0].size() - kSuffix.size());
}

}  // namespace

ExtAuthz ext_authz(Input& in, const Tree& at) {
  Input::secure(at);
  ExtAuthz made;
  const auto which = in.one_of(at, {"grpcService", "httpService"});
  made.allowed_headers = patterns(in, at, "allowedHeaders");
  made.disallowed_headers = patterns(in, at, "disallowedHeaders");
  if (which == "grpcService") {
    if (const Tree* service = in.object(at, which)) {
      grpc_service(in, *service, made.cluster, made.authority, made.timeout);
    }
  } else if (which == "httpService") {
    if (const Tree* service = in.object(at, which)) http_service(in, *service, made);
  } else {
    in.refuse(at, "no service to ask");
  }
  in.choice(at, "transportApiVersion", {"AUTO", "V2", "V3"});
  made.failure_mode_allow = in.flag(at, "failureModeAllow");
  if (const Tree* status = in.object(at, "statusOnError")) {
    made.status_on_error = http_status(in, *status, "code", 403);
  }
  if (const Tree* body = in.object(at, "withRequestBody")) {
    const ExtAuthzOverride::Body sent = sent_body(in, *body);
    made.max_request_bytes = sent.max_request_bytes;
    made.allow_partial_message = sent.allow_partial_message;
    made.pack_as_bytes = sent.pack_as_bytes;
  }
  made.clear_route_cache = in.flag(at, "clearRouteCache");
  made.failure_mode_allow_header = in.flag(at, "failureModeAllowHeaderAdd");
  made.metadata_namespaces = in.texts(at, "metadataContextNamespaces");
  if (const Tree* enabled = in.object(at, "filterEnabled")) {
    if (!enabled->has("defaultValue")) in.refuse(*enabled, "a fraction without a value");
    made.enabled = runtime_fraction(in, *enabled);
  }
  if (const Tree* deny = in.object(at, "denyAtDisable")) {
    made.deny_at_disable = in.flag(*deny, "defaultValue");
    Input::overlook(*deny, {"runtimeKey"});
  }
  // Flags that say no are no wish.
  for (const std::string_view name : {"includePeerCertificate", "includeTlsSession"}) {
    if (in.flag(at, name)) in.refuse(at, std::string(name) + " is not supported");
  }
  if (const Tree* condition = in.object(at, "filterEnabledMetadata"))
    enabled_by(in, *condition, made);
  // What an answer asks for is checked in any case.
  Input::overlook(at, {"statPrefix", "validateMutations"});
  return made;
}

ExtAuthzOverride ext_authz_override(Input& in, const Tree& at) {
  ExtAuthzOverride made;
  made.disabled = in.flag(at, "disabled");
  const Tree* settings = in.object(at, "checkSettings");
  if (settings == nullptr) return made;
  for (const Tree* pair : in.map(*settings, "contextExtensions")) {
    made.context_extensions.emplace_back(pair->label, pair->text);
  }
  if (const Tree* body = in.object(*settings, "withRequestBody")) made.body = sent_body(in, *body);
  if (in.flag(*settings, "disableRequestBodyBuffering")) made.body = ExtAuthzOverride::Body();
  return made;
}

namespace {

void processing_mode(Input& in, const Tree& mode, ExtProc& made) {
  const auto send = [&](std::string_view name) {
    return static_cast<ExtProc::Send>(in.choice(mode, name, {"DEFAULT", "SEND", "SKIP"}));
  };
  // FULL_DUPLEX_STREAMED and GRPC are refused by their names.
  const auto body = [&](std::string_view name) {
    return static_cast<ExtProc::Body>(
        in.choice(mode, name, {"NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL"}));
  };
  made.request_header = send("requestHeaderMode");
  made.response_header = send("responseHeaderMode");
  made.request_body = body("requestBodyMode");
  made.response_body = body("responseBodyMode");
  made.request_trailer = send("requestTrailerMode");
  made.response_trailer = send("responseTrailerMode");
}

MutationRules mutation_rules(Input& in, const Tree& at) {
  MutationRules made{.allow_routing = in.flag(at, "allowAllRouting"),
                     .allow_envoy = in.flag(at, "allowEnvoy"),
                     .disallow_system = in.flag(at, "disallowSystem"),
                     .disallow_all = in.flag(at, "disallowAll"),
                     .disallow_is_error = in.flag(at, "disallowIsError")};
  if (const Tree* allow = in.object(at, "allowExpression")) {
    made.allow_expression = regex(in, *allow);
  }
  if (const Tree* disallow = in.object(at, "disallowExpression")) {
    made.disallow_expression = regex(in, *disallow);
  }
  return made;
}

}  // namespace

ExtProc ext_proc(Input& in, const Tree& at) {
  Input::secure(at);
  ExtProc made;
  if (const Tree* service = in.object(at, "grpcService")) {
    std::chrono::milliseconds whole{0};
    grpc_service(in, *service, made.cluster, made.authority, whole);
    if (whole.count() > 0) in.note(*service, "timeout: each message has its own");
  } else {
    in.refuse(at, "no service to ask");
  }
  made.failure_mode_allow = in.flag(at, "failureModeAllow");
  made.message_timeout = in.duration(at, "messageTimeout", made.message_timeout);
  made.max_message_timeout = in.duration(at, "maxMessageTimeout", made.max_message_timeout);
  made.allow_mode_override = in.flag(at, "allowModeOverride");
  made.disable_immediate_response = in.flag(at, "disableImmediateResponse");
  made.route_cache = static_cast<ExtProc::RouteCache>(
      in.choice(at, "routeCacheAction", {"DEFAULT", "CLEAR", "RETAIN"}));
  if (in.flag(at, "disableClearRouteCache")) made.route_cache = ExtProc::RouteCache::kRetain;
  if (const Tree* mode = in.object(at, "processingMode")) processing_mode(in, *mode, made);
  if (const Tree* rules = in.object(at, "mutationRules")) made.rules = mutation_rules(in, *rules);
  if (const Tree* forward = in.object(at, "forwardRules")) {
    made.allowed_headers = patterns(in, *forward, "allowedHeaders");
    made.disallowed_headers = patterns(in, *forward, "disallowedHeaders");
  }
  for (const std::string_view name :
       {"observabilityMode", "sendBodyWithoutWaitingForHeaderResponse"}) {
    if (in.flag(at, name)) in.refuse(at, std::string(name) + " is not supported");
  }
  Input::overlook(at, {"statPrefix", "deferredCloseTimeout"});
  return made;
}

ExtProcOverride ext_proc_override(Input& in, const Tree& at) {
  ExtProcOverride made{.disabled = in.flag(at, "disabled")};
  const Tree* own = in.object(at, "overrides");
  if (own == nullptr) return made;
  if (own->has("failureModeAllow")) made.failure_mode_allow = in.flag(*own, "failureModeAllow");
  if (const Tree* mode = in.object(*own, "processingMode")) {
    made.mode.emplace();
    processing_mode(in, *mode, *made.mode);
  }
  return made;
}

RateLimitService rate_limit_service(Input& in, const Tree& at) {
  Input::secure(at);
  RateLimitService made{.domain = in.text(at, "domain")};
  made.timeout = in.duration(at, "timeout", made.timeout);
  made.failure_mode_deny = in.flag(at, "failureModeDeny");
  made.stage = static_cast<std::uint32_t>(in.number(at, "stage", 0, 10));
  made.grpc_resource_exhausted = in.flag(at, "rateLimitedAsResourceExhausted");
  const Tree* service = in.object(at, "rateLimitService");
  const Tree* grpc = service == nullptr ? nullptr : in.object(*service, "grpcService");
  if (grpc == nullptr) {
    in.refuse(at, "no service to ask");
    return made;
  }
  in.choice(*service, "transportApiVersion", {"AUTO", "V2", "V3"});
  grpc_service(in, *grpc, made.cluster, made.authority, made.timeout);
  if (const Tree* status = in.object(at, "rateLimitedStatus")) {
    made.status = http_status(in, *status, "code", 429);
    if (made.status < 400) made.status = 429;  // as Envoy does
  }
  if (const Tree* status = in.object(at, "statusOnError")) {
    made.status_on_error = http_status(in, *status, "code", 500);
  }
  if (made.domain.empty()) in.refuse(at, "limits without a domain");
  const std::string type = in.text(at, "requestType");
  if (!type.empty() && type != "both") in.refuse(at, "requestType " + type + " is not supported");
  made.disable_x_envoy_ratelimited = in.flag(at, "disableXEnvoyRatelimitedHeader");
  made.ratelimit_headers =
      in.choice(at, "enableXRatelimitHeaders", {"OFF", "DRAFT_VERSION_03"}) == 1;
  for (const Tree* one : in.list(at, "responseHeadersToAdd")) {
    if (const Tree* header = in.object(*one, "header")) {
      made.response_headers.emplace_back(changed_header_name(in, *one, in.text(*header, "key")),
                                         in.text(*header, "value"));
    }
    Input::overlook(*one, {"append", "appendAction"});
  }
  Input::overlook(at, {"statPrefix"});
  return made;
}

RateLimitOverride rate_limit_override(Input& in, const Tree& at) {
  RateLimitOverride made{.domain = in.text(at, "domain")};
  made.of_host = static_cast<RateLimitOverride::OfHost>(
      in.choice(at, "vhRateLimits", {"OVERRIDE", "INCLUDE", "IGNORE"}));
  // Envoy knows the field, and does nothing about it.
  in.choice(at, "overrideOption", {"DEFAULT"});
  made.rules = rate_limits(in, at, "rateLimits");
  for (const RateLimitDescriptor& rule : made.rules) {
    if (rule.stage != 0) in.refuse(at, "a stage in a route's own rate limits is not supported");
  }
  return made;
}

}  // namespace mesh::waypoint::config::parts
