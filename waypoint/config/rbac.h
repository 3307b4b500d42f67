#pragma once
// Authorization rules as Envoy's RBAC states them: trees of permissions (what is asked for) and of
// principals (who asks). waypoint/rbac decides with them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mesh/net/address.h"
#include "waypoint/config/match.h"

namespace mesh::waypoint::config {

// A value in the claims of a request's token (or other metadata), by path.
struct MetadataMatch {
  // A tree, too: a text, a number, a list with an element that matches, any of several.
  struct Value {
    enum class Kind : std::uint8_t {
      kNothing,
      kNull,
      kNumber,
      kString,
      kBool,
      kPresent,
      kOneOf,
      kAny
    };
    Kind kind = Kind::kNothing;
    StringMatch text = {};
    double number_start = 0;  // kNumber: [start, end), or exactly start
    double number_end = 0;
    bool number_exact = true;
    bool boolean = false;              // kBool, kPresent
    std::vector<Value> children = {};  // kOneOf (one child): an element of a list; kAny: any child
  };
  std::string filter = {};  // "envoy.filters.http.jwt_authn", "envoy.filters.http.rbac"
  std::vector<std::string> path = {};
  Value value = {};
  bool invert = false;
};

// Permission and Principal share a node: the trees have the same shape, and every leaf is a
// statement about the request. Decode lets each kind stand only where Envoy lets it.
struct RbacNode {
  enum class Kind : std::uint8_t {
    kNothing,  // never holds; a default node
    kAny,
    kAnd,  // all children; none: holds
    kOr,   // any child; none: does not hold
    kNot,  // one child
    kHeader,
    kUrlPath,  // the path without query and fragment
    kPathTemplate,
    kDestinationIp,
    kDestinationPort,
    kDestinationPortRange,  // [start, end)
    kRequestedServerName,   // SNI of the connection
    kMetadata,
    kAuthenticated,   // has a proven identity, that matches `text` if there is one
    kFilterState,     // io.istio.peer_principal or io.istio.local_principal
    kDirectRemoteIp,  // the peer's address
    kRemoteIp,        // the client's address: the peer's, or from x-forwarded-for if trusted
  };
  Kind kind = Kind::kNothing;
  std::vector<RbacNode> children = {};
  HeaderMatch header = {};
  std::optional<StringMatch> text =
      {};  // kUrlPath, kRequestedServerName, kAuthenticated, kFilterState
  PathTemplate path_template = {};
  net::Cidr block = {};
  std::uint32_t port_start = 0;  // kDestinationPort: the port
  std::uint32_t port_end = 0;
  bool of_peer = true;  // kFilterState: the caller's principal, else our own
  MetadataMatch metadata = {};
};

struct RbacPolicy {
  std::string name = {};                   // "ns[shop]-policy[allow]-rule[0]"
  std::vector<RbacNode> permissions = {};  // any of
  std::vector<RbacNode> principals = {};   // any of
};

struct RbacRules {
  enum class Action : std::uint8_t { kAllow, kDeny, kLog };
  Action action = Action::kDeny;
  std::vector<RbacPolicy> policies = {};  // sorted by name: the first that matches is reported
};

struct RbacFilter {
  std::optional<RbacRules> rules = {};   // none: the filter decides nothing
  std::optional<RbacRules> shadow = {};  // decides nothing but what is logged and told to ext_authz
  std::string shadow_prefix = {};        // "istio_dry_run_allow_", "istio_ext_authz_"
  bool deny_everything = false;          // rules are there and cannot be used
};

}  // namespace mesh::waypoint::config
