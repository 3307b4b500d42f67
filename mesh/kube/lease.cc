#include "mesh/kube/lease.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/manifest/json.h"
#include "mesh/telemetry/log.h"

namespace mesh::kube {
namespace {

using manifest::Value;

constexpr std::string_view kManager = "weft-lease";
// Longer than anybody asks for: a Lease that says more does not lock everybody out for ever.
constexpr std::uint64_t kMaxDuration = 3600;

std::string text_of(const Value* value) {
  return value == nullptr || value->type != Value::Type::kScalar ? std::string() : value->text;
}

std::uint64_t number_of(const Value* value) {
  const std::string text = text_of(value);
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// 2026-11-21T15:47:03.000012Z, quoted
std::string micro_time(std::int64_t unix_microseconds) {
  std::string text = timestamp(unix_microseconds / 1'000'000);
  text.pop_back();  // its Z
  char micros[16];
  std::snprintf(micros, sizeof micros, ".%06dZ", static_cast<int>(unix_microseconds % 1'000'000));
  return "\"" + text + micros + "\"";
}

std::string quoted(std::string_view text) {
  std::string out;
  telemetry::append_quoted_json(out, text);
  return out;
}

}  // namespace

Lease::Lease(Options options) : options_(std::move(options)) {
  MESH_CHECK(options_.deadline < options_.duration && options_.retry < options_.deadline);
}

Target Lease::target() const {
  return {.type = {.group = "coordination.k8s.io", .version = "v1", .plural = "leases"},
          .ns = options_.ns,
          .name = options_.name};
}

std::optional<HttpRequest> Lease::next(Time now, std::int64_t unix_microseconds) {
  if (open_ || released_ || now < wake_) return {};
  open_ = true;
  asked_ = now;
  HttpRequest request = ask_ == Ask::kRead ? get_request(target()) : write(unix_microseconds);
  // An answer that comes later than this is of no use: it would not count.
  request.timeout = options_.deadline;
  return request;
}

HttpRequest Lease::write(std::int64_t unix_microseconds) {
  const std::string now = micro_time(unix_microseconds);
  const bool ours = holder_ == options_.identity;
  std::string body =
      R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":)" +
      quoted(options_.name);
  if (ask_ == Ask::kTake) body += R"(,"resourceVersion":)" + quoted(version_);
  body += R"(},"spec":{"holderIdentity":)" + quoted(options_.identity);
  body += R"(,"leaseDurationSeconds":)" + std::to_string(options_.duration.count());
  body += R"(,"renewTime":)" + now;
  if (!ours) {
    body += R"(,"acquireTime":)" + now;
    body += R"(,"leaseTransitions":)" + std::to_string(transitions_ + (ask_ == Ask::kTake ? 1 : 0));
  }
  body += "}}";
  return ask_ == Ask::kCreate ? create_request(target(), std::move(body))
                              : patch_request(target(), std::move(body), kManager);
}

void Lease::answer(const std::expected<std::string, Status>& answer, Time now) {
  open_ = false;
  if (released_) return;
  if (answer) {
    take_in(*answer, now);
  } else {
    refused(answer.error(), now);
  }
}

void Lease::refused(const Status& status, Time now) {
  wake_ = now + options_.retry;
  if (status.code == 404 && ask_ == Ask::kRead) {
    ask_ = Ask::kCreate;
    version_.clear();
    holder_.clear();
    wake_ = now;
    return;
  }
  const Ask asked = std::exchange(ask_, Ask::kRead);
  if (status.code == 409) {  // somebody was first: look who
    wake_ = now;
    return;
  }
  if (status.retry_after_seconds) {
    const std::chrono::seconds told(std::min<std::uint32_t>(*status.retry_after_seconds, 60));
    wake_ = std::max(wake_, now + told);
  }
  const char* verb = asked == Ask::kRead ? "get" : asked == Ask::kCreate ? "create" : "patch";
  problem_ = write_error(verb, target(), status).text;
  ++failures_;
}

void Lease::take_in(const std::string& body, Time now) {
  wake_ = now + options_.retry;
  const auto value = manifest::read_json(body);
  const std::string version = value ? metadata_text(*value, "resourceVersion") : std::string();
  if (version.empty()) {
    ask_ = Ask::kRead;
    problem_ = "the answer about " + target().to_string() + " is not a Lease";
    ++failures_;
    return;
  }
  problem_.clear();
  const Value* spec = member(&*value, "spec");
  if (version != version_) seen_ = now;
  version_ = version;
  holder_ = text_of(member(spec, "holderIdentity"));
  transitions_ = number_of(member(spec, "leaseTransitions"));
  their_duration_ =
      std::chrono::seconds(std::min(number_of(member(spec, "leaseDurationSeconds")), kMaxDuration));
  const bool wrote = std::exchange(ask_, Ask::kRead) != Ask::kRead;
  if (holder_ == options_.identity) {
    ask_ = Ask::kTake;
    // Counted from when we asked: the others count from when it was written, which is later. What
    // was only read may have been written long ago.
    if (wrote) held_until_ = std::max(held_until_, asked_ + options_.deadline);
    if (!wrote) wake_ = now;
    return;
  }
  held_until_ = {};
  if (!holder_.empty() && now < seen_ + their_duration_) return;
  ask_ = Ask::kTake;
  wake_ = now;
}

std::optional<HttpRequest> Lease::release() {
  const bool had = holder_ == options_.identity && !released_;
  released_ = true;
  held_until_ = {};
  if (!had || version_.empty()) return {};
  HttpRequest request =
      patch_request(target(),
                    R"({"metadata":{"resourceVersion":)" + quoted(version_) +
                        R"(},"spec":{"holderIdentity":"","leaseDurationSeconds":1}})",
                    kManager);
  request.timeout = std::chrono::seconds(3);
  return request;
}

}  // namespace mesh::kube
