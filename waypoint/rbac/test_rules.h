#pragma once
// Short ways to write rules, and a request to ask them about, in tests.

#include <string>
#include <utility>
#include <vector>

#include "waypoint/rbac/rbac.h"

namespace mesh::waypoint::rbac::test {

using config::RbacNode;

struct World {
  http::Request request = {.method = "GET", .authority = "web", .path = "/", .headers = {}};
  bool has_request = true;
  std::string peer = "spiffe://cluster.local/ns/shop/sa/web";
  http::Value metadata = {};

  Subject subject() const {
    return {.request = has_request ? &request : nullptr,
            .destination = *net::SocketAddress::parse("10.96.1.10:80"),
            .direct_remote = *net::SocketAddress::parse("10.244.1.10:4000"),
            .remote = *net::IpAddress::parse("192.0.2.7"),
            .peer_principal = peer,
            .local_principal = "spiffe://cluster.local/ns/shop/sa/waypoint",
            .server_name = "a.example",
            .metadata = &metadata};
  }
};

inline RbacNode any() { return {.kind = RbacNode::Kind::kAny}; }
inline RbacNode none(RbacNode child) {
  return {.kind = RbacNode::Kind::kNot, .children = {std::move(child)}};
}
inline RbacNode all(std::vector<RbacNode> children) {
  return {.kind = RbacNode::Kind::kAnd, .children = std::move(children)};
}
inline RbacNode either(std::vector<RbacNode> children) {
  return {.kind = RbacNode::Kind::kOr, .children = std::move(children)};
}
inline RbacNode header(std::string name, const char* value) {
  return {.kind = RbacNode::Kind::kHeader,
          .header = {.name = std::move(name), .text = config::StringMatch::exact(value)}};
}
inline RbacNode text_node(RbacNode::Kind kind, const char* value) {
  return {.kind = kind, .text = config::StringMatch::exact(value)};
}
inline RbacNode url_path(const char* value) { return text_node(RbacNode::Kind::kUrlPath, value); }
inline RbacNode server_name(const char* value) {
  return text_node(RbacNode::Kind::kRequestedServerName, value);
}
inline RbacNode caller(const char* value) { return text_node(RbacNode::Kind::kFilterState, value); }
inline RbacNode own(const char* value) {
  RbacNode node = caller(value);
  node.of_peer = false;
  return node;
}
inline RbacNode caller_regex(const char* pattern) {
  return {.kind = RbacNode::Kind::kFilterState,
          .text = config::StringMatch{.kind = config::StringMatch::Kind::kRegex,
                                      .regex = *config::Regex::compile(pattern)}};
}
inline RbacNode authenticated() { return {.kind = RbacNode::Kind::kAuthenticated}; }
inline RbacNode path_like(const char* text) {
  return {.kind = RbacNode::Kind::kPathTemplate,
          .path_template = *config::PathTemplate::compile(text)};
}
inline RbacNode port(std::uint32_t number) {
  return {.kind = RbacNode::Kind::kDestinationPort, .port_start = number};
}
inline RbacNode port_range(std::uint32_t start, std::uint32_t end) {
  return {.kind = RbacNode::Kind::kDestinationPortRange, .port_start = start, .port_end = end};
}
inline RbacNode block_node(RbacNode::Kind kind, const char* block) {
  return {.kind = kind, .block = *net::Cidr::parse(block)};
}
inline RbacNode destination(const char* block) {
  return block_node(RbacNode::Kind::kDestinationIp, block);
}
inline RbacNode direct_remote(const char* block) {
  return block_node(RbacNode::Kind::kDirectRemoteIp, block);
}
inline RbacNode remote(const char* block) { return block_node(RbacNode::Kind::kRemoteIp, block); }
inline RbacNode claim(std::vector<std::string> path, config::MetadataMatch::Value value) {
  path.insert(path.begin(), "payload");
  return {.kind = RbacNode::Kind::kMetadata,
          .metadata = {.filter = "envoy.filters.http.jwt_authn",
                       .path = std::move(path),
                       .value = std::move(value)}};
}

inline config::RbacPolicy policy(std::string name, RbacNode permission, RbacNode principal) {
  return {.name = std::move(name),
          .permissions = {std::move(permission)},
          .principals = {std::move(principal)}};
}
inline config::RbacFilter filter(config::RbacRules::Action action,
                                 std::vector<config::RbacPolicy> policies) {
  return {.rules = config::RbacRules{.action = action, .policies = std::move(policies)}};
}

}  // namespace mesh::waypoint::rbac::test
