#include "waypoint/route/rewrite.h"

#include <algorithm>
#include <array>

namespace mesh::waypoint::route {

namespace {

using config::HeaderChange;
using config::HeaderChanges;

void apply_one(const HeaderChange& change, const FormatContext& context, h2::Headers& headers) {
  const std::string value =
      change.has_operators ? expand(change.value, context) : std::string(change.value);
  if ((value.empty() && !change.keep_empty) || !http::is_header_value(value)) return;
  const bool there = http::header_text(headers, change.name).present();
  switch (change.action) {
    case HeaderChange::Action::kAppendOrAdd:
      break;
    case HeaderChange::Action::kAddIfAbsent:
      if (there) return;
      break;
    case HeaderChange::Action::kOverwriteIfExists:
      if (!there) return;
      [[fallthrough]];
    case HeaderChange::Action::kOverwriteOrAdd:
      http::set_header(headers, change.name, value);
      return;
  }
  http::add_header(headers, change.name, value);
}

template <class Pick>
void apply_all(const config::RouteTable& table, const Decision& decision, Pick&& pick,
               const FormatContext& context, h2::Headers& headers) {
  std::array<const HeaderChanges*, 3> places = {
      decision.route != nullptr ? &pick(*decision.route) : nullptr,
      decision.host != nullptr ? &pick(*decision.host) : nullptr, &pick(table)};
  if (table.most_specific_headers_win) std::ranges::reverse(places);
  if (decision.target != nullptr && !table.most_specific_headers_win) {
    apply(pick(*decision.target), context, headers);
  }
  for (const HeaderChanges* changes : places) {
    if (changes != nullptr) apply(*changes, context, headers);
  }
  if (decision.target != nullptr && table.most_specific_headers_win) {
    apply(pick(*decision.target), context, headers);
  }
}

void set_authority(std::string_view authority, bool tell, http::Request& request) {
  if (authority.empty() || authority == request.authority) return;
  if (tell) http::add_header(request.headers, "x-forwarded-host", request.authority);
  http::set_header(request.headers, "x-envoy-original-host", request.authority);
  request.authority = authority;
}

void rewrite_host(const config::Forward& forward, const config::WeightedTarget& target,
                  http::Request& request) {
  if (!target.host_rewrite.empty()) {
    set_authority(target.host_rewrite, forward.append_x_forwarded_host, request);
  } else if (!forward.host_rewrite.empty()) {
    set_authority(forward.host_rewrite, forward.append_x_forwarded_host, request);
  } else if (!forward.host_rewrite_header.empty()) {
    const auto named = http::header_text(request, forward.host_rewrite_header);
    const std::string authority(named.text());
    if (h2::is_authority(authority)) {
      set_authority(authority, forward.append_x_forwarded_host, request);
    }
  }
}

void rewrite_path(const config::Forward& forward, const config::RouteMatch& match,
                  http::Request& request) {
  std::string path;
  const std::string_view before = request.path_only();
  if (!forward.prefix_rewrite.empty()) {
    path = replace_prefix(match.path, before, forward.prefix_rewrite);
  } else if (forward.rewrite_regex != nullptr) {
    path = forward.rewrite_regex->replace_all(before, forward.rewrite_substitution);
    if (!path.starts_with('/')) path.insert(path.begin(), '/');
  } else {
    return;
  }
  if (path == before) return;
  http::set_header(request.headers, "x-envoy-original-path", request.path);
  path += std::string_view(request.path).substr(before.size());
  request.path = std::move(path);
}

}  // namespace

void apply(const HeaderChanges& changes, const FormatContext& context, h2::Headers& headers) {
  for (const std::string& name : changes.remove) http::remove_header(headers, name);
  for (const HeaderChange& change : changes.add) apply_one(change, context, headers);
}

std::string replace_prefix(const config::PathMatch& match, std::string_view path,
                           std::string_view replacement) {
  using Kind = config::PathMatch::Kind;
  // The other kinds have matched all of the path.
  std::string_view rest;
  if (match.kind == Kind::kPrefix || match.kind == Kind::kSegmentPrefix) {
    rest = path.substr(std::min(match.value.size(), path.size()));
  }
  const bool segments = match.kind == Kind::kSegmentPrefix;
  if (segments && replacement.ends_with('/') && rest.starts_with('/')) rest.remove_prefix(1);
  std::string replaced(replacement);
  if (segments && !replaced.ends_with('/') && !rest.empty() && !rest.starts_with('/')) {
    replaced += '/';
  }
  replaced += rest;
  if (!replaced.starts_with('/')) replaced.insert(replaced.begin(), '/');
  return replaced;
}

void rewrite_request(const config::RouteTable& table, const Decision& decision,
                     const FormatContext& context, http::Request& request) {
  apply_all(
      table, decision,
      [](const auto& place) -> const HeaderChanges& { return place.request_headers; }, context,
      request.headers);
  const config::Forward* forward = decision.forward();
  if (forward == nullptr || decision.target == nullptr) return;
  rewrite_host(*forward, *decision.target, request);
  rewrite_path(*forward, decision.route->match, request);
}

void rewrite_response(const config::RouteTable& table, const Decision& decision,
                      const FormatContext& context, h2::Headers& headers) {
  apply_all(
      table, decision,
      [](const auto& place) -> const HeaderChanges& { return place.response_headers; }, context,
      headers);
}

void rewrite_mirrored(const config::Mirror& mirror, const FormatContext& context,
                      http::Request& request) {
  apply(mirror.request_headers, context, request.headers);
  if (!mirror.host_rewrite.empty()) {
    request.authority = mirror.host_rewrite;
  } else if (mirror.append_shadow) {
    // "host:80" becomes "host-shadow:80".
    const auto colon = request.authority.rfind(':');
    const auto bracket = request.authority.rfind(']');
    const bool has_port =
        colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
    request.authority.insert(has_port ? colon : request.authority.size(), "-shadow");
  }
}

void strip_internal_headers(h2::Headers& headers) {
  static constexpr std::string_view kInternal[] = {
      "x-envoy-attempt-count",
      "x-envoy-decorator-operation",
      "x-envoy-downstream-service-cluster",
      "x-envoy-downstream-service-node",
      "x-envoy-expected-rq-timeout-ms",
      "x-envoy-external-address",
      "x-envoy-force-trace",
      "x-envoy-hedge-on-per-try-timeout",
      "x-envoy-internal",
      "x-envoy-ip-tags",
      "x-envoy-is-timeout-retry",
      "x-envoy-max-retries",
      "x-envoy-original-host",
      "x-envoy-original-path",
      "x-envoy-original-url",
      "x-envoy-retriable-header-names",
      "x-envoy-retriable-status-codes",
      "x-envoy-retry-grpc-on",
      "x-envoy-retry-on",
      "x-envoy-upstream-alt-stat-name",
      "x-envoy-upstream-rq-per-try-timeout-ms",
      "x-envoy-upstream-rq-timeout-alt-response",
      "x-envoy-upstream-rq-timeout-ms",
      "x-envoy-upstream-stream-duration-ms",
  };
  std::erase_if(headers, [](const h2::Header& header) {
    return header.name.starts_with("x-envoy-") &&
           std::ranges::find(kInternal, header.name) != std::end(kInternal);
  });
}

}  // namespace mesh::waypoint::route
