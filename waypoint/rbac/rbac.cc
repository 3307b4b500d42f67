#include "waypoint/rbac/rbac.h"

#include <algorithm>

namespace mesh::waypoint::rbac {

namespace {

using config::MetadataMatch;
using config::RbacNode;
using config::RbacRules;

// Three values, because what cannot be known (a header of a connection that has no requests) must
// not hold when it is negated, either.
enum class Truth : std::uint8_t { kNo, kYes, kUnknown };

Truth truth(bool holds) { return holds ? Truth::kYes : Truth::kNo; }

bool value_matches(const MetadataMatch::Value& match, const http::Value* value) {
  using Kind = MetadataMatch::Value::Kind;
  using http::Value;
  const auto is = [value](Value::Kind kind) { return value != nullptr && value->kind == kind; };
  switch (match.kind) {
    case Kind::kNothing:
      return false;
    case Kind::kNull:
      return is(Value::Kind::kNull);
    case Kind::kNumber:
      return is(Value::Kind::kNumber) &&
             (match.number_exact
                  ? value->number == match.number_start
                  : value->number >= match.number_start && value->number < match.number_end);
    case Kind::kString:
      return is(Value::Kind::kString) && match.text.matches(value->text);
    case Kind::kBool:
      return is(Value::Kind::kBool) && value->boolean == match.boolean;
    case Kind::kPresent:
      return (value != nullptr) == match.boolean;
    case Kind::kOneOf:
      return is(Value::Kind::kList) && match.children.size() == 1 &&
             std::ranges::any_of(value->list, [&](const Value& element) {
               return value_matches(match.children[0], &element);
             });
    case Kind::kAny:
      return std::ranges::any_of(match.children, [value](const MetadataMatch::Value& child) {
        return value_matches(child, value);
      });
  }
  return false;
}

bool metadata_holds(const MetadataMatch& match, const http::Value* metadata) {
  const http::Value* value = metadata == nullptr ? nullptr : metadata->member(match.filter);
  if (value != nullptr) value = value->at(match.path);
  return value_matches(match.value, value) != match.invert;
}

Truth eval(const RbacNode& node, const Subject& subject);

Truth eval_all(const std::vector<RbacNode>& nodes, const Subject& subject) {
  Truth all = Truth::kYes;
  for (const RbacNode& node : nodes) {
    const Truth one = eval(node, subject);
    if (one == Truth::kNo) return Truth::kNo;
    if (one == Truth::kUnknown) all = Truth::kUnknown;
  }
  return all;
}

Truth eval_any(const std::vector<RbacNode>& nodes, const Subject& subject) {
  Truth any = Truth::kNo;
  for (const RbacNode& node : nodes) {
    const Truth one = eval(node, subject);
    if (one == Truth::kYes) return Truth::kYes;
    if (one == Truth::kUnknown) any = Truth::kUnknown;
  }
  return any;
}

Truth eval_not(const RbacNode& node, const Subject& subject) {
  if (node.children.size() != 1) return Truth::kUnknown;
  switch (eval(node.children[0], subject)) {
    case Truth::kNo:
      return Truth::kYes;
    case Truth::kYes:
      return Truth::kNo;
    case Truth::kUnknown:
      return Truth::kUnknown;
  }
  return Truth::kUnknown;
}

Truth eval_authenticated(const RbacNode& node, const Subject& subject) {
  if (subject.peer_principal.empty()) return Truth::kNo;
  return truth(!node.text || node.text->matches(subject.peer_principal));
}

Truth eval_filter_state(const RbacNode& node, const Subject& subject) {
  // Envoy: a principal that is not there is not compared.
  const std::string_view text = node.of_peer ? subject.peer_principal : subject.local_principal;
  return truth(!text.empty() && node.text && node.text->matches(text));
}

// A header that occurs several times is its values joined, and it is each of them, as whoever reads
// it next sees it. Where that makes a difference nothing is known.
Truth eval_header(const config::HeaderMatch& match, const http::Request& request) {
  const bool joined = match.holds_for(http::header_text(request, match.name).value());
  const h2::Header* first = nullptr;
  for (const h2::Header& header : request.headers) {
    if (header.name != match.name) continue;
    const bool several = first != nullptr;
    if (first == nullptr) first = &header;
    if (several &&
        (match.holds_for(first->value) != joined || match.holds_for(header.value) != joined)) {
      return Truth::kUnknown;
    }
  }
  return truth(joined);
}

Truth eval_request(const RbacNode& node, const Subject& subject) {
  if (subject.request == nullptr) return Truth::kUnknown;
  const http::Request& request = *subject.request;
  if (node.kind == RbacNode::Kind::kHeader) {
    return eval_header(node.header, request);
  }
  if (node.kind == RbacNode::Kind::kPathTemplate) {
    return truth(node.path_template.matches(request.path_only()));
  }
  if (node.kind == RbacNode::Kind::kMetadata) {
    return truth(metadata_holds(node.metadata, subject.metadata));
  }
  return truth(node.text && node.text->matches(request.path_only()));
}

Truth eval(const RbacNode& node, const Subject& subject) {
  switch (node.kind) {
    case RbacNode::Kind::kNothing:
      return Truth::kUnknown;
    case RbacNode::Kind::kAny:
      return Truth::kYes;
    case RbacNode::Kind::kAnd:
      return eval_all(node.children, subject);
    case RbacNode::Kind::kOr:
      return eval_any(node.children, subject);
    case RbacNode::Kind::kNot:
      return eval_not(node, subject);
    case RbacNode::Kind::kHeader:
    case RbacNode::Kind::kUrlPath:
    case RbacNode::Kind::kPathTemplate:
    case RbacNode::Kind::kMetadata:
      return eval_request(node, subject);
    case RbacNode::Kind::kDestinationIp:
      return truth(node.block.contains(subject.destination.ip));
    case RbacNode::Kind::kDestinationPort:
      return truth(subject.destination.port == node.port_start);
    case RbacNode::Kind::kDestinationPortRange:
      return truth(subject.destination.port >= node.port_start &&
                   subject.destination.port < node.port_end);
    case RbacNode::Kind::kRequestedServerName:
      return truth(node.text && node.text->matches(subject.server_name));
    case RbacNode::Kind::kAuthenticated:
      return eval_authenticated(node, subject);
    case RbacNode::Kind::kFilterState:
      return eval_filter_state(node, subject);
    case RbacNode::Kind::kDirectRemoteIp:
      return truth(node.block.contains(subject.direct_remote.ip));
    case RbacNode::Kind::kRemoteIp:
      return truth(node.block.contains(subject.remote));
  }
  return Truth::kUnknown;
}

// A DENY whose match cannot be known denies; an ALLOW, or a log, that cannot be known does not
// apply.
bool applies(const config::RbacPolicy& policy, RbacRules::Action action, const Subject& subject) {
  const Truth permission = eval_any(policy.permissions, subject);
  if (permission == Truth::kNo) return false;
  const Truth principal = eval_any(policy.principals, subject);
  if (principal == Truth::kNo) return false;
  return action == RbacRules::Action::kDeny ||
         (permission == Truth::kYes && principal == Truth::kYes);
}

}  // namespace

std::string Verdict::detail() const {
  // Envoy puts no white space into a detail.
  std::string name = policy_.empty() ? "none" : std::string(policy_);
  std::ranges::replace(name, ' ', '_');
  return "rbac_access_denied_matched_policy[" + name + "]";
}

bool holds(const RbacNode& node, const Subject& subject) {
  return eval(node, subject) == Truth::kYes;
}

bool matches(const config::RbacPolicy& policy, const Subject& subject) {
  return applies(policy, RbacRules::Action::kAllow, subject);
}

Verdict decide(const RbacRules& rules, const Subject& subject) {
  for (const config::RbacPolicy& policy : rules.policies) {
    if (!applies(policy, rules.action, subject)) continue;
    return Verdict(rules.action != RbacRules::Action::kDeny, policy.name);
  }
  return Verdict(rules.action != RbacRules::Action::kAllow, {});
}

Outcome decide(const config::RbacFilter& filter, const Subject& subject) {
  Outcome outcome;
  if (filter.shadow) outcome.shadow = decide(*filter.shadow, subject);
  if (filter.deny_everything) return outcome;
  if (!filter.rules) {
    outcome.enforced = Verdict(true, {});
    return outcome;
  }
  outcome.enforced = decide(*filter.rules, subject);
  outcome.log =
      filter.rules->action == RbacRules::Action::kLog && !outcome.enforced.policy().empty();
  return outcome;
}

}  // namespace mesh::waypoint::rbac
