// The part of an exchange that has it copied: to mirrors.

#include "waypoint/exchange.h"
#include "waypoint/mirrors.h"
#include "waypoint/route/deadlines.h"

namespace mesh::waypoint {

// Bytes after an upgrade are nobody else's.
void Exchange::choose_mirrors() {
  if (!request_.protocol.empty() || context_.mirrors == nullptr) return;
  mirrors_ = route::mirrors(*decision_.forward(), context_.dice);
}

// The client has sent all of it: as the endpoint sees it, so do they.
void Exchange::send_mirrors() {
  const auto targets = std::exchange(mirrors_, {});
  if (targets.empty()) return;
  const config::Forward& forward = *decision_.forward();
  http::Request copy = request_;
  route::rewrite_request(*http_.routes, decision_, format_context(), copy);
  for (const config::Mirror* target : targets) {
    if (!body_->replayable()) {
      context_.mirrors->drop();
    } else {
      context_.mirrors->send(snapshot_, *target, copy, body_->kept(),
                             route::deadlines(forward, request_).whole);
    }
  }
}

}  // namespace mesh::waypoint
