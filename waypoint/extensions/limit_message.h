#pragma once
// The messages of envoy.service.ratelimit.v3 as values.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/base/result.h"
#include "waypoint/extensions/edits.h"
#include "waypoint/http/value.h"

namespace mesh::waypoint::extensions {

struct LimitQuestion {
  std::string domain = {};
  std::vector<std::vector<std::pair<std::string, std::string>>> descriptors = {};
};
std::string encode(const LimitQuestion& question);

struct LimitAnswer {
  struct Status {  // of a descriptor that has a limit
    std::uint32_t limit = 0;
    std::string name = {};
    std::uint32_t window = 0;  // seconds
    std::uint32_t remaining = 0;
    std::uint64_t reset = 0;  // seconds until there is more
  };
  bool over = true;
  std::vector<Status> statuses = {};
  std::vector<HeaderEdit> response_headers = {};
  std::vector<HeaderEdit> request_headers = {};
  std::string body = {};
  http::Value metadata = {};  // an object, or null: none
};
// Errors: kMalformed (no such message, or it does not say whether), kTooLarge (more than kEditsMax
// of a kind).
Result<LimitAnswer> decode_limit_answer(std::string_view bytes);

}  // namespace mesh::waypoint::extensions
