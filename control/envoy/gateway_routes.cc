#include "control/envoy/gateway_routes.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "control/envoy/build.h"
#include "control/envoy/route_limits.h"
#include "control/envoy/route_pieces.h"
#include "control/status_routes.h"
#include "envoy/route.pb.h"

namespace mesh::control {
namespace {

namespace route = envoy::config::route::v3;
using manifest::Backend;
using manifest::MatchType;
using manifest::ParentRef;

bool is_core(const std::string& group) { return group.empty() || group == "core"; }

// What a route is to a port of a service.
enum class Bond {
  kNone,
  kProducer,  // of the service's namespace, or the waypoint's: for everybody's requests
  kConsumer,  // of another: for requests from there
};

Bond bond(const std::vector<ParentRef>& parents, const manifest::Metadata& route,
          const Build& build, const CatalogService& service, std::uint16_t port) {
  const bool named = std::any_of(parents.begin(), parents.end(), [&](const ParentRef& parent) {
    const std::string& ns = parent.ns.empty() ? route.ns : parent.ns;
    if (parent.name != service.name || ns != service.ns) return false;
    if (parent.port != 0 && parent.port != port) return false;
    if (is_core(parent.group) && parent.kind == "Service") return !service.is_entry;
    return parent.kind == "ServiceEntry" && service.is_entry;
  });
  if (!named) return Bond::kNone;
  const bool ours = route.ns == service.ns || route.ns == build.client.gateway->metadata.ns;
  return ours ? Bond::kProducer : Bond::kConsumer;
}

// A rule with one of its matches: what becomes one route.
struct Candidate {
  const manifest::Metadata* metadata = nullptr;
  const std::vector<ParentRef>* parents = nullptr;
  std::string from;  // the namespace of a consumer, or empty: everybody
  manifest::Kind kind = manifest::Kind::kHttpRoute;
  std::size_t rule = 0;
  std::string_view rule_name;
  std::size_t position = 0;  // of the match in its rule
  MatchType path_type = MatchType::kPrefix;
  std::string path;
  std::string method;
  const std::vector<manifest::NamedMatch>* headers = nullptr;
  const std::vector<manifest::NamedMatch>* query = nullptr;
  const manifest::RouteFilters* filters = nullptr;
  const std::vector<Backend>* backends = nullptr;
  manifest::RouteTimeouts timeouts;
  const std::optional<manifest::RouteRetry>* retry = nullptr;
};

bool precedes(const Candidate& a, const Candidate& b) {
  const auto rank = [](const Candidate& one) {
    const int kind = one.path_type == MatchType::kExact   ? 0
                     : one.path_type == MatchType::kRegex ? 1
                                                          : 2;
    const auto count = [](const auto* list) {
      return list == nullptr ? 0L : -static_cast<long>(list->size());
    };
    // Those of a namespace together, and before everybody's.
    return std::tuple(one.from.empty(), one.from, kind, -static_cast<long>(one.path.size()),
                      one.method.empty(), count(one.headers), count(one.query),
                      one.metadata->created.empty(), one.metadata->created, one.metadata->ns,
                      one.metadata->name, one.rule, one.position);
  };
  return rank(a) < rank(b);
}

void add_matches(const manifest::HttpRule& rule, const Candidate& base,
                 std::vector<Candidate>& into) {
  static const std::vector<manifest::HttpMatch> kEverything(1);
  const auto& matches = rule.matches.empty() ? kEverything : rule.matches;
  for (std::size_t i = 0; i < matches.size(); ++i) {
    Candidate one = base;
    one.position = i;
    one.path_type = matches[i].path_type;
    one.path = matches[i].path;
    one.method = matches[i].method;
    one.headers = &matches[i].headers;
    one.query = &matches[i].query;
    one.timeouts = rule.timeouts;
    one.retry = &rule.retry;
    into.push_back(std::move(one));
  }
}

// What a gRPC method is as a path.
void set_grpc_path(const manifest::GrpcMatch& match, Candidate& to) {
  const bool regex = match.type == MatchType::kRegex;
  if (match.service.empty() && match.method.empty()) {
    to.path = "/";
  } else if (!regex && match.method.empty()) {
    to.path = "/" + match.service;
  } else if (!regex && !match.service.empty()) {
    to.path_type = MatchType::kExact;
    to.path = "/" + match.service + "/" + match.method;
  } else {
    to.path_type = MatchType::kRegex;
    const std::string any = "[^/]+";
    const std::string method = regex ? match.method : quoted(match.method);
    to.path = "/" + (match.service.empty() ? any : match.service) + "/" +
              (match.method.empty() ? any : method);
  }
}

void add_matches(const manifest::GrpcRule& rule, const Candidate& base,
                 std::vector<Candidate>& into) {
  static const std::vector<manifest::GrpcMatch> kEverything(1);
  const auto& matches = rule.matches.empty() ? kEverything : rule.matches;
  for (std::size_t i = 0; i < matches.size(); ++i) {
    Candidate one = base;
    one.position = i;
    set_grpc_path(matches[i], one);
    one.headers = &matches[i].headers;
    into.push_back(std::move(one));
  }
}

template <class Route>
void add_candidates(manifest::Kind kind, Build& build, const CatalogService& service,
                    std::uint16_t port, std::vector<Candidate>& into) {
  for (const Route* route : build.world.all<Route>()) {
    const Bond its = bond(route->parents, route->metadata, build, service, port);
    if (its == Bond::kNone) continue;
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < route->rules.size(); ++i) {
      Candidate base;
      base.metadata = &route->metadata;
      base.parents = &route->parents;
      if (its == Bond::kConsumer) base.from = route->metadata.ns;
      base.kind = kind;
      base.rule = i;
      base.rule_name = route->rules[i].name;
      names.insert(base.rule_name);
      base.filters = &route->rules[i].filters;
      base.backends = &route->rules[i].backends;
      add_matches(route->rules[i], base, into);
    }
    note_limits_of_nothing(build, {kind, route->metadata.ns, route->metadata.name}, route->metadata,
                           names);
  }
}

// Only requests of who is in that namespace.
void fill_source(const Build& build, const std::string& ns, route::RouteMatch* to) {
  auto* state = to->add_filter_state();
  state->set_key("io.istio.peer_principal");
  state->mutable_string_match()->set_prefix("spiffe://" + build.settings.trust_domain + "/ns/" +
                                            ns + "/sa/");
}

void fill_match(const Candidate& from, route::RouteMatch* to) {
  to->mutable_case_sensitive()->set_value(true);
  if (from.path_type == MatchType::kExact) {
    to->set_path(from.path);
  } else if (from.path_type == MatchType::kRegex) {
    to->mutable_safe_regex()->set_regex(from.path);
  } else if (from.path == "/" || from.path.empty()) {
    to->set_prefix("/");
  } else {
    to->set_path_separated_prefix(
        from.path.ends_with('/') ? from.path.substr(0, from.path.size() - 1) : from.path);
  }
  const auto fill = [](const manifest::NamedMatch& match, auto* into) {
    into->set_name(match.name);
    if (match.type == MatchType::kRegex) {
      into->mutable_string_match()->mutable_safe_regex()->set_regex(match.value);
    } else {
      into->mutable_string_match()->set_exact(match.value);
    }
  };
  if (!from.method.empty()) fill({MatchType::kExact, ":method", from.method}, to->add_headers());
  const auto each = [&fill](const std::vector<manifest::NamedMatch>* matches, auto add) {
    if (matches == nullptr) return;
    std::map<std::string, const manifest::NamedMatch*> sorted;  // the first of a name counts
    for (const manifest::NamedMatch& match : *matches) sorted.emplace(match.name, &match);
    for (const auto& [name, match] : sorted) fill(*match, add());
  };
  each(from.headers, [to] { return to->add_headers(); });
  each(from.query, [to] { return to->add_query_parameters(); });
}

// The cluster of a backend; one that may not be used has a name that no cluster has.
std::string backend_cluster(Build& build, const Candidate& from, const manifest::Target& target,
                            bool http) {
  const std::string& ns = target.ns.empty() ? from.metadata->ns : target.ns;
  const std::string name = target.name + "." + ns + ".svc." + build.settings.cluster_domain;
  const bool consumed =
      from.parents != nullptr && is_consumed(*from.parents, from.metadata->ns, target);
  if (!consumed && !may_route_to(build.world, from.kind, from.metadata->ns, target)) {
    return "refused|" + std::to_string(target.port) + "||" + name;
  }
  const CatalogService* service = build.catalog.of_service(ns, target.name);
  if (service == nullptr) {
    return "inbound-vip|" + std::to_string(target.port) + (http ? "|http|" : "|tcp|") + name;
  }
  return build.cluster(*service, target.port, http);
}

void fill_path_rewrite(const manifest::PathRewrite& rewrite, const std::string& prefix, auto* to,
                       bool redirects) {
  if (!rewrite.prefix) {
    if constexpr (requires { to->set_path_redirect(std::string()); }) {
      if (redirects) return to->set_path_redirect(rewrite.value);
    }
    auto* regex = to->mutable_regex_rewrite();
    regex->mutable_pattern()->set_regex("^[^?]*");
    // A backslash is the only character with a meaning here.
    std::string value;
    for (const char c : rewrite.value) value += c == '\\' ? "\\\\" : std::string(1, c);
    regex->set_substitution(value.empty() ? "/" : value);
    return;
  }
  std::string value = rewrite.value;
  while (value.ends_with('/')) value.pop_back();
  if (prefix == "/" || prefix.empty()) return to->set_prefix_rewrite(value + "/");
  if (!value.empty()) return to->set_prefix_rewrite(value);
  // "/v1" and "/v1/" become "/", "/v1/a" becomes "/a".
  auto* regex = to->mutable_regex_rewrite();
  regex->mutable_pattern()->set_regex("^" + quoted(prefix) + "/?");
  regex->set_substitution("/");
}

void fill_redirect(const manifest::Redirect& from, const Candidate& rule, std::uint16_t port,
                   route::RedirectAction* to) {
  to->set_host_redirect(from.hostname);
  if (!from.scheme.empty()) to->set_scheme_redirect(from.scheme);
  const std::uint16_t usual = from.scheme == "https" ? 443 : 80;
  const std::uint16_t wanted = from.port != 0 ? from.port : from.scheme.empty() ? port : usual;
  if (wanted != usual) to->set_port_redirect(wanted);
  if (from.path) fill_path_rewrite(*from.path, rule.path, to, true);
  set_redirect_status(from.status, to);
}

// A backend may change headers and the host; for anything else there is no place.
bool is_honoured(const manifest::RouteFilters& filters) {
  return !filters.redirect && !filters.cors && filters.mirrors.empty() &&
         filters.extensions.empty() && !(filters.rewrite && filters.rewrite->path);
}

bool is_plain(const manifest::RouteFilters& filters) {
  return is_honoured(filters) && !filters.request_headers && !filters.response_headers &&
         !filters.rewrite;
}

void fill_weighted(Build& build, const Candidate& from, const Backend& backend,
                   route::WeightedCluster::ClusterWeight* to) {
  std::string name = backend_cluster(build, from, backend.target, true);
  if (!is_honoured(backend.filters)) {
    build.note({from.kind, from.metadata->ns, from.metadata->name},
               "a backend's filters may change headers and the host: its share is refused");
    name = "refused|" + std::to_string(backend.target.port) + "||" + backend.target.name;
  }
  to->set_name(name);
  to->mutable_weight()->set_value(backend.weight);
  if (backend.filters.request_headers) {
    fill_request_headers(*backend.filters.request_headers, to);
  }
  if (backend.filters.response_headers) {
    fill_response_headers(*backend.filters.response_headers, to);
  }
  if (backend.filters.rewrite && !backend.filters.rewrite->hostname.empty()) {
    to->set_host_rewrite_literal(backend.filters.rewrite->hostname);
  }
}

// False: nobody may answer.
bool fill_destination(Build& build, const Candidate& from, route::RouteAction* to) {
  std::vector<const Backend*> used;
  for (const Backend& backend : *from.backends) {
    if (backend.weight > 0) used.push_back(&backend);
  }
  if (used.empty()) return false;
  to->set_cluster_not_found_response_code(route::RouteAction::INTERNAL_SERVER_ERROR);
  if (used.size() == 1 && is_plain(used[0]->filters)) {
    const std::string name = backend_cluster(build, from, used[0]->target, true);
    to->set_cluster(name);
    const auto use = build.clusters.find(name);
    if (use != build.clusters.end()) {
      fill_hash_policy(traffic_policy(use->second.rule, nullptr, used[0]->target.port), to);
    }
    return true;
  }
  for (const Backend* backend : used) {
    fill_weighted(build, from, *backend, to->mutable_weighted_clusters()->add_clusters());
  }
  return true;
}

void fill_times(const Candidate& from, route::RouteAction* to) {
  const bool retries = from.retry != nullptr && from.retry->has_value();
  const auto& [request, backend] = from.timeouts;
  if (request && !(backend && !retries)) fill_timeout(*request, to);
  if (backend && !retries) fill_timeout(*backend, to);
  if (backend && retries)
    set_duration(to->mutable_retry_policy()->mutable_per_try_timeout(), *backend);
  if (!retries) return;
  const manifest::RouteRetry& retry = **from.retry;
  route::RetryPolicy* policy = to->mutable_retry_policy();
  policy->mutable_num_retries()->set_value(retry.attempts.value_or(1));
  for (const std::uint16_t code : retry.codes) policy->add_retriable_status_codes(code);
  if (retry.backoff && retry.backoff->count() > 0) {
    set_duration(policy->mutable_retry_back_off()->mutable_base_interval(), *retry.backoff);
  }
}

void fill_action(Build& build, const Candidate& from, std::uint16_t port, route::Route* to) {
  const manifest::RouteFilters& filters = *from.filters;
  if (!filters.extensions.empty()) return to->mutable_direct_response()->set_status(500);
  if (filters.request_headers) fill_request_headers(*filters.request_headers, to);
  if (filters.response_headers) fill_response_headers(*filters.response_headers, to);
  if (filters.cors) fill_cors(*filters.cors, to);
  if (filters.redirect) return fill_redirect(*filters.redirect, from, port, to->mutable_redirect());
  route::RouteAction* action = to->mutable_route();
  fill_defaults(action);
  if (!fill_destination(build, from, action)) {
    return to->mutable_direct_response()->set_status(500);
  }
  fill_times(from, action);
  if (filters.rewrite) {
    if (!filters.rewrite->hostname.empty()) {
      action->set_host_rewrite_literal(filters.rewrite->hostname);
    }
    if (filters.rewrite->path) fill_path_rewrite(*filters.rewrite->path, from.path, action, false);
  }
  for (const manifest::Mirror& mirror : filters.mirrors) {
    const double share =
        mirror.denominator == 0 ? 0 : 100.0 * mirror.numerator / mirror.denominator;
    add_mirror(backend_cluster(build, from, mirror.target, true), share, action);
  }
}

void add_route(Build& build, const CatalogService& service, std::uint16_t port,
               const Candidate& from, route::VirtualHost* into) {
  route::Route* to = into->add_routes();
  to->set_name(from.metadata->ns + "." + from.metadata->name + "." + std::to_string(from.rule));
  add_origin(to->mutable_metadata(), "gateway.networking.k8s.io/v1",
             from.kind == manifest::Kind::kGrpcRoute ? "grpcroute" : "httproute", from.metadata->ns,
             from.metadata->name);
  set_operation(service.host, port, to);
  fill_match(from, to->mutable_match());
  if (!from.from.empty()) fill_source(build, from.from, to->mutable_match());
  fill_action(build, from, port, to);
  const manifest::ObjectKey author{from.kind, from.metadata->ns, from.metadata->name};
  if (!keep_route(build, author, into)) return;
  limit_route(build, author, *from.metadata, from.rule_name, into);
}

}  // namespace

bool add_gateway_routes(Build& build, const CatalogService& service, const CatalogPort& port,
                        route::VirtualHost* into) {
  std::vector<Candidate> candidates;
  add_candidates<manifest::HttpRoute>(manifest::Kind::kHttpRoute, build, service, port.number,
                                      candidates);
  add_candidates<manifest::GrpcRoute>(manifest::Kind::kGrpcRoute, build, service, port.number,
                                      candidates);
  std::sort(candidates.begin(), candidates.end(), precedes);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& from = candidates[i];
    add_route(build, service, port.number, from, into);
    // A consumer's routes are all that its requests have.
    const bool last = i + 1 == candidates.size() || candidates[i + 1].from != from.from;
    if (from.from.empty() || !last) continue;
    route::Route* nothing = into->add_routes();
    fill_source(build, from.from, nothing->mutable_match());
    nothing->mutable_match()->set_prefix("/");
    nothing->mutable_direct_response()->set_status(404);
  }
  return !candidates.empty() && candidates.back().from.empty();
}

std::vector<std::pair<std::string, std::uint32_t>> tcp_backends(Build& build,
                                                                const CatalogService& service,
                                                                const CatalogPort& port) {
  const manifest::TcpRoute* oldest = nullptr;
  const auto age = [](const manifest::TcpRoute* route) {
    return std::tuple(route->metadata.created.empty(), route->metadata.created, route->metadata.ns,
                      route->metadata.name);
  };
  for (const auto* route : build.world.all<manifest::TcpRoute>()) {
    if (bond(route->parents, route->metadata, build, service, port.number) != Bond::kProducer)
      continue;
    if (oldest == nullptr || age(route) < age(oldest)) oldest = route;
  }
  std::vector<std::pair<std::string, std::uint32_t>> backends;
  if (oldest == nullptr || oldest->rules.empty()) return backends;
  Candidate from;
  from.metadata = &oldest->metadata;
  from.kind = manifest::Kind::kTcpRoute;
  for (const Backend& backend : oldest->rules.front().backends) {
    if (backend.weight == 0) continue;
    backends.emplace_back(backend_cluster(build, from, backend.target, false), backend.weight);
  }
  // A route without backends sends its connections nowhere.
  if (backends.empty()) backends.emplace_back("refused|" + std::to_string(port.number) + "||", 1);
  return backends;
}

}  // namespace mesh::control
