#include "waypoint/extensions/limit_message.h"

#include "envoy/service_ratelimit.pb.h"
#include "mesh/base/utf8.h"
#include "waypoint/config/match.h"
#include "waypoint/extensions/wire_values.h"

namespace mesh::waypoint::extensions {
namespace {

namespace limit = envoy::service::ratelimit::v3;
using Headers = google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValue>;

std::uint32_t seconds_of(limit::RateLimitResponse::RateLimit::Unit unit) {
  using Limit = limit::RateLimitResponse::RateLimit;
  switch (unit) {
    case Limit::SECOND:
      return 1;
    case Limit::MINUTE:
      return 60;
    case Limit::HOUR:
      return 3'600;
    case Limit::DAY:
      return 86'400;
    case Limit::WEEK:
      return 7 * 86'400;
    case Limit::MONTH:
      return 30 * 86'400;
    case Limit::YEAR:
      return 365 * 86'400;
    default:
      return 0;
  }
}

std::vector<HeaderEdit> added(const Headers& headers) {
  std::vector<HeaderEdit> made;
  for (const auto& header : headers) {
    made.push_back({.name = config::to_lower(header.key()),
                    .value = wire_values::value_of(header),
                    .action = HeaderEdit::Action::kAppend});
  }
  return made;
}

}  // namespace

std::string encode(const LimitQuestion& question) {
  limit::RateLimitRequest request;
  request.set_domain(clean_utf8(question.domain));
  for (const auto& descriptor : question.descriptors) {
    auto* made = request.add_descriptors();
    for (const auto& [key, value] : descriptor) {
      auto* entry = made->add_entries();
      entry->set_key(clean_utf8(key));
      entry->set_value(clean_utf8(value));
    }
  }
  return request.SerializeAsString();
}

Result<LimitAnswer> decode_limit_answer(std::string_view bytes) {
  using Response = limit::RateLimitResponse;
  Response message;
  const bool parsed = message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (!parsed ||
      (message.overall_code() != Response::OK && message.overall_code() != Response::OVER_LIMIT)) {
    return failed(Reason::kMalformed, "RateLimitResponse");
  }
  LimitAnswer answer{.over = message.overall_code() == Response::OVER_LIMIT,
                     .response_headers = added(message.response_headers_to_add()),
                     .request_headers = added(message.request_headers_to_add()),
                     .body = message.raw_body()};
  if (answer.response_headers.size() > kEditsMax || answer.request_headers.size() > kEditsMax ||
      static_cast<std::size_t>(message.statuses_size()) > kEditsMax) {
    return failed(Reason::kTooLarge, "RateLimitResponse");
  }
  for (const auto& status : message.statuses()) {
    if (!status.has_current_limit()) continue;
    const std::int64_t reset = status.duration_until_reset().seconds();
    answer.statuses.push_back({.limit = status.current_limit().requests_per_unit(),
                               .name = status.current_limit().name(),
                               .window = seconds_of(status.current_limit().unit()),
                               .remaining = status.limit_remaining(),
                               .reset = static_cast<std::uint64_t>(reset < 0 ? 0 : reset)});
  }
  if (message.has_dynamic_metadata() &&
      !wire_values::from_struct(message.dynamic_metadata(), answer.metadata)) {
    return failed(Reason::kMalformed, "RateLimitResponse");
  }
  return answer;
}

}  // namespace mesh::waypoint::extensions
