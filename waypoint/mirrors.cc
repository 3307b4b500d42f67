#include "waypoint/mirrors.h"

#include <utility>

namespace mesh::waypoint {
namespace {

constexpr std::size_t kAnswerMax = 1 << 20;  // read so that the connection can be used again

}  // namespace

std::string shadow_of(std::string_view authority) {
  constexpr std::string_view kShadow = "-shadow";
  const auto bracket = authority.rfind(']');
  const auto colon = authority.rfind(':');
  const bool port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  const std::string_view host = authority.substr(0, port ? colon : authority.size());
  return std::string(host).append(kShadow).append(authority.substr(host.size()));
}

void Mirrors::send(config::SnapshotPtr snapshot, const config::Mirror& to, http::Request request,
                   std::string body, io::Duration timeout) {
  if (under_way_ >= kUnderWayMax) return drop();
  if (!to.host_rewrite.empty()) {
    request.authority = to.host_rewrite;
  } else if (to.append_shadow) {
    request.authority = shadow_of(request.authority);
  }
  ++under_way_;
  scope_.spawn(run(std::move(snapshot), {.cluster = to.cluster,
                                         .request = std::move(request),
                                         .body = std::move(body),
                                         .timeout = timeout,
                                         .response_max = kAnswerMax}));
}

io::Task<void> Mirrors::run(config::SnapshotPtr snapshot, HttpCall call) {
  const auto answer = co_await call_http(context_, std::move(snapshot), std::move(call));
  ++(answer ? counts_.sent : counts_.failed);
  --under_way_;
}

io::Task<void> Mirrors::close() {
  scope_.cancel();
  co_await scope_.join();
}

}  // namespace mesh::waypoint
