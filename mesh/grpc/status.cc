#include "mesh/grpc/status.h"

#include <array>
#include <charconv>

namespace mesh::grpc {
namespace {

constexpr std::array<std::string_view, kStatusCodeCount> kNames = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Printable ASCII and UTF-8 continue; a control byte would forge log lines.
char printable(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f ? '?' : c;
}

}  // namespace

std::string_view status_code_name(StatusCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

Error Status::error(const char* during) const {
  switch (code) {
    case StatusCode::kCancelled:
      return {.reason = Reason::kPeerReset, .during = during};
    case StatusCode::kDeadlineExceeded:
      return {.reason = Reason::kTimedOut, .during = during};
    case StatusCode::kUnavailable:
      return {.reason = Reason::kPeerClosed, .during = during};
    case StatusCode::kResourceExhausted:
      return {.reason = Reason::kExhausted, .during = during};
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
      return {.reason = Reason::kDenied, .during = during};
    default:
      return {.reason = Reason::kProtocol, .during = during};
  }
}

std::optional<StatusCode> parse_status_code(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error == std::errc::invalid_argument) return std::nullopt;
  if (end != text.data() + text.size()) return std::nullopt;
  if (error != std::errc() || value >= kNames.size()) return StatusCode::kUnknown;
  return static_cast<StatusCode>(value);
}

std::string decode_message(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size() && decoded.size() < kStatusMessageMax; ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded.push_back(printable(static_cast<char>(high << 4 | low)));
        i += 2;
        continue;
      }
    }
    decoded.push_back(printable(text[i]));
  }
  return decoded;
}

StatusCode status_of_http(unsigned http_status) {
  switch (http_status) {
    case 400:
      return StatusCode::kInternal;
    case 401:
      return StatusCode::kUnauthenticated;
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return StatusCode::kUnavailable;
    default:
      return StatusCode::kUnknown;
  }
}

Status status_of_trailers(std::span<const HeaderView> trailers, unsigned http_status) {
  std::optional<StatusCode> code;
  bool has_code = false;
  std::string message;
  for (const HeaderView& header : trailers) {
    if (header.name == "grpc-status") {
      // Two different endings are no ending.
      code = has_code ? StatusCode::kUnknown : parse_status_code(header.value);
      has_code = true;
    } else if (header.name == "grpc-message") {
      message = decode_message(header.value);
    }
  }
  if (has_code) return {code.value_or(StatusCode::kUnknown), std::move(message)};
  if (http_status == 200) return {StatusCode::kUnknown, "the response ended without grpc-status"};
  return {status_of_http(http_status), "http status " + std::to_string(http_status)};
}

Status status_of_reset(std::uint32_t h2_error_code) {
  const std::string text = "stream reset, code " + std::to_string(h2_error_code);
  switch (h2_error_code) {
    case 7:
      return {StatusCode::kUnavailable, text};  // REFUSED_STREAM
    case 8:
      return {StatusCode::kCancelled, text};  // CANCEL
    case 11:
      return {StatusCode::kResourceExhausted, text};  // ENHANCE_YOUR_CALM
    case 12:
      return {StatusCode::kPermissionDenied, text};  // INADEQUATE_SECURITY
    default:
      return {StatusCode::kInternal, text};
  }
}

}  // namespace mesh::grpc
