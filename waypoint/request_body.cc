#include "waypoint/request_body.h"

namespace mesh::waypoint {
namespace {

// A smaller part is copied when it is kept: it would hold the buffer it came in.
constexpr std::size_t kCopyBelow = 4096;

}  // namespace

void RequestBody::keep(const tls::Slice& part) {
  if (dropped_) return;
  if (kept_bytes_ + part.size() > keep_max_) {
    dropped_ = true;
    kept_.clear();
    return;
  }
  kept_bytes_ += part.size();
  kept_.push_back(part.size() < kCopyBelow ? tls::Slice::copy_of(part.bytes()) : part);
}

std::string RequestBody::kept() const {
  std::string text;
  text.reserve(kept_bytes_);
  for (const tls::Slice& part : kept_) {
    text.append(reinterpret_cast<const char*>(part.bytes().data()), part.size());
  }
  return text;
}

io::Task<Result<Done>> RequestBody::pump(wire::ClientStream& to, std::function<void()> at_end) {
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const tls::Slice part = kept_[i];
    CO_TRY_DO(co_await to.write(part.bytes()));
  }
  while (!ended_) {
    auto part = co_await from_.read();
    if (!part) {
      if (part.error().reason != Reason::kCancelled) client_failure_ = part.error();
      co_return std::unexpected(part.error());
    }
    if (part->empty()) {
      ended_ = true;
      trailers_ = from_.take_trailers();
      clock_.limit_request({});
      if (at_end) at_end();
      break;
    }
    clock_.touch();
    bytes_ += part->size();
    keep(*part);
    CO_TRY_DO(co_await to.write(part->bytes()));
    clock_.touch();
  }
  co_return co_await to.finish(trailers_);
}

io::Task<Result<Done>> RequestBody::pump_raw(wire::ClientStream& to) {
  for (;;) {
    auto part = co_await from_.read();
    if (!part) {
      if (part.error().reason != Reason::kCancelled) client_failure_ = part.error();
      co_return std::unexpected(part.error());
    }
    if (part->empty()) co_return co_await to.finish({});
    clock_.touch();
    bytes_ += part->size();
    CO_TRY_DO(co_await to.write(part->bytes()));
  }
}

}  // namespace mesh::waypoint
