#include "mesh/policy/policy.h"

#include <algorithm>

namespace mesh::policy {
namespace {

bool any_matches(const std::vector<StringMatch>& values, std::string_view text) {
  return std::ranges::any_of(values, [&](const StringMatch& one) { return one.matches(text); });
}

bool any_is_caller(const std::vector<ServiceAccountMatch>& values,
                   const std::shared_ptr<const Caller>& caller) {
  if (!caller) return false;
  return std::ranges::any_of(values, [&](const ServiceAccountMatch& one) {
    return one.ns == caller->id().ns() && one.service_account == caller->id().service_account();
  });
}

// Unmapped here as well, whoever forgot it: ::ffff:10.0.0.2 must not slip past a DENY of 10.0.0.2.
bool any_contains(const std::vector<net::Cidr>& values, const net::IpAddress& ip) {
  const net::IpAddress plain = ip.unmapped();
  return std::ranges::any_of(values, [&](const net::Cidr& one) { return one.contains(plain); });
}

bool any_equals(const std::vector<std::uint16_t>& values, std::uint16_t port) {
  return std::ranges::find(values, port) != values.end();
}

// A field that is not set does not count; one that is set must hold.
template <class Values, class Matches>
bool field_holds(const Values& wanted, const Values& unwanted, const Matches& matches) {
  return (wanted.empty() || matches(wanted)) && (unwanted.empty() || !matches(unwanted));
}

}  // namespace

std::string_view scope_name(Scope scope) {
  switch (scope) {
    case Scope::kGlobal: return "global";
    case Scope::kNamespace: return "namespace";
    case Scope::kWorkload: return "workload";
  }
  return "?";
}

std::string_view action_name(Action action) {
  return action == Action::kAllow ? "allow" : "deny";
}

bool StringMatch::matches(std::string_view text) const {
  switch (kind) {
    case Kind::kExact: return text == value;
    case Kind::kPrefix: return text.starts_with(value);
    case Kind::kSuffix: return text.ends_with(value);
    case Kind::kPresence: return !text.empty();
  }
  return false;
}

bool Match::empty() const {
  return namespaces.empty() && not_namespaces.empty() && principals.empty() &&
         not_principals.empty() && service_accounts.empty() && not_service_accounts.empty() &&
         source_ips.empty() && not_source_ips.empty() && destination_ips.empty() &&
         not_destination_ips.empty() && destination_ports.empty() &&
         not_destination_ports.empty();
}

bool Match::holds_for(const Connection& connection) const {
  if (empty()) return false;
  const std::shared_ptr<const Caller>& caller = connection.caller;
  const std::string_view ns = caller ? std::string_view(caller->id().ns()) : std::string_view();
  return field_holds(destination_ports, not_destination_ports,
                     [&](const auto& ports) {
                       return any_equals(ports, connection.destination_port);
                     }) &&
         field_holds(namespaces, not_namespaces,
                     [&](const auto& values) { return any_matches(values, ns); }) &&
         field_holds(principals, not_principals,
                     [&](const auto& values) {
                       return caller && any_matches(values, caller->principal());
                     }) &&
         field_holds(service_accounts, not_service_accounts,
                     [&](const auto& values) { return any_is_caller(values, caller); }) &&
         field_holds(source_ips, not_source_ips,
                     [&](const auto& blocks) {
                       return any_contains(blocks, connection.source_ip);
                     }) &&
         field_holds(destination_ips, not_destination_ips, [&](const auto& blocks) {
           return any_contains(blocks, connection.destination_ip);
         });
}

bool Clause::holds_for(const Connection& connection) const {
  return any_of.empty() || std::ranges::any_of(any_of, [&](const Match& match) {
           return match.holds_for(connection);
         });
}

bool Rule::holds_for(const Connection& connection) const {
  return std::ranges::all_of(all_of,
                             [&](const Clause& clause) { return clause.holds_for(connection); });
}

bool Policy::applies_to(const Connection& connection) const {
  return std::ranges::any_of(any_of,
                             [&](const Rule& rule) { return rule.holds_for(connection); });
}

}  // namespace mesh::policy
