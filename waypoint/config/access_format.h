#pragma once
// AccessFormat: a line of an access log as it is configured, taken apart once: literal text and
// Envoy's command operators. What an operator is worth is waypoint/access_line's to say.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::waypoint::config {

enum class LogOperator : std::uint8_t {
  kLiteral,  // `text` itself
  kRequestHeader,
  kResponseHeader,
  kResponseTrailer,
  kStartTime,
  kProtocol,
  kResponseCode,
  kResponseFlags,
  kResponseCodeDetails,
  kConnectionDetails,
  kUpstreamFailure,
  kBytesReceived,
  kBytesSent,
  kDuration,
  kResponseDuration,
  kUpstreamHost,
  kUpstreamCluster,
  kUpstreamLocalAddress,
  kLocalAddress,
  kLocalAddressWithoutPort,
  kLocalPort,
  kRemoteAddress,
  kRemoteAddressWithoutPort,
  kRemotePort,
  kServerName,
  kRouteName,
  kPeerUri,
  kLocalUri,
  kGrpcStatus,
  kGrpcStatusNumber,
  kAttempts,
  kHostname,
  kRequestId,
  kTraceId,
  kMetadata,  // what a filter said of the request: text, a number or a truth
  kNothing,   // known, and never there: "-"
};

struct LogPiece {
  LogOperator what = LogOperator::kLiteral;
  std::string text = {};  // of kLiteral
  // Of headers, lower case: the first that is there. Of kMetadata: the filter, and the path in it.
  std::vector<std::string> names = {};
  std::size_t limit = std::string::npos;  // of the value
};

struct AccessFormat {
  std::vector<LogPiece> pieces = {};
};

// Limits of one format.
inline constexpr std::size_t kLogPiecesMax = 256;

// None: a '%' without its other half, an argument that is none, too many pieces. `unknown`: gets
// the names of operators that we do not have; they are "-".
std::optional<AccessFormat> parse_access_format(std::string_view text,
                                                std::vector<std::string>& unknown);

}  // namespace mesh::waypoint::config
