#pragma once
// The objects of the Gateway API as values: the fields that Weft reads, and no others.
//
// Routes are read strictly: an unknown field, a filter or a match that is none is an error, for a
// match that lost a condition sends traffic where nobody wanted it.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mesh/manifest/metadata.h"

namespace mesh::manifest {

using Milliseconds = std::chrono::milliseconds;

struct ParametersRef {
  std::string group;
  std::string kind;
  std::string ns;
  std::string name;
};

struct GatewayClass {
  Metadata metadata;
  std::string controller;
  std::optional<ParametersRef> parameters;
};

struct RouteKind {
  std::string group = "gateway.networking.k8s.io";
  std::string kind;
};

struct Listener {
  std::string name;
  std::string hostname;
  std::uint16_t port = 0;
  std::string protocol;
  std::string routes_from = "Same";  // Same, All, Selector, None
  LabelSelector routes_selector;     // for Selector; without terms it selects every namespace
  std::vector<RouteKind> routes_kinds;
};

struct GatewayAddress {
  std::string type = "IPAddress";
  std::string value;
};

struct Gateway {
  Metadata metadata;
  std::string class_name;
  std::vector<Listener> listeners;
  std::vector<GatewayAddress> addresses;
  Labels infrastructure_labels;
  Labels infrastructure_annotations;
  std::optional<ParametersRef> parameters;
};

struct ParentRef {
  std::string group = "gateway.networking.k8s.io";
  std::string kind = "Gateway";
  std::string ns;  // empty: the route's
  std::string name;
  std::string section;
  std::uint16_t port = 0;  // 0: every port

  friend bool operator==(const ParentRef&, const ParentRef&) = default;
};

struct Target {  // an object, mostly a Service, and a port of it
  std::string group;
  std::string kind = "Service";
  std::string ns;  // empty: the route's
  std::string name;
  std::uint16_t port = 0;
};

enum class MatchType { kExact, kPrefix, kRegex };

struct NamedMatch {  // a header or a query parameter
  MatchType type = MatchType::kExact;
  std::string name;
  std::string value;
};

struct HttpMatch {
  MatchType path_type = MatchType::kPrefix;
  std::string path = "/";
  std::vector<NamedMatch> headers;
  std::vector<NamedMatch> query;
  std::string method;  // empty: any
};

struct GrpcMatch {
  MatchType type = MatchType::kExact;
  std::string service;  // empty: any
  std::string method;   // empty: any
  std::vector<NamedMatch> headers;
};

struct HeaderChange {
  std::vector<std::pair<std::string, std::string>> set, add;
  std::vector<std::string> remove;
};

struct PathRewrite {
  bool prefix = false;  // replaces the matched prefix, else the whole path
  std::string value;
};

struct Redirect {
  std::string scheme;
  std::string hostname;
  std::optional<PathRewrite> path;
  std::uint16_t port = 0;
  std::uint16_t status = 302;
};

struct Rewrite {
  std::string hostname;
  std::optional<PathRewrite> path;
};

struct Mirror {
  Target target;
  std::uint32_t numerator = 1;
  std::uint32_t denominator = 1;
};

struct Cors {
  std::vector<std::string> origins, methods, headers, expose;
  std::vector<std::string> origin_prefixes, origin_patterns;  // of a VirtualService alone
  bool forward_unmatched = false;  // preflights of other origins, to the application
  std::optional<std::uint32_t> max_age;
  bool credentials = false;
};

// What a rule does to its requests, in the order in which it is done. One of each kind at most,
// but for mirrors.
struct RouteFilters {
  std::optional<HeaderChange> request_headers;
  std::optional<HeaderChange> response_headers;
  std::optional<Redirect> redirect;
  std::optional<Rewrite> rewrite;
  std::optional<Cors> cors;
  std::vector<Mirror> mirrors;
  // Filters that nobody but their author knows: a rule with one cannot be honoured.
  std::vector<std::string> extensions;
};

struct Backend {
  Target target;
  std::uint32_t weight = 1;
  RouteFilters filters;
};

struct RouteTimeouts {  // none: not set; zero: no limit
  std::optional<Milliseconds> request;
  std::optional<Milliseconds> backend;
};

struct RouteRetry {
  std::vector<std::uint16_t> codes;
  std::optional<std::uint32_t> attempts;
  std::optional<Milliseconds> backoff;
};

struct HttpRule {
  std::string name;
  std::vector<HttpMatch> matches;  // empty: everything
  RouteFilters filters;
  std::vector<Backend> backends;
  RouteTimeouts timeouts;
  std::optional<RouteRetry> retry;
};

struct HttpRoute {
  Metadata metadata;
  std::vector<ParentRef> parents;
  std::vector<std::string> hostnames;
  std::vector<HttpRule> rules;
};

struct GrpcRule {
  std::string name;
  std::vector<GrpcMatch> matches;  // empty: everything
  RouteFilters filters;
  std::vector<Backend> backends;
};

struct GrpcRoute {
  Metadata metadata;
  std::vector<ParentRef> parents;
  std::vector<std::string> hostnames;
  std::vector<GrpcRule> rules;
};

struct L4Rule {
  std::string name;
  std::vector<Backend> backends;
};

struct TcpRoute {
  Metadata metadata;
  std::vector<ParentRef> parents;
  std::vector<L4Rule> rules;
};

struct TlsRoute {
  Metadata metadata;
  std::vector<ParentRef> parents;
  std::vector<std::string> hostnames;
  std::vector<L4Rule> rules;
};

struct GrantFrom {
  std::string group;
  std::string kind;
  std::string ns;
};

struct GrantTo {
  std::string group;
  std::string kind;
  std::string name;  // empty: every one
};

struct ReferenceGrant {
  Metadata metadata;
  std::vector<GrantFrom> from;
  std::vector<GrantTo> to;
};

}  // namespace mesh::manifest
