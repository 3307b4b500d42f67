// Rules of authorization: envoy.config.rbac.v3 and the two filters that hold them.

#include <algorithm>
#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxNodes = 16'384;

// Depth and number of nodes are bounded over one filter.
struct Rules {
  Input& in;
  bool http = true;
  std::size_t nodes = 0;

  bool may_go_deeper(const Tree& at, int depth) {
    if (depth > kMaxDepth) in.refuse(at, "rules nested deeper than 64");
    if (++nodes > kMaxNodes) in.refuse(at, "more than 16384 rules");
    return in.ok();
  }

  // What is about a request has no place on a TCP chain: there it would never hold.
  void needs_http(const Tree& at, std::string_view which) {
    if (!http) in.refuse(at, std::string(which) + " of a request, on a chain of connections");
  }

  std::vector<RbacNode> set(const Tree& at, std::string_view which, std::string_view list,
                            bool principal, int depth) {
    std::vector<RbacNode> nodes_of;
    const Tree* holder = in.object(at, which);
    if (holder == nullptr) return nodes_of;
    for (const Tree* child : in.list(*holder, list)) {
      nodes_of.push_back(principal ? this->principal(*child, depth + 1)
                                   : permission(*child, depth + 1));
    }
    return nodes_of;
  }

  StringMatch path_text(const Tree& at) {
    const Tree* path = in.object(at, "path");
    if (path != nullptr) return string_match(in, *path);
    in.refuse(at, "a path match without a path");
    return {};
  }

  bool common(const Tree& at, std::string_view which, RbacNode& node) {
    if (which == "any") {
      if (!in.flag(at, which)) in.refuse(at, "any: false");
      node.kind = RbacNode::Kind::kAny;
    } else if (which == "header") {
      needs_http(at, which);
      node.kind = RbacNode::Kind::kHeader;
      if (const Tree* header = in.object(at, which)) node.header = header_match(in, *header);
    } else if (which == "urlPath") {
      needs_http(at, which);
      node.kind = RbacNode::Kind::kUrlPath;
      if (const Tree* path = in.object(at, which)) node.text = path_text(*path);
    } else if (which == "metadata") {
      needs_http(at, which);
      node.kind = RbacNode::Kind::kMetadata;
      if (const Tree* match = in.object(at, which)) node.metadata = metadata_match(in, *match);
    } else {
      return false;
    }
    return true;
  }

  RbacNode permission(const Tree& at, int depth) {
    RbacNode node;
    if (!may_go_deeper(at, depth)) return node;
    const auto which = in.one_of(
        at, {"andRules", "orRules", "any", "header", "urlPath", "destinationIp", "destinationPort",
             "destinationPortRange", "metadata", "notRule", "requestedServerName", "uriTemplate"});
    if (common(at, which, node)) return node;
    if (which == "andRules" || which == "orRules") {
      node.kind = which == "andRules" ? RbacNode::Kind::kAnd : RbacNode::Kind::kOr;
      node.children = set(at, which, "rules", false, depth);
    } else if (which == "notRule") {
      node.kind = RbacNode::Kind::kNot;
      if (const Tree* child = in.object(at, which)) {
        node.children.push_back(permission(*child, depth + 1));
      }
    } else if (which == "destinationIp") {
      node.kind = RbacNode::Kind::kDestinationIp;
      if (const Tree* block = in.object(at, which)) node.block = cidr(in, *block);
    } else if (which == "destinationPort") {
      node.kind = RbacNode::Kind::kDestinationPort;
      node.port_start = static_cast<std::uint32_t>(in.number(at, which, 0, 65'535));
    } else if (which == "destinationPortRange") {
      node.kind = RbacNode::Kind::kDestinationPortRange;
      if (const Tree* range = in.object(at, which)) {
        node.port_start = static_cast<std::uint32_t>(in.number(*range, "start", 0, 65'536));
        node.port_end = static_cast<std::uint32_t>(in.number(*range, "end", 0, 65'536));
      }
    } else if (which == "requestedServerName") {
      node.kind = RbacNode::Kind::kRequestedServerName;
      if (const Tree* name = in.object(at, which)) node.text = string_match(in, *name);
    } else if (which == "uriTemplate") {
      path_template(at, node);
    } else {
      in.refuse(at, "a permission that is not known");
    }
    return node;
  }

  void path_template(const Tree& at, RbacNode& node) {
    needs_http(at, "uriTemplate");
    node.kind = RbacNode::Kind::kPathTemplate;
    const Tree* extension = in.object(at, "uriTemplate");
    const Tree* config = extension == nullptr ? nullptr : in.object(*extension, "typedConfig");
    if (extension != nullptr) Input::overlook(*extension, {"name"});
    if (config == nullptr ||
        config->any_type() !=
            "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig") {
      return in.refuse(at, "a path match that is not known");
    }
    auto compiled = PathTemplate::compile(in.text(*config, "pathTemplate"));
    if (!compiled) return in.refuse(*config, "not a path template");
    node.path_template = *std::move(compiled);
  }

  RbacNode principal(const Tree& at, int depth) {
    RbacNode node;
    if (!may_go_deeper(at, depth)) return node;
    const auto which =
        in.one_of(at, {"andIds", "orIds", "any", "authenticated", "sourceIp", "directRemoteIp",
                       "remoteIp", "header", "urlPath", "metadata", "filterState", "notId"});
    if (common(at, which, node)) return node;
    if (which == "andIds" || which == "orIds") {
      node.kind = which == "andIds" ? RbacNode::Kind::kAnd : RbacNode::Kind::kOr;
      node.children = set(at, which, "ids", true, depth);
    } else if (which == "notId") {
      node.kind = RbacNode::Kind::kNot;
      if (const Tree* child = in.object(at, which)) {
        node.children.push_back(principal(*child, depth + 1));
      }
    } else if (which == "authenticated") {
      node.kind = RbacNode::Kind::kAuthenticated;
      const Tree* authenticated = in.object(at, which);
      const Tree* name =
          authenticated == nullptr ? nullptr : in.object(*authenticated, "principalName");
      if (name != nullptr) node.text = string_match(in, *name);
    } else if (which == "sourceIp" || which == "directRemoteIp" || which == "remoteIp") {
      node.kind = which == "remoteIp" ? RbacNode::Kind::kRemoteIp : RbacNode::Kind::kDirectRemoteIp;
      if (const Tree* block = in.object(at, which)) node.block = cidr(in, *block);
    } else if (which == "filterState") {
      filter_state(at, node);
    } else {
      in.refuse(at, "a principal that is not known");
    }
    return node;
  }

  void filter_state(const Tree& at, RbacNode& node) {
    node.kind = RbacNode::Kind::kFilterState;
    const Tree* state = in.object(at, "filterState");
    if (state == nullptr) return;
    PrincipalMatch match = principal_match(in, *state);
    node.of_peer = match.of_peer;
    node.text = std::move(match.text);
  }

  RbacRules rules(const Tree& at) {
    using Action = RbacRules::Action;
    static constexpr Action kActions[] = {Action::kAllow, Action::kDeny, Action::kLog};
    RbacRules made{.action = kActions[in.choice(at, "action", {"ALLOW", "DENY", "LOG"})]};
    for (const Tree* entry : in.map(at, "policies")) {
      RbacPolicy policy{.name = entry->label};
      for (const Tree* one : in.list(*entry, "permissions")) {
        policy.permissions.push_back(permission(*one, 1));
      }
      for (const Tree* one : in.list(*entry, "principals")) {
        policy.principals.push_back(principal(*one, 1));
      }
      if (policy.permissions.empty() || policy.principals.empty()) {
        in.refuse(*entry, "a policy without permissions or without principals");
      }
      made.policies.push_back(std::move(policy));
    }
    // A map has no order on the wire; names give it one.
    std::ranges::sort(made.policies, {}, &RbacPolicy::name);
    return made;
  }
};

}  // namespace

net::Cidr cidr(Input& in, const Tree& at) {
  const auto ip = net::IpAddress::parse(in.text(at, "addressPrefix"));
  const auto length = static_cast<unsigned>(in.number(at, "prefixLen", 0, 128));
  const auto block = ip ? net::Cidr::make(*ip, length) : std::nullopt;
  if (!block) in.refuse(at, "not a block of addresses");
  return block.value_or(net::Cidr());
}

RbacFilter rbac_filter(Input& in, const Tree& at, bool http) {
  Input::secure(at);
  Rules rules{.in = in, .http = http};
  RbacFilter filter;
  if (const Tree* enforced = in.object(at, "rules")) filter.rules = rules.rules(*enforced);
  if (const Tree* shadow = in.object(at, "shadowRules")) filter.shadow = rules.rules(*shadow);
  filter.shadow_prefix = in.text(at, "shadowRulesStatPrefix");
  Input::overlook(at, {"statPrefix", "rulesStatPrefix"});
  return filter;
}

}  // namespace mesh::waypoint::config::parts
