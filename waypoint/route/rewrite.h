#pragma once
// What a route changes about a request before it is forwarded, and about the response.

#include <string>
#include <string_view>

#include "mesh/net/address.h"
#include "waypoint/config/route.h"
#include "waypoint/route/route.h"

namespace mesh::waypoint::route {

// What the command operators of a header's value can name. Borrows.
struct FormatContext {
  const http::Request* request = nullptr;
  const h2::Headers* response = nullptr;
  int response_code = 0;
  net::SocketAddress peer = {};          // who called
  net::SocketAddress local = {};         // what was dialled
  std::string_view peer_principal = {};  // spiffe://…
  std::string_view local_principal = {};
  std::string_view protocol = "HTTP/1.1";
  std::string_view route_name = {};
  std::string_view cluster = {};
  std::string_view hostname = {};  // of this proxy
};

// The operators that expand() knows:
//   %% %REQ(NAME)% %REQ(NAME?OTHER):N% %RESP(NAME)% %RESPONSE_CODE% %PROTOCOL% %ROUTE_NAME%
//   %UPSTREAM_CLUSTER% %HOSTNAME% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS%
//   %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%
//   %DOWNSTREAM_LOCAL_PORT% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_LOCAL_URI_SAN%
// An absent value is "". Another operator, or a '%' that begins none, is not a format.
bool is_format(std::string_view text);
std::string expand(std::string_view text, const FormatContext& context);

// Removals, then additions in order.
void apply(const config::HeaderChanges& changes, const FormatContext& context,
           h2::Headers& headers);

// What `match` matched of `path` becomes `replacement`. At a segment prefix the two are joined by
// exactly one '/' ("/old/x" with "/" for "/old" is "/x"). Never empty.
std::string replace_prefix(const config::PathMatch& match, std::string_view path,
                           std::string_view replacement);

// Everything a kForward decision changes, in Envoy's order: headers of the target, the route, the
// host, the table (the last wins; with most_specific_headers_win the other way round), then host,
// then path. x-envoy-original-path and x-forwarded-host say what was there. `context.request` must
// be a copy of, or the same as, `request` before.
void rewrite_request(const config::RouteTable& table, const Decision& decision,
                     const FormatContext& context, http::Request& request);
void rewrite_response(const config::RouteTable& table, const Decision& decision,
                      const FormatContext& context, h2::Headers& headers);

// The copy that a mirror gets.
void rewrite_mirrored(const config::Mirror& mirror, const FormatContext& context,
                      http::Request& request);

// Headers of Envoy's that steer it and that no client may send; and what only we may say.
void strip_internal_headers(h2::Headers& headers);

}  // namespace mesh::waypoint::route
