// Upgrades: an Upgrade of HTTP/1.1 and an extended CONNECT of HTTP/2 are the same request
// (RFC 8441), whatever each side speaks.

#include "mesh/io/both.h"
#include "waypoint/exchange.h"
#include "waypoint/wire/websocket.h"

namespace mesh::waypoint {
namespace {

constexpr const char* kKey = "sec-websocket-key";
constexpr const char* kAccept = "sec-websocket-accept";

}  // namespace

// An upgrade to an endpoint of HTTP/2 that does not offer extended CONNECT goes by HTTP/1.1.
io::Task<Result<OpenedUpstream>> Exchange::open_endpoint(const config::Cluster& cluster,
                                                         const config::Endpoint& endpoint) {
  using Version = config::Http::Version;
  const bool http2 =
      cluster.http.version == Version::kHttp2 || (cluster.http.version == Version::kAsDownstream &&
                                                  stream_.version() == wire::Version::kHttp2);
  if (http2) {
    CO_TRY(OpenedUpstream opened,
           co_await context_.upstreams.open(cluster, endpoint, wire::Version::kHttp2, *breaker_));
    if (request_.protocol.empty()) co_return opened;
    CO_TRY(const bool offered, co_await opened.stream->takes_upgrades());
    if (offered) co_return opened;
  }
  co_return co_await context_.upstreams.open(cluster, endpoint, wire::Version::kHttp1, *breaker_);
}

// HTTP/2 has no keys. A client of HTTP/2 brings none, and an endpoint of HTTP/1.1 wants one.
void Exchange::begin_handshake(http::Request& request, wire::Version version) {
  websocket_key_.clear();
  own_websocket_key_ = false;
  if (request.protocol != "websocket") return;
  const auto key = http::header_text(request.headers, kKey);
  if (key.present()) {
    websocket_key_ = key.text();
  } else if (version == wire::Version::kHttp1) {
    const std::uint64_t random[2] = {context_.dice.roll(), context_.dice.roll()};
    websocket_key_ = wire::websocket_key(random);
    own_websocket_key_ = true;
    http::set_header(request.headers, kKey, websocket_key_);
  }
}

// What the endpoint answers, as the client's version wants it. Errors: kProtocol.
Result<wire::Response> Exchange::finish_handshake(wire::Response head) const {
  // To a client of HTTP/2 every 2xx is a tunnel: one that is none is not shown to it.
  const bool tunnel = head.status == 101;
  if (!tunnel && head.status / 100 == 2 && stream_.version() == wire::Version::kHttp2) {
    return failed(Reason::kProtocol, "an answer to something else than an upgrade");
  }
  if (!tunnel || websocket_key_.empty()) return head;
  const std::string accept = wire::websocket_accept(websocket_key_);
  const auto said = http::header_text(head.headers, kAccept);
  if (own_websocket_key_) {
    if (!said.present() || said.text() != accept) {
      return failed(Reason::kProtocol, "an answer to another key");
    }
    http::remove_header(head.headers, kAccept);
  } else if (!said.present() && stream_.version() == wire::Version::kHttp1) {
    http::set_header(head.headers, kAccept, accept);
  }
  return head;
}

// From here on there are bytes: a route's timeout is for answers, silence is for clocks.
io::Task<Result<Done>> Exchange::relay_upgraded(wire::ClientStream& upstream, wire::Response head) {
  clock_->limit_request({});
  all_tries_->limit_whole({});
  CO_TRY_DO(co_await stream_.respond(std::move(head), false));
  const auto ends = co_await io::both(body_->pump_raw(upstream), relay_body(upstream));
  if (!ends.first) co_return ends.first;
  co_return ends.second;
}

}  // namespace mesh::waypoint
