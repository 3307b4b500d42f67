#pragma once
// Policies and connections written as text, so that a test shows the case and nothing else.
//
//   policies(R"(
//     shop/a: allow ns=web principal=cluster.local/ns/web/* | port=7001
//     shop/d: deny workload dry-run !principal=*
//   )")
//   connection("web/peer 10.0.0.1 to 10.0.0.2:8080")      connection("plaintext to 8080")
//
// A policy line: KEY ':' ACTION [global|workload] [dry-run] RULES. Scope is namespace unless said.
// RULES: rules are separated by '|', clauses within a rule by '&', matches within a clause by ';',
// fields within a match by spaces, values within a field by ','. '!' in front of a field makes it a
// not_ one.
//   fields   ns  principal  sa (namespace/account)  from (CIDR)  at (CIDR)  port
//   texts    web exact, web* prefix, *web suffix, * presence, "" or ""* the empty exact or prefix
// "none" is no rules; "all" is a rule without clauses; "{}" a match without fields; "[]" a clause
// without matches.

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/check.h"
#include "mesh/policy/authorize.h"
#include "mesh/policy/compile.h"

namespace mesh::policy::test {

inline std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

inline std::string_view take_until(std::string_view& text, std::string_view delimiter) {
  const std::size_t end = text.find(delimiter);
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + delimiter.size());
  return word;
}

inline std::uint32_t number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  MESH_CHECK(error == std::errc() && end == text.data() + text.size());
  return value;
}

inline StringMatchDraft string_match(std::string_view text) {
  using Kind = StringMatchDraft::Kind;
  const auto value = [](std::string_view quoted) {
    return quoted == "\"\"" ? std::string() : std::string(quoted);
  };
  if (text == "*") return {.kind = Kind::kPresence};
  if (text.starts_with('*')) return {.kind = Kind::kSuffix, .value = value(text.substr(1))};
  if (text.ends_with('*')) {
    return {.kind = Kind::kPrefix, .value = value(text.substr(0, text.size() - 1))};
  }
  return {.kind = Kind::kExact, .value = value(text)};
}

inline AddressDraft address(std::string_view text) {
  const std::string_view ip_text = take_until(text, "/");
  const auto ip = net::IpAddress::parse(ip_text);
  MESH_CHECK(ip.has_value());
  const auto bytes = ip->bytes();
  return {.bytes = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
          .length = number(text)};
}

inline ServiceAccountMatch service_account(std::string_view text) {
  const std::string_view ns = take_until(text, "/");
  return {.ns = std::string(ns), .service_account = std::string(text)};
}

inline void add_field(MatchDraft& match, std::string_view field) {
  const bool is_not = field.starts_with('!');
  if (is_not) field.remove_prefix(1);
  const std::string_view name = take_until(field, "=");
  while (!field.empty()) {
    const std::string_view value = take_until(field, ",");
    if (name == "ns") {
      (is_not ? match.not_namespaces : match.namespaces).push_back(string_match(value));
    } else if (name == "principal") {
      (is_not ? match.not_principals : match.principals).push_back(string_match(value));
    } else if (name == "sa") {
      (is_not ? match.not_service_accounts : match.service_accounts)
          .push_back(service_account(value));
    } else if (name == "from") {
      (is_not ? match.not_source_ips : match.source_ips).push_back(address(value));
    } else if (name == "at") {
      (is_not ? match.not_destination_ips : match.destination_ips).push_back(address(value));
    } else {
      MESH_CHECK(name == "port");
      (is_not ? match.not_destination_ports : match.destination_ports).push_back(number(value));
    }
  }
}

inline ClauseDraft clause(std::string_view text) {
  ClauseDraft clause;
  if (trimmed(text) == "[]") return clause;
  while (!text.empty()) {
    std::string_view match_text = trimmed(take_until(text, ";"));
    MatchDraft& match = clause.matches.emplace_back();
    if (match_text == "{}") continue;
    while (!match_text.empty()) {
      const std::string_view field = trimmed(take_until(match_text, " "));
      if (!field.empty()) add_field(match, field);
    }
  }
  return clause;
}

inline std::vector<RuleDraft> rules(std::string_view text) {
  std::vector<RuleDraft> result;
  if (trimmed(text) == "none") return result;
  while (!text.empty()) {
    std::string_view rule_text = trimmed(take_until(text, "|"));
    RuleDraft& rule = result.emplace_back();
    if (rule_text == "all") continue;
    while (!rule_text.empty()) rule.clauses.push_back(clause(trimmed(take_until(rule_text, "&"))));
  }
  return result;
}

inline PolicyDraft draft(std::string_view line) {
  std::string_view key = take_until(line, ": ");
  PolicyDraft draft;
  draft.ns = std::string(take_until(key, "/"));
  draft.name = std::string(key);
  const std::string_view action = take_until(line, " ");
  MESH_CHECK(action == "allow" || action == "deny");
  draft.action = action == "allow" ? 0 : 1;
  const auto skip = [&](std::string_view word) {
    if (!line.starts_with(word)) return false;
    line = trimmed(line.substr(word.size()));
    return true;
  };
  if (skip("global")) draft.scope = 0;
  if (skip("workload")) draft.scope = 2;
  draft.dry_run = skip("dry-run");
  draft.rules = rules(line);
  return draft;
}

inline std::vector<PolicyPtr> policies(std::string_view text) {
  std::vector<PolicyPtr> result;
  while (!text.empty()) {
    const std::string_view line = trimmed(take_until(text, "\n"));
    if (line.empty()) continue;
    result.push_back(std::make_shared<const Policy>(compile(draft(line))));
  }
  return result;
}

inline Catalog catalog(std::string_view text) { return Catalog().with(policies(text), {}); }

inline net::IpAddress ip(std::string_view text) {
  const auto parsed = net::IpAddress::parse(text);
  MESH_CHECK(parsed.has_value());
  return *parsed;
}

// "NS/SA [SOURCE_IP] to [DESTINATION:]PORT"; "plaintext" instead of NS/SA. Trust domain
// cluster.local.
inline Connection connection(std::string_view text) {
  Connection connection{.source_ip = ip("10.0.0.1"), .destination_ip = ip("10.0.0.2")};
  std::string_view from = take_until(text, " to ");
  std::string_view who = take_until(from, " ");
  if (!from.empty()) connection.source_ip = ip(from);
  if (const std::size_t colon = text.rfind(':'); colon != text.npos) {
    const auto to = net::SocketAddress::parse(text);
    MESH_CHECK(to.has_value());
    connection.destination_ip = to->ip;
    connection.destination_port = to->port;
  } else {
    connection.destination_port = static_cast<std::uint16_t>(number(text));
  }
  if (who == "plaintext") return connection;
  const std::string_view ns = take_until(who, "/");
  const auto id = net::SpiffeId::make("cluster.local", ns, who);
  MESH_CHECK(id.has_value());
  connection.caller = std::make_shared<const Caller>(*id);
  return connection;
}

}  // namespace mesh::policy::test
