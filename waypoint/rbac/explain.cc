#include <string>

#include "waypoint/rbac/rbac.h"

namespace mesh::waypoint::rbac {

namespace {

using config::RbacNode;
using config::RbacRules;

std::string describe(const RbacNode& node);

std::string describe_all(const std::vector<RbacNode>& nodes, std::string_view between) {
  std::string text;
  for (const RbacNode& node : nodes) {
    if (!text.empty()) text += between;
    text += describe(node);
  }
  return nodes.size() > 1 ? "(" + text + ")" : text;
}

std::string text_of(const RbacNode& node) { return node.text ? node.text->to_string() : "there"; }

std::string metadata_path(const config::MetadataMatch& match) {
  std::string path;
  for (const std::string& part : match.path) path += (path.empty() ? "" : ".") + part;
  return path;
}

std::string describe(const RbacNode& node) {
  switch (node.kind) {
    case RbacNode::Kind::kNothing:
      return "nothing";
    case RbacNode::Kind::kAny:
      return "anything";
    case RbacNode::Kind::kAnd:
      return describe_all(node.children, " and ");
    case RbacNode::Kind::kOr:
      return describe_all(node.children, " or ");
    case RbacNode::Kind::kNot:
      return "not " + describe_all(node.children, " and ");
    case RbacNode::Kind::kHeader:
      return node.header.to_string();
    case RbacNode::Kind::kUrlPath:
      return "path is " + text_of(node);
    case RbacNode::Kind::kPathTemplate:
      return "path is like " + node.path_template.text;
    case RbacNode::Kind::kDestinationIp:
      return "destination is in " + node.block.to_string();
    case RbacNode::Kind::kDestinationPort:
      return "port is " + std::to_string(node.port_start);
    case RbacNode::Kind::kDestinationPortRange:
      return "port is from " + std::to_string(node.port_start) + " to " +
             std::to_string(node.port_end - 1);
    case RbacNode::Kind::kRequestedServerName:
      return "server name is " + text_of(node);
    case RbacNode::Kind::kMetadata:
      return "claim " + metadata_path(node.metadata) + " matches";
    case RbacNode::Kind::kAuthenticated:
      return "identity is " + text_of(node);
    case RbacNode::Kind::kFilterState:
      return (node.of_peer ? "caller is " : "own identity is ") + text_of(node);
    case RbacNode::Kind::kDirectRemoteIp:
      return "peer is in " + node.block.to_string();
    case RbacNode::Kind::kRemoteIp:
      return "client is in " + node.block.to_string();
  }
  return "nothing";
}

// The part of a conjunction that does not hold, or the whole of anything else.
std::string what_fails(const RbacNode& node, const Subject& subject) {
  if (node.kind != RbacNode::Kind::kAnd) return describe(node);
  for (const RbacNode& child : node.children) {
    if (!holds(child, subject)) return what_fails(child, subject);
  }
  return describe(node);
}

std::string none_hold(const std::vector<RbacNode>& nodes, std::string_view what,
                      const Subject& subject) {
  std::string why;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (holds(nodes[i], subject)) return {};
    if (!why.empty()) why += "; ";
    why += std::string(what) + " " + std::to_string(i) + " wants: " + what_fails(nodes[i], subject);
  }
  return why.empty() ? "no " + std::string(what) : why;
}

std::string_view action_name(RbacRules::Action action) {
  switch (action) {
    case RbacRules::Action::kAllow:
      return "ALLOW";
    case RbacRules::Action::kDeny:
      return "DENY";
    case RbacRules::Action::kLog:
      return "LOG";
  }
  return "none";
}

}  // namespace

Explanation explain(const config::RbacFilter& filter, const Subject& subject) {
  const Outcome outcome = decide(filter, subject);
  Explanation explanation{.allowed = outcome.enforced.allowed(),
                          .decided_by = std::string(outcome.enforced.policy())};
  if (explanation.decided_by.empty()) explanation.decided_by = "none";
  explanation.action = filter.rules ? action_name(filter.rules->action) : "none";
  if (!filter.rules) return explanation;
  for (const config::RbacPolicy& policy : filter.rules->policies) {
    // One policy alone, asked as the rules ask it: also what denies because it cannot be known.
    const Verdict alone =
        decide(RbacRules{.action = filter.rules->action, .policies = {policy}}, subject);
    PolicyNote note{.policy = policy.name, .matches = !alone.policy().empty()};
    if (!note.matches) {
      note.why = none_hold(policy.permissions, "permission", subject);
      if (note.why.empty()) note.why = none_hold(policy.principals, "principal", subject);
    }
    explanation.policies.push_back(std::move(note));
  }
  return explanation;
}

}  // namespace mesh::waypoint::rbac
