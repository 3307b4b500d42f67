#pragma once
// The messages of envoy.service.ext_proc.v3 as values.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "waypoint/config/filter.h"
#include "waypoint/extensions/edits.h"

namespace mesh::waypoint::extensions {

// What of a request or its response a message is about.
enum class ProcessPart : std::uint8_t {
  kRequestHeaders,
  kResponseHeaders,
  kRequestBody,
  kResponseBody,
  kRequestTrailers,
  kResponseTrailers,
};

struct ProcessQuestion {
  ProcessPart part = ProcessPart::kRequestHeaders;
  h2::Headers headers = {};  // of heads, with pseudo-headers; trailers
  std::string body = {};
  bool end = false;  // nothing of this side follows
  // Of the first message: how bodies will come.
  std::optional<config::ExtProc::Body> request_body = {}, response_body = {};
};
std::string encode(const ProcessQuestion& question);

struct ProcessMutation {
  std::vector<std::string> removed = {};  // lower case; before the others
  std::vector<HeaderEdit> set = {};

  bool empty() const { return removed.empty() && set.empty(); }
};

// What is sent from here on, and how.
struct ProcessMode {
  config::ExtProc::Send response_header = config::ExtProc::Send::kDefault;
  config::ExtProc::Body request_body = config::ExtProc::Body::kNone;
  config::ExtProc::Body response_body = config::ExtProc::Body::kNone;
  config::ExtProc::Send request_trailer = config::ExtProc::Send::kDefault;
  config::ExtProc::Send response_trailer = config::ExtProc::Send::kDefault;
};

struct ProcessAnswer {
  enum class Kind : std::uint8_t { kContinue, kReply, kMoreTime };
  Kind kind = Kind::kReply;
  ProcessPart part = ProcessPart::kRequestHeaders;  // kContinue
  ProcessMutation headers = {};
  std::optional<std::string> body = {};  // instead of what was sent; empty: none
  bool replaces = false;                 // with this, the body of this side is over
  bool clear_route_cache = false;
  std::optional<ProcessMode> mode = {};
  std::chrono::milliseconds more_time{0};  // kMoreTime
  // kReply:
  int status = 0;
  std::optional<std::uint32_t> grpc_status = {};
  std::string details = {};
};
// Errors: kMalformed (no such message, one without an answer, one with a field that we do not
// know), kTooLarge (more than kEditsMax changes).
Result<ProcessAnswer> decode_process_answer(std::string_view bytes);

}  // namespace mesh::waypoint::extensions
