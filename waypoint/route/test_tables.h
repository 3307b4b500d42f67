#pragma once
// Short ways to write route tables in tests.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "waypoint/route/route.h"

namespace mesh::waypoint::route::test {

inline config::PathMatch exact(std::string path) {
  return {.kind = config::PathMatch::Kind::kExact, .value = std::move(path)};
}
inline config::PathMatch prefix(std::string path) {
  return {.kind = config::PathMatch::Kind::kPrefix, .value = std::move(path)};
}
inline config::PathMatch segments(std::string path) {
  return {.kind = config::PathMatch::Kind::kSegmentPrefix, .value = std::move(path)};
}
inline config::PathMatch regex(const char* pattern) {
  return {.kind = config::PathMatch::Kind::kRegex, .regex = *config::Regex::compile(pattern)};
}
inline config::HeaderMatch header(std::string name, std::string value) {
  return {.name = std::move(name), .text = config::StringMatch::exact(value)};
}

inline config::Forward to(std::string cluster) {
  config::Forward forward{.total_weight = 1};
  forward.targets.push_back({.cluster = std::move(cluster)});
  return forward;
}

inline config::Route make_route(std::string name, config::PathMatch path) {
  config::Route made{.name = name};
  made.match.path = std::move(path);
  made.action = to(std::move(name));
  return made;
}

inline config::RouteTable table_of(std::vector<config::Route> routes) {
  config::RouteTable table;
  table.hosts.push_back({.name = "all", .domains = {"*"}});
  for (config::Route& one : routes) {
    table.hosts.back().routes.push_back(std::make_shared<const config::Route>(std::move(one)));
  }
  return table;
}

inline http::Request get(std::string path, h2::Headers headers = {}) {
  return {.method = "GET",
          .authority = "web.shop.svc.cluster.local",
          .path = std::move(path),
          .headers = std::move(headers)};
}

}  // namespace mesh::waypoint::route::test
