#pragma once
// What HTTPRoutes, GRPCRoutes and VirtualServices have in common when they become Envoy's routes.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/envoy/catalog.h"

namespace envoy::config::route::v3 {
class RedirectAction;
class Route;
class RouteAction;
class VirtualHost;
}  // namespace envoy::config::route::v3
namespace envoy::config::core::v3 {
class HeaderValueOption;
}

namespace mesh::control {

struct Build;

// No timeout, the usual retries.
void fill_defaults(envoy::config::route::v3::RouteAction* into);
// Zero: none.
void fill_timeout(std::chrono::milliseconds timeout, envoy::config::route::v3::RouteAction* into);
// How a cluster with a consistent hash tells requests apart.
void fill_hash_policy(const manifest::TrafficPolicy& policy,
                      envoy::config::route::v3::RouteAction* into);

// The headers of a Route, or of one of its clusters.
template <class Message>
void fill_request_headers(const manifest::HeaderChange& change, Message* into);
template <class Message>
void fill_response_headers(const manifest::HeaderChange& change, Message* into);
void fill_header(const std::pair<std::string, std::string>& header, bool overwrite,
                 envoy::config::core::v3::HeaderValueOption* into);

void fill_cors(const manifest::Cors& cors, envoy::config::route::v3::Route* into);
void add_mirror(const std::string& cluster, double percent,
                envoy::config::route::v3::RouteAction* into);
// 301, 302, 303, 307, 308; another is taken for 302.
void set_redirect_status(std::uint16_t status, envoy::config::route::v3::RedirectAction* into);

// "web.shop.svc.cluster.local:80/*"
void set_operation(const std::string& host, std::uint16_t port,
                   envoy::config::route::v3::Route* into);

// After a route was added as the last of `into`: one whose match cannot be used is taken out again,
// one that cannot do what it says answers 500; either is noted for `author`. False: it was taken
// out.
bool keep_route(Build& build, const manifest::ObjectKey& author,
                envoy::config::route::v3::VirtualHost* into);

// What asks for something that cannot be done answers 500, and it is noted for `author`.
void refuse_route(Build& build, const manifest::ObjectKey& author, const std::string& why,
                  envoy::config::route::v3::Route& route);

// Texts, with commas between them.
std::string joined(const auto& texts) {
  std::string all;
  for (const std::string& text : texts) {
    if (!all.empty()) all += ',';
    all += text;
  }
  return all;
}

// Text that a regular expression takes literally.
std::string quoted(std::string_view text);

// ---- the templates ------------------------------------------------------------------------------

template <class Message>
void fill_request_headers(const manifest::HeaderChange& change, Message* into) {
  for (const auto& header : change.set)
    fill_header(header, true, into->add_request_headers_to_add());
  for (const auto& header : change.add) {
    fill_header(header, false, into->add_request_headers_to_add());
  }
  for (const std::string& name : change.remove) into->add_request_headers_to_remove(name);
}

template <class Message>
void fill_response_headers(const manifest::HeaderChange& change, Message* into) {
  for (const auto& header : change.set) {
    fill_header(header, true, into->add_response_headers_to_add());
  }
  for (const auto& header : change.add) {
    fill_header(header, false, into->add_response_headers_to_add());
  }
  for (const std::string& name : change.remove) into->add_response_headers_to_remove(name);
}

}  // namespace mesh::control
