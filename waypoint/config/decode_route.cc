// Route tables: envoy.config.route.v3.

#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

constexpr std::size_t kMaxRoutes = 65'536;  // of one table
constexpr std::size_t kMaxBody = 1 << 20;

HeaderChange header_change(Input& in, const Tree& at) {
  using Action = HeaderChange::Action;
  static constexpr Action kActions[] = {Action::kAppendOrAdd, Action::kAddIfAbsent,
                                        Action::kOverwriteOrAdd, Action::kOverwriteIfExists};
  HeaderChange change;
  const Tree* header = in.object(at, "header");
  if (header == nullptr) {
    in.refuse(at, "a header change without a header");
    return change;
  }
  change.name = changed_header_name(in, *header, in.text(*header, "key"));
  change.value = in.text(*header, "value");
  const auto action = in.choice(at, "appendAction",
                                {"APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT",
                                 "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"});
  change.action = kActions[action];
  // The old spelling: append false is overwrite.
  if (at.has("append") && !in.flag(at, "append", true)) change.action = Action::kOverwriteOrAdd;
  change.keep_empty = in.flag(at, "keepEmptyValue");
  change.has_operators = change.value.contains('%');
  if (change.value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
    in.refuse(*header, "a value that would end its line");
  }
  return change;
}

void direct_response(Input& in, const Tree& at, DirectResponse& made) {
  made.status = static_cast<std::uint16_t>(in.number(at, "status", 0, 599));
  if (made.status < 200) in.refuse(at, "a status below 200");
  const Tree* body = in.object(at, "body");
  if (body == nullptr) return;
  const auto which = in.one_of(*body, {"inlineString", "inlineBytes", "filename"});
  if (which == "inlineString") {
    made.body = in.text(*body, which, kMaxBody);
  } else {
    in.refuse(*body, "a body that is not inlineString");
  }
}

void redirect(Input& in, const Tree& at, Redirect& made) {
  static constexpr std::uint16_t kStatuses[] = {301, 302, 303, 307, 308};
  made.status = kStatuses[in.choice(
      at, "responseCode",
      {"MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT"})];
  in.one_of(at, {"httpsRedirect", "schemeRedirect"});
  made.https = in.flag(at, "httpsRedirect");
  made.scheme = in.text(at, "schemeRedirect");
  made.host = in.text(at, "hostRedirect");
  made.port = static_cast<std::uint32_t>(in.number(at, "portRedirect", 0, 65'535));
  in.one_of(at, {"pathRedirect", "prefixRewrite", "regexRewrite"});
  made.path = in.text(at, "pathRedirect");
  made.prefix_rewrite = in.text(at, "prefixRewrite");
  if (const Tree* rewrite = in.object(at, "regexRewrite")) {
    regex_rewrite(in, *rewrite, made.rewrite_regex, made.rewrite_substitution);
  }
  made.strip_query = in.flag(at, "stripQuery");
}

// What Istio writes about itself: where an object came from.
std::string origin(Input& in, const Tree& at) {
  const Tree* metadata = in.object(at, "metadata");
  const Tree* filters = metadata == nullptr ? nullptr : in.object(*metadata, "filterMetadata");
  const Tree* istio = filters == nullptr ? nullptr : in.object(*filters, "istio");
  Input::overlook(metadata);
  return istio == nullptr ? std::string() : in.text(*istio, "config");
}

Route route(Input& in, const Tree& at) {
  Route made{.name = in.text(at, "name")};
  if (const Tree* match = in.object(at, "match")) {
    made.match = route_match(in, *match);
  } else {
    in.refuse(at, "a route without a match");
  }
  const auto which = in.one_of(at, {"route", "redirect", "directResponse"});
  const Tree* action = which.empty() ? nullptr : in.object(at, which);
  if (action == nullptr) {
    in.refuse(at, "a route without an action");
  } else if (which == "route") {
    route_action(in, *action, made.action.emplace<Forward>());
  } else if (which == "redirect") {
    redirect(in, *action, made.action.emplace<Redirect>());
  } else {
    direct_response(in, *action, made.action.emplace<DirectResponse>());
  }
  made.request_headers = header_changes(in, at, "requestHeadersToAdd", "requestHeadersToRemove");
  made.response_headers = header_changes(in, at, "responseHeadersToAdd", "responseHeadersToRemove");
  made.overrides = filter_overrides(in, at);
  if (const Tree* decorator = in.object(at, "decorator")) {
    made.operation = in.text(*decorator, "operation");
  }
  made.origin = origin(in, at);
  return made;
}

// Mirrors that a host or the table has count where a route has none of its own.
void inherit(Route& route, const std::vector<Mirror>& mirrors,
             const std::optional<RetryPolicy>& retry) {
  auto* forward = std::get_if<Forward>(&route.action);
  if (forward == nullptr) return;
  if (forward->mirrors.empty()) forward->mirrors = mirrors;
  if (!forward->retry) forward->retry = retry;
}

std::vector<Mirror> mirrors_of(Input& in, const Tree& at) {
  std::vector<Mirror> mirrors;
  for (const Tree* one : in.list(at, "requestMirrorPolicies")) {
    Mirror mirror{.cluster = in.text(*one, "cluster")};
    if (mirror.cluster.empty()) in.refuse(*one, "a mirror without a cluster");
    if (const Tree* part = in.object(*one, "runtimeFraction")) {
      mirror.fraction = runtime_fraction(in, *part);
    }
    mirror.append_shadow = !in.flag(*one, "disableShadowHostSuffixAppend");
    Input::overlook(*one, {"traceSampled"});
    mirrors.push_back(std::move(mirror));
  }
  return mirrors;
}

VirtualHost virtual_host(Input& in, const Tree& at, const std::vector<Mirror>& table_mirrors,
                         std::size_t& routes) {
  VirtualHost made{.name = in.text(at, "name")};
  for (std::string& domain : in.texts(at, "domains")) {
    made.domains.push_back(to_lower(domain));
  }
  if (made.domains.empty()) in.refuse(at, "a virtual host without domains");
  if (in.choice(at, "requireTls", {"NONE", "EXTERNAL_ONLY", "ALL"}) != 0) {
    in.refuse(at, "requireTls is not supported");
  }
  std::vector<Mirror> mirrors = mirrors_of(in, at);
  if (mirrors.empty()) mirrors = table_mirrors;
  std::optional<RetryPolicy> retry;
  if (const Tree* policy = in.object(at, "retryPolicy")) retry = retry_policy(in, *policy);
  for (const Tree* one : in.list(at, "routes")) {
    if (++routes > kMaxRoutes) {
      in.refuse(*one, "more than 65536 routes");
      break;
    }
    Route read = route(in, *one);
    inherit(read, mirrors, retry);
    made.routes.push_back(std::make_shared<const Route>(std::move(read)));
  }
  made.request_headers = header_changes(in, at, "requestHeadersToAdd", "requestHeadersToRemove");
  made.response_headers = header_changes(in, at, "responseHeadersToAdd", "responseHeadersToRemove");
  made.overrides = filter_overrides(in, at);
  made.rate_limits = rate_limits(in, at, "rateLimits");
  made.include_attempt_count = in.flag(at, "includeRequestAttemptCount");
  return made;
}

void weighted_clusters(Input& in, const Tree& at, Forward& forward) {
  for (const Tree* one : in.list(at, "clusters")) {
    WeightedTarget target{.cluster = in.text(*one, "name")};
    if (target.cluster.empty()) in.refuse(*one, "a target without a cluster");
    target.weight = static_cast<std::uint32_t>(in.number(*one, "weight"));
    target.request_headers =
        header_changes(in, *one, "requestHeadersToAdd", "requestHeadersToRemove");
    target.response_headers =
        header_changes(in, *one, "responseHeadersToAdd", "responseHeadersToRemove");
    target.host_rewrite = in.text(*one, "hostRewriteLiteral");
    target.overrides = filter_overrides(in, *one);
    if (one->has("metadataMatch")) in.refuse(*one, "metadataMatch is not supported");
    forward.total_weight += target.weight;
    forward.targets.push_back(std::move(target));
  }
}

void rewrites(Input& in, const Tree& at, Forward& forward) {
  in.one_of(at, {"prefixRewrite", "regexRewrite", "pathRewritePolicy"});
  forward.prefix_rewrite = in.text(at, "prefixRewrite");
  if (const Tree* rewrite = in.object(at, "regexRewrite")) {
    regex_rewrite(in, *rewrite, forward.rewrite_regex, forward.rewrite_substitution);
  }
  if (const Tree* policy = at.find("pathRewritePolicy")) in.refuse(*policy, "not supported");
  in.one_of(at, {"hostRewriteLiteral", "autoHostRewrite", "hostRewriteHeader"});
  forward.host_rewrite = in.text(at, "hostRewriteLiteral");
  forward.auto_host_rewrite = in.flag(at, "autoHostRewrite");
  forward.host_rewrite_header = to_lower(in.text(at, "hostRewriteHeader"));
  forward.append_x_forwarded_host = in.flag(at, "appendXForwardedHost");
}

void timeouts(Input& in, const Tree& at, Forward& forward) {
  forward.timeout = in.duration(at, "timeout", forward.timeout);
  forward.idle_timeout = in.duration(at, "idleTimeout");
  forward.grpc_timeout_max = in.duration(at, "maxGrpcTimeout");
  forward.grpc_timeout_offset = in.duration(at, "grpcTimeoutOffset");
  if (const Tree* most = in.object(at, "maxStreamDuration")) {
    forward.max_stream_duration = in.duration(*most, "maxStreamDuration");
    if (const auto cap = in.duration(*most, "grpcTimeoutHeaderMax")) forward.grpc_timeout_max = cap;
    if (const auto offset = in.duration(*most, "grpcTimeoutHeaderOffset")) {
      forward.grpc_timeout_offset = offset;
    }
  }
}

}  // namespace

HeaderChanges header_changes(Input& in, const Tree& at, std::string_view add,
                             std::string_view remove) {
  HeaderChanges changes;
  for (const Tree* one : in.list(at, add)) changes.add.push_back(header_change(in, *one));
  for (const std::string& name : in.texts(at, remove)) {
    changes.remove.push_back(changed_header_name(in, at, name));
  }
  return changes;
}

void route_action(Input& in, const Tree& at, Forward& forward) {
  const auto which = in.one_of(at, {"cluster", "weightedClusters", "clusterHeader"});
  if (which == "cluster") {
    forward.targets.push_back({.cluster = in.text(at, which)});
    forward.total_weight = 1;
  } else if (which == "weightedClusters") {
    if (const Tree* several = in.object(at, which)) weighted_clusters(in, *several, forward);
  } else {
    in.refuse(at, "a route without a cluster (cluster or weightedClusters)");
  }
  if (at.has("metadataMatch")) in.refuse(at, "metadataMatch is not supported");
  static constexpr std::uint16_t kNotFound[] = {503, 404, 500};
  forward.cluster_not_found =
      kNotFound[in.choice(at, "clusterNotFoundResponseCode",
                          {"SERVICE_UNAVAILABLE", "NOT_FOUND", "INTERNAL_SERVER_ERROR"})];
  rewrites(in, at, forward);
  timeouts(in, at, forward);
  if (const Tree* policy = in.object(at, "retryPolicy")) forward.retry = retry_policy(in, *policy);
  forward.mirrors = mirrors_of(in, at);
  forward.hash = hash_policies(in, at, "hashPolicy");
  forward.high_priority = in.choice(at, "priority", {"DEFAULT", "HIGH"}) == 1;
  for (const Tree* one : in.list(at, "upgradeConfigs")) {
    auto& to = in.flag(*one, "enabled", true) ? forward.upgrades : forward.refused_upgrades;
    to.push_back(to_lower(in.text(*one, "upgradeType")));
    Input::overlook(*one, {"connectConfig"});
  }
  forward.rate_limits = rate_limits(in, at, "rateLimits");
  forward.include_virtual_host_rate_limits = in.flag(at, "includeVhRateLimits");
}

RouteTable route_table(Input& in, const Tree& at) {
  RouteTable table{.name = in.text(at, "name")};
  const std::vector<Mirror> mirrors = mirrors_of(in, at);
  std::size_t routes = 0;
  for (const Tree* one : in.list(at, "virtualHosts")) {
    table.hosts.push_back(virtual_host(in, *one, mirrors, routes));
  }
  table.request_headers = header_changes(in, at, "requestHeadersToAdd", "requestHeadersToRemove");
  table.response_headers =
      header_changes(in, at, "responseHeadersToAdd", "responseHeadersToRemove");
  table.overrides = filter_overrides(in, at);
  table.ignore_port_in_host = in.flag(at, "ignorePortInHostMatching");
  table.most_specific_headers_win = in.flag(at, "mostSpecificHeaderMutationsWins");
  Input::overlook(at, {"validateClusters", "maxDirectResponseBodySizeBytes"});
  return table;
}

}  // namespace mesh::waypoint::config::parts
