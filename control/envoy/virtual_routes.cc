#include "control/envoy/virtual_routes.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "control/envoy/build.h"
#include "control/envoy/route_limits.h"
#include "control/envoy/route_pieces.h"
#include "envoy/fault.pb.h"
#include "envoy/route.pb.h"
#include "mesh/grpc/status.h"

namespace mesh::control {
namespace {

namespace route = envoy::config::route::v3;
using manifest::StringMatch;
using manifest::VirtualDestination;
using manifest::VirtualHttp;
using manifest::VirtualMatch;
using manifest::VirtualService;

bool has_mesh(const std::vector<std::string>& gateways) {
  return gateways.empty() || std::find(gateways.begin(), gateways.end(), "mesh") != gateways.end();
}

// Those for the service, the oldest first.
std::vector<const VirtualService*> services_for(const Build& build, const CatalogService& service) {
  std::vector<const VirtualService*> found;
  const std::string& own = build.client.gateway->metadata.ns;
  for (const VirtualService* virtual_service : build.world.all<VirtualService>()) {
    const std::string& ns = virtual_service->metadata.ns;
    if (ns != service.ns && ns != own) continue;
    if (!has_mesh(virtual_service->gateways)) continue;
    if (!is_exported(virtual_service->export_to, ns, own)) continue;
    const bool names_it = std::any_of(
        virtual_service->hosts.begin(), virtual_service->hosts.end(), [&](const std::string& host) {
          return host_covers(full_host(host, ns, build.settings), service.host);
        });
    if (names_it) found.push_back(virtual_service);
  }
  std::sort(found.begin(), found.end(), [](const VirtualService* a, const VirtualService* b) {
    const auto age = [](const VirtualService* one) {
      return std::tuple(one->metadata.created.empty(), one->metadata.created, one->metadata.ns,
                        one->metadata.name);
    };
    return age(a) < age(b);
  });
  return found;
}

// It can hold for a request that comes to this port of a waypoint.
bool can_hold(const VirtualMatch& match, std::uint16_t port) {
  return match.source_labels.empty() && match.source_namespace.empty() &&
         (match.port == 0 || match.port == port) && has_mesh(match.gateways);
}

void set_text(const StringMatch& match, envoy::type::matcher::v3::StringMatcher* to) {
  switch (match.type) {
    case StringMatch::Type::kExact:
      return to->set_exact(match.value);
    case StringMatch::Type::kPrefix:
      return to->set_prefix(match.value);
    case StringMatch::Type::kRegex:
      return to->mutable_safe_regex()->set_regex(match.value);
    case StringMatch::Type::kPresent:
      return to->mutable_safe_regex()->set_regex(".*");
  }
}

void fill_header_match(const std::string& name, const StringMatch& match, bool without,
                       route::HeaderMatcher* to) {
  to->set_name(name);
  if (match.type == StringMatch::Type::kPresent) {
    to->set_present_match(true);
    if (without) to->set_invert_match(true);
    return;
  }
  set_text(match, to->mutable_string_match());
  if (!without) return;
  to->set_invert_match(true);
  to->set_treat_missing_header_as_empty(true);
}

void fill_path(const StringMatch& uri, route::RouteMatch* to) {
  switch (uri.type) {
    case StringMatch::Type::kExact:
      return to->set_path(uri.value);
    case StringMatch::Type::kRegex:
      return to->mutable_safe_regex()->set_regex(uri.value);
    case StringMatch::Type::kPrefix:
      return to->set_prefix(uri.value);
    case StringMatch::Type::kPresent:
      return to->set_prefix("/");
  }
}

void fill_match(const VirtualMatch& from, route::RouteMatch* to) {
  if (from.uri) {
    fill_path(*from.uri, to);
  } else {
    to->set_prefix("/");
  }
  to->mutable_case_sensitive()->set_value(!from.ignore_uri_case);
  const std::pair<const char*, const std::optional<StringMatch>*> pseudo[] = {
      {":authority", &from.authority}, {":method", &from.method}, {":scheme", &from.scheme}};
  for (const auto& [name, match] : pseudo) {
    if (*match) fill_header_match(name, **match, false, to->add_headers());
  }
  for (const auto& [name, match] : from.headers) {
    fill_header_match(name, match, false, to->add_headers());
  }
  for (const auto& [name, match] : from.without_headers) {
    fill_header_match(name, match, true, to->add_headers());
  }
  for (const auto& [name, match] : from.query) {
    route::QueryParameterMatcher* query = to->add_query_parameters();
    query->set_name(name);
    if (match.type == StringMatch::Type::kPresent) {
      query->set_present_match(true);
    } else {
      set_text(match, query->mutable_string_match());
    }
  }
}

std::string destination_cluster(Build& build, const std::string& ns,
                                const VirtualDestination& destination, std::uint16_t port,
                                bool http) {
  const std::string host = full_host(destination.host, ns, build.settings);
  const CatalogService* service = build.catalog.find_host(ns, host);
  std::uint16_t wanted = destination.port != 0 ? destination.port : port;
  if (service == nullptr) {
    return "outbound|" + std::to_string(wanted) + "|" + destination.subset + "|" + host;
  }
  if (destination.port == 0 && service->ports.size() == 1) wanted = service->ports[0].number;
  return build.cluster(*service, wanted, http, destination.subset);
}

// "Host" among the headers to set means the request's own host. `to`: a RouteAction, or one of its
// clusters.
template <class Message>
manifest::HeaderChange without_host(const manifest::HeaderChange& from, Message* to) {
  manifest::HeaderChange rest = from;
  std::erase_if(rest.set, [&](const auto& header) {
    std::string name = header.first;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (name != "host" && name != ":authority") return false;
    to->set_host_rewrite_literal(header.second);
    return true;
  });
  return rest;
}

void fill_destinations(Build& build, const VirtualService& owner, const VirtualHttp& rule,
                       std::uint16_t port, route::Route* route, route::RouteAction* to) {
  const std::string& ns = owner.metadata.ns;
  if (rule.destinations.size() == 1) {
    const VirtualDestination& only = rule.destinations.front();
    const std::string name = destination_cluster(build, ns, only, port, true);
    to->set_cluster(name);
    fill_request_headers(without_host(only.request_headers, to), route);
    fill_response_headers(only.response_headers, route);
    const auto use = build.clusters.find(name);
    if (use == build.clusters.end()) return;
    fill_hash_policy(traffic_policy(use->second.rule, use->second.subset, use->second.port.number),
                     to);
    return;
  }
  for (const VirtualDestination& destination : rule.destinations) {
    if (destination.weight == 0) continue;
    auto* cluster = to->mutable_weighted_clusters()->add_clusters();
    cluster->set_name(destination_cluster(build, ns, destination, port, true));
    cluster->mutable_weight()->set_value(destination.weight);
    fill_request_headers(without_host(destination.request_headers, cluster), cluster);
    fill_response_headers(destination.response_headers, cluster);
  }
}

void fill_retries(const manifest::VirtualRetry& retries, route::RouteAction* to) {
  route::RetryPolicy* policy = to->mutable_retry_policy();
  policy->mutable_num_retries()->set_value(retries.attempts);
  if (retries.per_try) set_duration(policy->mutable_per_try_timeout(), *retries.per_try);
  if (retries.backoff) {
    set_duration(policy->mutable_retry_back_off()->mutable_base_interval(), *retries.backoff);
  }
  if (!retries.avoid_previous_hosts) policy->clear_retry_host_predicate();
  if (retries.on.empty()) return;
  // Numbers among the conditions are status codes.
  std::set<std::string> conditions;
  for (const std::string& one : retries.on) {
    const auto code = net::parse_port(one);
    if (code) policy->add_retriable_status_codes(*code);
    conditions.insert(code ? "retriable-status-codes" : one);
  }
  policy->set_retry_on(joined(conditions));
}

void set_percent(double percent, envoy::type::v3::FractionalPercent* to) {
  to->set_denominator(envoy::type::v3::FractionalPercent::MILLION);
  to->set_numerator(static_cast<std::uint32_t>(std::lround(percent * 10'000)));
}

// The numbers of google.rpc.Code by their names.
std::optional<std::uint32_t> grpc_code(std::string_view name) {
  for (std::uint32_t i = 0; i < grpc::kStatusCodeCount; ++i) {
    const auto code = static_cast<grpc::StatusCode>(i);
    if (grpc::status_code_name(code) == name || std::to_string(i) == name) return i;
  }
  return {};
}

void fill_fault(const manifest::VirtualFault& fault, route::Route* to) {
  envoy::extensions::filters::http::fault::v3::HTTPFault filter;
  if (fault.delay_percent > 0) {
    set_percent(fault.delay_percent, filter.mutable_delay()->mutable_percentage());
    set_duration(filter.mutable_delay()->mutable_fixed_delay(), fault.delay);
  }
  if (fault.abort_percent > 0) {
    set_percent(fault.abort_percent, filter.mutable_abort()->mutable_percentage());
    if (const auto code = grpc_code(fault.abort_grpc)) {
      filter.mutable_abort()->set_grpc_status(*code);
    } else {
      // Envoy takes no other.
      const bool usable = fault.abort_status >= 200 && fault.abort_status < 600;
      filter.mutable_abort()->set_http_status(usable ? fault.abort_status : 500);
    }
  }
  pack(filter, &(*to->mutable_typed_per_filter_config())["envoy.filters.http.fault"]);
}

void fill_rewrite(const VirtualHttp& rule, const VirtualMatch* match, route::RouteAction* to) {
  if (!rule.rewrite_authority.empty()) to->set_host_rewrite_literal(rule.rewrite_authority);
  if (!rule.rewrite_pattern.empty()) {
    to->mutable_regex_rewrite()->mutable_pattern()->set_regex(rule.rewrite_pattern);
    to->mutable_regex_rewrite()->set_substitution(rule.rewrite_substitution);
  }
  if (rule.rewrite_uri.empty()) return;
  const bool by_regex =
      match != nullptr && match->uri && match->uri->type == StringMatch::Type::kRegex;
  if (!by_regex) return to->set_prefix_rewrite(rule.rewrite_uri);
  to->mutable_regex_rewrite()->mutable_pattern()->set_regex("^[^?]*");
  to->mutable_regex_rewrite()->set_substitution(rule.rewrite_uri);
}

void fill_action(Build& build, const VirtualService& owner, const VirtualHttp& rule,
                 const VirtualMatch* match, std::uint16_t port, route::Route* to) {
  if (rule.cors) fill_cors(*rule.cors, to);
  if (rule.fault) fill_fault(*rule.fault, to);
  fill_response_headers(rule.response_headers, to);
  if (rule.redirect) {
    route::RedirectAction* redirect = to->mutable_redirect();
    redirect->set_host_redirect(rule.redirect->authority);
    if (!rule.redirect->uri.empty()) redirect->set_path_redirect(rule.redirect->uri);
    if (!rule.redirect->prefix.empty()) redirect->set_prefix_rewrite(rule.redirect->prefix);
    if (!rule.redirect->scheme.empty()) redirect->set_scheme_redirect(rule.redirect->scheme);
    if (rule.redirect->port != 0) redirect->set_port_redirect(rule.redirect->port);
    return set_redirect_status(rule.redirect->status, redirect);
  }
  if (rule.direct_status != 0) {
    to->mutable_direct_response()->set_status(rule.direct_status);
    if (!rule.direct_body.empty()) {
      to->mutable_direct_response()->mutable_body()->set_inline_string(rule.direct_body);
    }
    return;
  }
  route::RouteAction* action = to->mutable_route();
  fill_defaults(action);
  fill_request_headers(without_host(rule.request_headers, action), to);
  fill_destinations(build, owner, rule, port, to, action);
  if (rule.timeout) fill_timeout(*rule.timeout, action);
  if (rule.retries) fill_retries(*rule.retries, action);
  fill_rewrite(rule, match, action);
  for (const manifest::VirtualMirror& mirror : rule.mirrors) {
    add_mirror(destination_cluster(build, owner.metadata.ns, mirror.destination, port, true),
               mirror.percent, action);
  }
}

void add_route(Build& build, const VirtualService& owner, const VirtualHttp& rule,
               const VirtualMatch* match, const CatalogService& service, std::uint16_t port,
               route::VirtualHost* into) {
  route::Route* to = into->add_routes();
  to->set_name(match == nullptr || match->name.empty() ? rule.name
               : rule.name.empty()                     ? match->name
                                                       : rule.name + "." + match->name);
  add_origin(to->mutable_metadata(), "networking.istio.io/v1", "virtual-service", owner.metadata.ns,
             owner.metadata.name);
  set_operation(service.host, port, to);
  if (match != nullptr) {
    fill_match(*match, to->mutable_match());
  } else {
    to->mutable_match()->set_prefix("/");
  }
  fill_action(build, owner, rule, match, port, to);
  const manifest::ObjectKey author{manifest::Kind::kVirtualService, owner.metadata.ns,
                                   owner.metadata.name};
  if (keep_route(build, author, into)) {
    limit_route(build, author, owner.metadata, rule.name, into);
  }
}

}  // namespace

bool add_virtual_routes(Build& build, const CatalogService& service, const CatalogPort& port,
                        route::VirtualHost* into) {
  bool any = false;
  for (const VirtualService* owner : services_for(build, service)) {
    any |= !owner->http.empty();
    std::set<std::string_view> names;
    for (const VirtualHttp& rule : owner->http) names.insert(rule.name);
    note_limits_of_nothing(
        build, {manifest::Kind::kVirtualService, owner->metadata.ns, owner->metadata.name},
        owner->metadata, names);
    for (const VirtualHttp& rule : owner->http) {
      for (const VirtualMatch& match : rule.matches) {
        if (!can_hold(match, port.number)) continue;
        add_route(build, *owner, rule, &match, service, port.number, into);
      }
      if (!rule.matches.empty()) continue;
      add_route(build, *owner, rule, nullptr, service, port.number, into);
      return true;  // what follows would never be reached
    }
  }
  return any;
}

std::vector<std::pair<std::string, std::uint32_t>> virtual_tcp_backends(
    Build& build, const CatalogService& service, const CatalogPort& port) {
  std::vector<std::pair<std::string, std::uint32_t>> backends;
  for (const VirtualService* owner : services_for(build, service)) {
    for (const manifest::VirtualL4& rule : owner->tcp) {
      const bool holds =
          rule.matches.empty() ||
          std::any_of(rule.matches.begin(), rule.matches.end(),
                      [&](const manifest::VirtualL4Match& match) {
                        return (match.port == 0 || match.port == port.number) &&
                               match.destinations.empty() && match.source_labels.empty() &&
                               match.source_namespace.empty() && has_mesh(match.gateways);
                      });
      if (!holds) continue;
      for (const VirtualDestination& destination : rule.destinations) {
        if (destination.weight == 0 && rule.destinations.size() > 1) continue;
        backends.emplace_back(
            destination_cluster(build, owner->metadata.ns, destination, port.number, false),
            std::max<std::uint32_t>(1, destination.weight));
      }
      return backends;
    }
  }
  return backends;
}

}  // namespace mesh::control
