#pragma once
// The messages of envoy.service.auth.v3 as values: what an authorizer is asked, what it answers.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/net/address.h"
#include "waypoint/extensions/edits.h"
#include "waypoint/http/value.h"

namespace mesh::waypoint::extensions {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct CheckQuestion {
  net::SocketAddress source = {};
  std::string source_principal = {};
  net::SocketAddress destination = {};
  std::string destination_principal = {};
  std::chrono::system_clock::time_point time = {};
  std::string id = {};
  std::string method = {}, path = {}, host = {}, scheme = {}, protocol = {};
  Pairs headers = {};     // names once each; with pseudo-headers
  std::int64_t size = 0;  // of the body; -1: not known
  std::string body = {};
  bool raw_body = false;
  Pairs context_extensions = {};
  Pairs source_labels = {}, destination_labels = {};
  http::Value metadata = http::Value::object({});  // by filter
};
// Text that is no UTF-8 is made so: clean_utf8().
std::string encode(const CheckQuestion& question);

struct CheckAnswer {
  enum class Kind : std::uint8_t { kDenied, kAllowed, kError };
  Kind kind = Kind::kDenied;
  int status = 0;  // of a reply; 0: not said
  std::string body = {};
  std::vector<HeaderEdit> reply_headers = {};  // of a reply: kDenied, kError
  // kAllowed:
  std::vector<HeaderEdit> request_headers = {};
  std::vector<std::string> removed_headers = {};  // lower case
  std::vector<HeaderEdit> response_headers = {};
  Pairs set_query = {};
  std::vector<std::string> removed_query = {};
  http::Value metadata = {};  // an object, or null: none
};
// Errors: kMalformed (no such message, one that says nothing or contradicts itself, one with a
// field that we do not know, as it may be a condition), kTooLarge (more than kEditsMax of a kind).
Result<CheckAnswer> decode_check_answer(std::string_view bytes);

}  // namespace mesh::waypoint::extensions
