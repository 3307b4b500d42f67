#include "mesh/admin/http_request.h"

#include <algorithm>
#include <cstdint>

namespace mesh::admin {
namespace {

constexpr std::size_t kTargetBytesMax = 2048;

// RFC 9110 section 5.6.2.
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

Parsed bad(int status) { return {.result = ParseResult::kBad, .status = status}; }

// Takes the text up to the next CRLF. A bare CR or LF inside is not a line.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  const std::string_view line = text.substr(0, end);
  if (line.find_first_of("\r\n") != std::string_view::npos) return std::nullopt;
  text.remove_prefix(std::min(text.size(), end + 2));
  return line;
}

// 0, or the status of a refusal.
int parse_request_line(std::string_view line, Request& request, bool& version_1_1) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return 400;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method)) return 400;
  if (target.size() > kTargetBytesMax) return 414;
  if (!target.starts_with('/') || !std::ranges::all_of(target, is_visible)) return 400;
  if (target.find('#') != std::string_view::npos) return 400;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return version.starts_with("HTTP/") ? 505 : 400;
  }
  version_1_1 = version == "HTTP/1.1";
  request.method = method;
  const std::size_t question = target.find('?');
  request.path = target.substr(0, question);
  request.has_query = question != std::string_view::npos;
  if (request.has_query) request.query = target.substr(question + 1);
  return 0;
}

// RFC 9112 section 5: no white space before the colon, no line folding.
int parse_header(std::string_view line, Request& request) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return 400;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  std::string_view value = line.substr(colon + 1);
  while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
  while (value.ends_with(' ') || value.ends_with('\t')) value.remove_suffix(1);
  const bool clean = std::ranges::all_of(value, [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
  if (!clean) return 400;
  request.headers.emplace_back(std::move(name), value);
  return 0;
}

int check_headers(Request& request, bool version_1_1) {
  const auto count = [&](std::string_view name) {
    return std::ranges::count(request.headers, name,
                              [](const auto& header) -> std::string_view { return header.first; });
  };
  if (count("host") > 1 || (version_1_1 && count("host") == 0)) return 400;
  if (count("transfer-encoding") > 0) return 501;
  if (count("content-length") > 1) return 400;
  if (count("content-length") == 1) {
    const std::string_view digits = request.header("content-length");
    if (digits.empty() || !std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; }))
      return 400;
    if (digits.size() > 9) return 413;
    request.body_bytes = std::stoul(std::string(digits));
    if (request.body_bytes > kBodyBytesMax) return 413;
  }
  return 0;
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::optional<std::string> Request::parameter(std::string_view key) const {
  const auto hex = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::optional<std::string> found;
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != key) continue;
    if (found) return std::nullopt;
    found.emplace();
    for (std::string_view value = pair.substr(equals + 1); !value.empty(); value.remove_prefix(1)) {
      if (value[0] != '%') {
        found->push_back(value[0]);
        continue;
      }
      if (value.size() < 3 || hex(value[1]) < 0 || hex(value[2]) < 0) return std::nullopt;
      found->push_back(static_cast<char>(hex(value[1]) * 16 + hex(value[2])));
      value.remove_prefix(2);
    }
  }
  return found;
}

Parsed parse_request(std::string_view received) {
  const std::size_t end = received.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    return received.size() >= kHeadBytesMax ? bad(431) : Parsed{};
  }
  if (end + 4 > kHeadBytesMax) return bad(431);
  Parsed parsed{.result = ParseResult::kDone, .head_bytes = end + 4};
  std::string_view head = received.substr(0, end + 2);
  bool version_1_1 = false;
  const auto line = take_line(head);
  if (!line) return bad(400);
  if (const int status = parse_request_line(*line, parsed.request, version_1_1)) return bad(status);
  while (!head.empty()) {
    const auto header = take_line(head);
    if (!header) return bad(400);
    if (parsed.request.headers.size() >= kHeadersMax) return bad(431);
    if (const int status = parse_header(*header, parsed.request)) return bad(status);
  }
  if (const int status = check_headers(parsed.request, version_1_1)) return bad(status);
  return parsed;
}

}  // namespace mesh::admin
