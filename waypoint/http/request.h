#pragma once
// Request: the head of a request as everything that decides sees it, and the few header operations
// that they share. Values; no limits of its own (the parsers have them).

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mesh/h2/message.h"

namespace mesh::waypoint::http {

struct Request {
  std::string method = {};
  std::string scheme = "http";
  std::string authority = {};
  std::string path = {};     // with the query; normalised (path.h) before anybody decides on it
  h2::Headers headers = {};  // names in lower case; no pseudo-headers, no Host
  // Lower case: what an Upgrade or an extended CONNECT asks for. The method is then GET.
  std::string protocol = {};

  // The part of `path` before '?'.
  std::string_view path_only() const;
  // Behind '?', or empty.
  std::string_view query() const;
};

// Every value of one header, joined by ','. Almost always there is one, and then nothing is copied.
class HeaderText {
 public:
  HeaderText() = default;
  explicit HeaderText(std::string_view one) : present_(true), one_(one) {}
  explicit HeaderText(std::string joined)
      : present_(true), is_joined_(true), joined_(std::move(joined)) {}

  bool present() const { return present_; }
  std::string_view text() const { return is_joined_ ? std::string_view(joined_) : one_; }
  std::optional<std::string_view> value() const {
    return present_ ? std::optional(text()) : std::nullopt;
  }

 private:
  bool present_ = false;
  bool is_joined_ = false;
  std::string_view one_ = {};
  std::string joined_ = {};
};

// `name` in lower case. Borrows `headers`.
HeaderText header_text(const h2::Headers& headers, std::string_view name);
// The same, and of ":method", ":scheme", ":authority" (or "host"), ":path". Borrows `request`.
HeaderText header_text(const Request& request, std::string_view name);

void remove_header(h2::Headers& headers, std::string_view name);
// Replaces all of that name by one.
void set_header(h2::Headers& headers, std::string_view name, std::string_view value);
void add_header(h2::Headers& headers, std::string_view name, std::string_view value);

// A name that RFC 9110 allows, in lower case and not a pseudo-header.
bool is_header_name(std::string_view name);
// A value without CR, LF, NUL.
bool is_header_value(std::string_view value);

// content-type is application/grpc, or application/grpc+…
bool is_grpc(const h2::Headers& headers);

// The first value of a query parameter, as it stands in the query: percent-encoding is kept, like
// Envoy does. None: not there. "a" alone has the value "".
std::optional<std::string_view> query_parameter(std::string_view query, std::string_view name);

// The value of a cookie of that name, quotes taken off.
std::optional<std::string> cookie(const h2::Headers& headers, std::string_view name);

}  // namespace mesh::waypoint::http
