// What a route says about trying again, limiting and hashing.

#include <charconv>
#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

// "5xx,reset": one condition after the other. False: there is no such condition.
bool set_condition(std::string_view name, RetryPolicy& policy) {
  static constexpr std::pair<std::string_view, bool RetryPolicy::*> kConditions[] = {
      {"5xx", &RetryPolicy::on_5xx},
      {"gateway-error", &RetryPolicy::on_gateway_error},
      {"reset", &RetryPolicy::on_reset},
      {"reset-before-request", &RetryPolicy::on_reset_before_request},
      {"connect-failure", &RetryPolicy::on_connect_failure},
      {"refused-stream", &RetryPolicy::on_refused_stream},
      {"envoy-ratelimited", &RetryPolicy::on_envoy_ratelimited},
      {"retriable-4xx", &RetryPolicy::on_retriable_4xx},
      {"retriable-status-codes", &RetryPolicy::on_retriable_status_codes},
      {"retriable-headers", &RetryPolicy::on_retriable_headers},
      {"cancelled", &RetryPolicy::on_grpc_cancelled},
      {"deadline-exceeded", &RetryPolicy::on_grpc_deadline_exceeded},
      {"internal", &RetryPolicy::on_grpc_internal},
      {"resource-exhausted", &RetryPolicy::on_grpc_resource_exhausted},
      {"unavailable", &RetryPolicy::on_grpc_unavailable},
  };
  for (const auto& [known, member] : kConditions) {
    if (name != known) continue;
    policy.*member = true;
    return true;
  }
  return name.empty() || name == "http3-post-connect-failure";
}

void metadata_action(Input& in, const Tree& at, RateLimitAction& action) {
  action.kind = RateLimitAction::Kind::kMetadata;
  action.key = in.text(at, "descriptorKey");
  action.value = in.text(at, "defaultValue");
  action.skip_if_absent = in.flag(at, "skipIfAbsent");
  if (in.choice(at, "source", {"DYNAMIC", "ROUTE_ENTRY"}) != 0) {
    in.refuse(at, "metadata of routes is not supported");
  }
  const Tree* key = in.object(at, "metadataKey");
  if (key == nullptr) return in.refuse(at, "metadata without a key");
  action.metadata.push_back(in.text(*key, "key"));
  for (const Tree* step : in.list(*key, "path")) {
    action.metadata.push_back(in.text(*step, "key"));
  }
}

RateLimitAction rate_limit_action(Input& in, const Tree& at) {
  using Kind = RateLimitAction::Kind;
  RateLimitAction action;
  const auto which =
      in.one_of(at, {"sourceCluster", "destinationCluster", "requestHeaders", "remoteAddress",
                     "genericKey", "headerValueMatch", "maskedRemoteAddress", "metadata"});
  const Tree* settings = which.empty() ? nullptr : in.object(at, which);
  if (settings == nullptr) {
    in.refuse(at, "an action that is not supported");
  } else if (which == "sourceCluster") {
    action.kind = Kind::kSourceCluster;
  } else if (which == "destinationCluster") {
    action.kind = Kind::kDestinationCluster;
  } else if (which == "remoteAddress") {
    action.kind = Kind::kRemoteAddress;
  } else if (which == "requestHeaders") {
    action.kind = Kind::kRequestHeader;
    action.header = to_lower(in.text(*settings, "headerName"));
    action.key = in.text(*settings, "descriptorKey");
    action.skip_if_absent = in.flag(*settings, "skipIfAbsent");
  } else if (which == "genericKey") {
    action.key = in.text(*settings, "descriptorKey");
    action.value = in.text(*settings, "descriptorValue");
  } else if (which == "maskedRemoteAddress") {
    action.kind = Kind::kMaskedRemoteAddress;
    action.mask_v4 =
        static_cast<std::uint32_t>(in.number(*settings, "v4PrefixMaskLen", action.mask_v4, 32));
    action.mask_v6 =
        static_cast<std::uint32_t>(in.number(*settings, "v6PrefixMaskLen", action.mask_v6, 128));
  } else if (which == "metadata") {
    metadata_action(in, *settings, action);
  } else {
    action.kind = Kind::kHeaderValueMatch;
    action.key = in.text(*settings, "descriptorKey");
    action.value = in.text(*settings, "descriptorValue");
    action.expect_match = in.flag(*settings, "expectMatch", true);
    action.headers = header_matches(in, *settings, "headers");
  }
  return action;
}

void rate_limited(Input& in, const Tree& at, RetryPolicy& policy) {
  for (const Tree* one : in.list(at, "resetHeaders")) {
    policy.rate_limited_headers.push_back(
        {.name = to_lower(in.text(*one, "name")),
         .unix_timestamp = in.choice(*one, "format", {"SECONDS", "UNIX_TIMESTAMP"}) == 1});
  }
  policy.rate_limited_max = in.duration(at, "maxInterval", policy.rate_limited_max);
}

}  // namespace

RetryPolicy retry_policy(Input& in, const Tree& at) {
  RetryPolicy policy;
  const std::string conditions = in.text(at, "retryOn");
  for (std::string_view rest = conditions; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    const std::string_view name = rest.substr(0, comma);
    if (!set_condition(name, policy)) in.note(at, "retryOn " + std::string(name) + " is not known");
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  policy.retries = static_cast<std::uint32_t>(in.number(at, "numRetries", 1, 1'000));
  policy.per_try_timeout = in.duration(at, "perTryTimeout", Millis(0));
  policy.per_try_idle_timeout = in.duration(at, "perTryIdleTimeout", Millis(0));
  for (const Tree* one : in.list(at, "retriableStatusCodes")) {
    std::uint32_t status = 0;
    const std::string& text = one->text;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
    if (error != std::errc() || status < 100 || status > 599) in.refuse(*one, "not a status");
    policy.status_codes.push_back(status);
  }
  policy.response_headers = header_matches(in, at, "retriableHeaders");
  policy.request_headers = header_matches(in, at, "retriableRequestHeaders");
  if (const Tree* backoff = in.object(at, "retryBackOff")) {
    // Asked for by somebody, it is a promise: Gateway API's retry.backoff is the least wait.
    policy.backoff_base = in.duration(*backoff, "baseInterval", policy.backoff_base);
    policy.backoff_max = in.duration(*backoff, "maxInterval", policy.backoff_base * 10);
    policy.backoff_is_minimum = true;
    if (policy.backoff_base.count() == 0) in.refuse(*backoff, "no baseInterval");
  }
  if (const Tree* limited = in.object(at, "rateLimitedRetryBackOff"))
    rate_limited(in, *limited, policy);
  for (const Tree* predicate : in.list(at, "retryHostPredicate")) {
    Input::overlook(predicate);
    const Tree* config = predicate->find("typedConfig");
    const bool previous =
        config != nullptr &&
        config->any_type() ==
            "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
    policy.avoid_previous_hosts = policy.avoid_previous_hosts || previous;
    if (!previous) in.note(*predicate, "not supported");
  }
  policy.host_attempts =
      static_cast<std::uint32_t>(in.number(at, "hostSelectionRetryMaxAttempts", 1, 1'000));
  return policy;
}

std::vector<RateLimitDescriptor> rate_limits(Input& in, const Tree& at, std::string_view name) {
  std::vector<RateLimitDescriptor> made;
  for (const Tree* one : in.list(at, name)) {
    // A descriptor that is not what was asked for limits the wrong requests, or none.
    Input::secure(*one);
    RateLimitDescriptor descriptor{.stage =
                                       static_cast<std::uint32_t>(in.number(*one, "stage", 0, 10))};
    for (const Tree* action : in.list(*one, "actions")) {
      descriptor.actions.push_back(rate_limit_action(in, *action));
    }
    Input::overlook(*one, {"disableKey"});
    made.push_back(std::move(descriptor));
  }
  return made;
}

std::vector<HashPolicy> hash_policies(Input& in, const Tree& at, std::string_view name) {
  using Kind = HashPolicy::Kind;
  std::vector<HashPolicy> made;
  for (const Tree* one : in.list(at, name)) {
    HashPolicy policy{.terminal = in.flag(*one, "terminal")};
    const auto which =
        in.one_of(*one, {"header", "cookie", "connectionProperties", "queryParameter"});
    const Tree* settings = which.empty() ? nullptr : in.object(*one, which);
    if (settings == nullptr) {
      in.note(*one, "not supported");
      continue;
    }
    if (which == "header") {
      policy.kind = Kind::kHeader;
      policy.name = to_lower(in.text(*settings, "headerName"));
      if (const Tree* rewrite = in.object(*settings, "regexRewrite")) {
        regex_rewrite(in, *rewrite, policy.rewrite_regex, policy.rewrite_substitution);
      }
    } else if (which == "cookie") {
      policy.kind = Kind::kCookie;
      policy.name = in.text(*settings, "name");
      policy.cookie_path = in.text(*settings, "path");
      if (const auto ttl = in.duration(*settings, "ttl")) {
        policy.cookie_ttl = std::chrono::ceil<std::chrono::seconds>(*ttl);
      }
      if ((policy.name + policy.cookie_path).find_first_of("\r\n;\"") != std::string::npos) {
        in.refuse(*settings, "a cookie that would not be one");
      }
    } else if (which == "queryParameter") {
      policy.kind = Kind::kQuery;
      policy.name = in.text(*settings, "name");
    } else if (!in.flag(*settings, "sourceIp")) {
      continue;
    }
    made.push_back(std::move(policy));
  }
  return made;
}

}  // namespace mesh::waypoint::config::parts
