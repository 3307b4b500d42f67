#pragma once
// One HTTP/1.1 request of an operator or a scraper, parsed strictly: what is ambiguous is refused.
//
// Only what the admin pages need: no request body is used, no transfer coding, one request a
// connection.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::admin {

inline constexpr std::size_t kHeadBytesMax = 8192;  // request line and headers
inline constexpr std::size_t kHeadersMax = 64;
inline constexpr std::size_t kBodyBytesMax = 4096;  // read and ignored

struct Request {
  std::string method;  // GET, POST, …; case counts
  std::string path;    // as sent: no decoding, starts with '/'
  std::string query;   // after '?', without it
  bool has_query = false;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::size_t body_bytes = 0;

  // The value of the only header of that name; empty when absent.
  std::string_view header(std::string_view name) const;
  // The value of `key` in the query ("level=debug"), percent-decoded; none when absent, repeated or
  // badly encoded.
  std::optional<std::string> parameter(std::string_view key) const;
};

enum class ParseResult : std::uint8_t { kMore, kDone, kBad };

struct Parsed {
  ParseResult result = ParseResult::kMore;
  int status = 0;              // of a bad request: 400, 413, 414, 431, 501, 505
  Request request = {};        // of a good one
  std::size_t head_bytes = 0;  // of a good one; the body follows
};

// Looks at everything received so far. Pure; call again with more. At most kHeadBytesMax matter.
Parsed parse_request(std::string_view received);

}  // namespace mesh::admin
