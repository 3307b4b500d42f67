#include "waypoint/balance/retry.h"

#include <algorithm>
#include <charconv>

namespace mesh::waypoint::balance {

namespace {

using std::chrono::nanoseconds;

template <class T>
std::optional<T> decimal(std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool any_holds(const std::vector<config::HeaderMatch>& matches, const auto& from) {
  return std::ranges::any_of(matches, [&from](const config::HeaderMatch& match) {
    return match.holds_for(http::header_text(from, match.name).value());
  });
}

}  // namespace

Retry::Retry(const config::RetryPolicy* policy, const http::Request& request) : policy_(policy) {
  if (policy != nullptr && !policy->request_headers.empty() &&
      !any_holds(policy->request_headers, request)) {
    policy_ = nullptr;
  }
}

bool Retry::wants(int status, const h2::Headers& response) const {
  if (policy_ == nullptr) return false;
  // A proxy that says it is overloaded is not helped by more of the same.
  if (http::header_text(response, "x-envoy-overloaded").present()) return false;
  if (http::header_text(response, "x-envoy-ratelimited").present()) {
    return policy_->on_envoy_ratelimited;
  }
  const bool gateway = status == 502 || status == 503 || status == 504;
  if (policy_->on_5xx && status >= 500 && status < 600) return true;
  if (policy_->on_gateway_error && gateway) return true;
  if (policy_->on_retriable_4xx && status == 409) return true;
  if (policy_->on_retriable_status_codes &&
      std::ranges::find(policy_->status_codes, static_cast<std::uint32_t>(status)) !=
          policy_->status_codes.end()) {
    return true;
  }
  if (policy_->on_retriable_headers && any_holds(policy_->response_headers, response)) return true;
  return wants_grpc(response);
}

// Only what the head says: by the time trailers come, the answer has been passed on.
bool Retry::wants_grpc(const h2::Headers& response) const {
  const auto status = decimal<int>(http::header_text(response, "grpc-status").text());
  if (!status) return false;
  switch (*status) {
    case 1:
      return policy_->on_grpc_cancelled;
    case 4:
      return policy_->on_grpc_deadline_exceeded;
    case 8:
      return policy_->on_grpc_resource_exhausted;
    case 13:
      return policy_->on_grpc_internal;
    case 14:
      return policy_->on_grpc_unavailable;
    default:
      return false;
  }
}

bool Retry::wants(TryFailure failure) const {
  if (policy_ == nullptr || failure == TryFailure::kOverflow) return false;
  if (policy_->on_5xx || policy_->on_reset) return true;
  switch (failure) {
    case TryFailure::kConnectFailure:
      return policy_->on_connect_failure;
    case TryFailure::kRefusedStream:
      return policy_->on_refused_stream;
    case TryFailure::kResetBeforeRequest:
      return policy_->on_reset_before_request;
    // The client would see a 504.
    case TryFailure::kTryTimeout:
      return policy_->on_gateway_error;
    case TryFailure::kReset:
    case TryFailure::kOverflow:
      return false;
  }
  return false;
}

std::optional<nanoseconds> Retry::rate_limited(const h2::Headers& response,
                                               std::chrono::sys_seconds wall_now) const {
  for (const config::RetryPolicy::ResetHeader& header : policy_->rate_limited_headers) {
    const auto number = decimal<std::int64_t>(http::header_text(response, header.name).text());
    if (!number) continue;
    const std::int64_t seconds =
        header.unix_timestamp ? *number - wall_now.time_since_epoch().count() : *number;
    const auto most = std::chrono::duration_cast<std::chrono::seconds>(policy_->rate_limited_max);
    // Envoy, too, then asks the next header, and in the end backs off as usual.
    if (seconds <= 0 || seconds > most.count()) continue;
    return std::chrono::seconds(seconds);
  }
  return std::nullopt;
}

std::optional<nanoseconds> Retry::next(const h2::Headers* response,
                                       std::chrono::sys_seconds wall_now, http::Dice& dice) {
  if (policy_ == nullptr || tries_ >= policy_->retries) return std::nullopt;
  ++tries_;
  const auto with_jitter = [&dice](nanoseconds least) {
    return least + nanoseconds(dice.below(static_cast<std::uint64_t>(least.count() / 2 + 1)));
  };
  if (response != nullptr) {
    if (const auto asked = rate_limited(*response, wall_now)) return with_jitter(*asked);
  }
  const nanoseconds base = policy_->backoff_base;
  const nanoseconds most = std::max(nanoseconds(policy_->backoff_max), base);
  // Doubled at most 30 times: longer than any maximum, and no overflow.
  nanoseconds window = base;
  for (std::uint32_t i = 1; i < std::min(tries_, 30u) && window < most; ++i) window *= 2;
  window = std::min(window, most);
  if (policy_->backoff_is_minimum) return with_jitter(window);
  return nanoseconds(dice.below(static_cast<std::uint64_t>(window.count())));
}

}  // namespace mesh::waypoint::balance
