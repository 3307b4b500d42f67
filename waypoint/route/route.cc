#include "waypoint/route/route.h"

#include <algorithm>

#include "waypoint/route/rewrite.h"

namespace mesh::waypoint::route {

namespace {

using config::Forward;
using config::Route;
using config::RouteTable;
using config::VirtualHost;

// "host:80" to "host"; "[::1]:80" to "[::1]".
std::string_view without_port(std::string_view authority) {
  const auto colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.find(']', colon) != std::string_view::npos) {
    return authority;
  }
  // An IPv6 address without brackets has no port.
  return authority.find(':') == colon || authority.front() == '[' ? authority.substr(0, colon)
                                                                  : authority;
}

// How well a domain fits: 0 not at all; exact before suffixes before prefixes before "*", longer
// before shorter.
std::size_t fit(std::string_view domain, std::string_view host) {
  constexpr std::size_t kExact = 3'000'000;
  constexpr std::size_t kSuffix = 2'000'000;
  constexpr std::size_t kPrefix = 1'000'000;
  if (domain == "*") return 1;
  if (domain == host) return kExact;
  if (domain.starts_with('*')) {
    const std::string_view rest = domain.substr(1);
    return host.size() > rest.size() && host.ends_with(rest) ? kSuffix + rest.size() : 0;
  }
  if (domain.ends_with('*')) {
    const std::string_view rest = domain.substr(0, domain.size() - 1);
    return host.size() > rest.size() && host.starts_with(rest) ? kPrefix + rest.size() : 0;
  }
  return 0;
}

const config::WeightedTarget* choose_target(const Forward& forward, http::Dice& dice) {
  if (forward.total_weight == 0) return nullptr;
  std::uint64_t ticket = dice.below(forward.total_weight);
  for (const config::WeightedTarget& target : forward.targets) {
    if (ticket < target.weight) return &target;
    ticket -= target.weight;
  }
  return nullptr;
}

std::string_view scheme_of(const config::Redirect& redirect, const http::Request& request) {
  if (!redirect.scheme.empty()) return redirect.scheme;
  return redirect.https ? std::string_view("https") : std::string_view(request.scheme);
}

// The request's own host; its port goes when the redirect brings one, or when it was the default
// of a scheme that changes.
std::string_view redirect_host(const config::Redirect& redirect, const http::Request& request) {
  const std::string_view authority = request.authority;
  const std::string_view host = without_port(authority);
  const std::string_view port = authority.substr(host.size());
  const bool scheme_changes = scheme_of(redirect, request) != request.scheme;
  const bool default_port =
      (request.scheme == "http" && port == ":80") || (request.scheme == "https" && port == ":443");
  return redirect.port != 0 || (scheme_changes && default_port) ? host : authority;
}

std::string redirect_path(const config::Redirect& redirect, const config::RouteMatch& match,
                          const http::Request& request) {
  std::string path;
  if (!redirect.path.empty()) {
    path = redirect.path;
    if (path.contains('?')) return path;  // its query replaces the request's
  } else if (!redirect.prefix_rewrite.empty()) {
    path = replace_prefix(match.path, request.path_only(), redirect.prefix_rewrite);
  } else if (redirect.rewrite_regex != nullptr) {
    path = redirect.rewrite_regex->replace_all(request.path_only(), redirect.rewrite_substitution);
  } else {
    path = request.path_only();
  }
  const std::string_view whole = request.path;
  if (!redirect.strip_query) path += whole.substr(request.path_only().size());
  return path;
}

}  // namespace

const Forward* Decision::forward() const {
  return route == nullptr ? nullptr : std::get_if<Forward>(&route->action);
}

const VirtualHost* find_host(const RouteTable& table, std::string_view authority) {
  // A service's table: one host for everything.
  if (table.hosts.size() == 1 && table.hosts[0].domains.size() == 1 &&
      table.hosts[0].domains[0] == "*") {
    return &table.hosts[0];
  }
  const std::string host =
      config::to_lower(table.ignore_port_in_host ? without_port(authority) : authority);
  const VirtualHost* best = nullptr;
  std::size_t best_fit = 0;
  for (const VirtualHost& candidate : table.hosts) {
    for (const std::string& domain : candidate.domains) {
      const std::size_t fits = fit(domain, host);
      if (fits > best_fit) {
        best = &candidate;
        best_fit = fits;
      }
    }
  }
  return best;
}

bool matches(const config::RouteMatch& match, const http::Request& request, http::Dice& dice,
             const Principals& who) {
  if (match.path.kind == config::PathMatch::Kind::kConnect) {
    if (request.method != "CONNECT") return false;
  } else if (!match.path.matches(request.path_only())) {
    return false;
  }
  if (match.grpc_only && !http::is_grpc(request.headers)) return false;
  for (const config::HeaderMatch& header : match.headers) {
    if (!header.holds_for(http::header_text(request, header.name).value())) return false;
  }
  for (const config::QueryMatch& parameter : match.query) {
    if (!parameter.holds_for(http::query_parameter(request.query(), parameter.name))) return false;
  }
  for (const config::PrincipalMatch& principal : match.principals) {
    const std::string_view text = principal.of_peer ? who.peer : who.own;
    if (text.empty() || !principal.text.matches(text)) return false;
  }
  return !match.fraction || match.fraction->hit(dice.roll());
}

Decision decide(const RouteTable& table, const http::Request& request, http::Dice& dice,
                const Principals& who) {
  Decision decision{.host = find_host(table, request.authority)};
  if (decision.host == nullptr) return decision;
  for (const auto& route : decision.host->routes) {
    if (!matches(route->match, request, dice, who)) continue;
    decision.route = route.get();
    break;
  }
  if (decision.route == nullptr) return decision;
  if (const Forward* forward = decision.forward()) {
    decision.target = choose_target(*forward, dice);
    decision.kind =
        decision.target == nullptr ? Decision::Kind::kNoTarget : Decision::Kind::kForward;
  } else {
    decision.kind = std::holds_alternative<config::Redirect>(decision.route->action)
                        ? Decision::Kind::kRedirect
                        : Decision::Kind::kDirect;
  }
  return decision;
}

std::string redirect_location(const config::Redirect& redirect, const config::RouteMatch& match,
                              const http::Request& request) {
  std::string location(scheme_of(redirect, request));
  location += "://";
  location += redirect.host.empty() ? redirect_host(redirect, request) : redirect.host;
  if (redirect.port != 0) location += ":" + std::to_string(redirect.port);
  return location + redirect_path(redirect, match, request);
}

std::vector<const config::Mirror*> mirrors(const Forward& forward, http::Dice& dice) {
  std::vector<const config::Mirror*> chosen;
  for (const config::Mirror& mirror : forward.mirrors) {
    if (mirror.fraction.hit(dice.roll())) chosen.push_back(&mirror);
  }
  return chosen;
}

}  // namespace mesh::waypoint::route
