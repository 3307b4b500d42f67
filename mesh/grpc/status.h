#pragma once
// Status: how a gRPC call ended, read from its trailers.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::grpc {

enum class StatusCode : std::uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};
inline constexpr std::size_t kStatusCodeCount = 17;

// "UNAVAILABLE": the spelling of logs and metrics.
std::string_view status_code_name(StatusCode code);

// Longer texts are cut: they go to logs.
inline constexpr std::size_t kStatusMessageMax = 1024;

struct Status {
  StatusCode code = StatusCode::kOk;
  std::string message;

  bool ok() const { return code == StatusCode::kOk; }
  // The same as an Error of the mesh, for callers that only pass it on.
  Error error(const char* during) const;

  friend bool operator==(const Status&, const Status&) = default;
};

struct HeaderView {
  std::string_view name;  // lower case
  std::string_view value;
};

// "grpc-status" of trailers: decimal, 0 to 16. A number above is kUnknown (as gRPC asks); what is
// not a number is none.
std::optional<StatusCode> parse_status_code(std::string_view text);

// "grpc-message": percent-decoded; a broken escape stays as it is; bytes that a log line cannot
// hold become '?'; cut at kStatusMessageMax.
std::string decode_message(std::string_view text);

// What a response without a grpc-status means, from its HTTP status (gRPC's own table).
StatusCode status_of_http(unsigned http_status);

// The end of a call from its last header block (trailers, or headers with END_STREAM).
Status status_of_trailers(std::span<const HeaderView> trailers, unsigned http_status);

// The end of a call whose stream was reset with this HTTP/2 error code (gRPC's own table).
Status status_of_reset(std::uint32_t h2_error_code);

}  // namespace mesh::grpc
