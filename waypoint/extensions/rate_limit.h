#pragma once
// The global rate limit: asks a service whether anything is left of a request's limits. A service
// that does not answer lets through, unless the filter says otherwise.

#include <optional>
#include <string_view>
#include <vector>

#include "mesh/io/task.h"
#include "waypoint/callout.h"
#include "waypoint/config/filter.h"
#include "waypoint/extensions/limit_message.h"
#include "waypoint/local_reply.h"

namespace mesh::waypoint::extensions {

inline constexpr std::string_view kLimitMetadataFilter = "envoy.filters.http.ratelimit";
inline constexpr std::size_t kLimitAnswerMax = 64 * 1024;
inline constexpr std::size_t kDescriptorsMax = 64;  // of a question; beyond it: a failure

struct LimitResult {
  std::optional<LocalReply> refusal = {};
  std::vector<HeaderEdit> request_headers = {};
  std::vector<HeaderEdit> response_headers = {};  // of any response but a refusal
  http::Value metadata = {};
};
// Pure: what an answer comes to; an error: there is none.
LimitResult judge(const config::RateLimitService& filter, const Result<LimitAnswer>& answer);
// A question without descriptors is not asked.
io::Task<LimitResult> ask_limit(RingContext& context, config::SnapshotPtr snapshot,
                                const config::RateLimitService& filter, LimitQuestion question);

}  // namespace mesh::waypoint::extensions
