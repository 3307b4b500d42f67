#include "waypoint/extensions/rate_limit.h"

#include <algorithm>
#include <utility>

namespace mesh::waypoint::extensions {
namespace {

// Draft 03 of the RateLimit headers: the limit with the least left, then all of them.
void tell(const LimitAnswer& answer, std::vector<HeaderEdit>& headers) {
  if (answer.statuses.empty()) return;
  const auto least = std::ranges::min_element(answer.statuses, {}, &LimitAnswer::Status::remaining);
  std::string limits = std::to_string(least->limit);
  for (const LimitAnswer::Status& status : answer.statuses) {
    if (status.window == 0) continue;
    limits += ", " + std::to_string(status.limit) + ";w=" + std::to_string(status.window);
    if (status.name.empty() || status.name.contains('"')) continue;
    limits += ";name=\"" + status.name + "\"";
  }
  headers.push_back({.name = "x-ratelimit-limit", .value = limits});
  headers.push_back({.name = "x-ratelimit-remaining", .value = std::to_string(least->remaining)});
  headers.push_back({.name = "x-ratelimit-reset", .value = std::to_string(least->reset)});
}

// What cannot be done is left out: it decides nothing.
std::vector<HeaderEdit> sound(std::vector<HeaderEdit> edits) {
  std::erase_if(edits, [](const HeaderEdit& edit) { return !is_good_edit(edit); });
  return edits;
}

LocalReply over(const config::RateLimitService& filter, const LimitAnswer& answer,
                const std::vector<HeaderEdit>& told) {
  LocalReply reply{.status = filter.status,
                   .flags = Flag::kRL,
                   .details = "request_rate_limited",
                   .body = answer.body,
                   .grpc_resource_exhausted = filter.grpc_resource_exhausted};
  if (!filter.disable_x_envoy_ratelimited) reply.headers.push_back({"x-envoy-ratelimited", "true"});
  apply(told, reply.headers);
  for (const auto& [name, value] : filter.response_headers) {
    http::add_header(reply.headers, name, value);
  }
  return reply;
}

}  // namespace

LimitResult judge(const config::RateLimitService& filter, const Result<LimitAnswer>& answer) {
  LimitResult result;
  if (!answer) {
    if (!filter.failure_mode_deny) return result;
    result.refusal = LocalReply{
        .status = filter.status_on_error, .flags = Flag::kRLSE, .details = "rate_limiter_error"};
    return result;
  }
  std::vector<HeaderEdit> told;
  if (filter.ratelimit_headers) tell(*answer, told);
  told.insert(told.end(), answer->response_headers.begin(), answer->response_headers.end());
  told = sound(std::move(told));
  result.metadata = answer->metadata;
  if (answer->over) {
    result.refusal = over(filter, *answer, told);
    return result;
  }
  result.response_headers = std::move(told);
  result.request_headers = sound(answer->request_headers);
  return result;
}

io::Task<LimitResult> ask_limit(RingContext& context, config::SnapshotPtr snapshot,
                                const config::RateLimitService& filter, LimitQuestion question) {
  if (question.descriptors.empty()) co_return LimitResult();
  if (question.descriptors.size() > kDescriptorsMax) {
    co_return judge(filter, failed(Reason::kTooLarge, "descriptors"));
  }
  GrpcCall call{.cluster = filter.cluster,
                .authority = filter.authority,
                .path = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
                .timeout = filter.timeout,
                .message_max = kLimitAnswerMax};
  const auto answer =
      co_await call_grpc(context, std::move(snapshot), std::move(call), encode(question));
  if (!answer) co_return judge(filter, std::unexpected(answer.error()));
  if (!answer->status.ok()) co_return judge(filter, failed(Reason::kRefused, "rate limit"));
  co_return judge(filter, decode_limit_answer(answer->message));
}

}  // namespace mesh::waypoint::extensions
