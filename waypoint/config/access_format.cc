#include "waypoint/config/access_format.h"

#include <algorithm>
#include <charconv>

#include "waypoint/config/match.h"

namespace mesh::waypoint::config {
namespace {

struct Known {
  std::string_view name;
  LogOperator what;
};

// In Envoy's words. Headers are apart: they have an argument.
constexpr Known kKnown[] = {
    {"START_TIME", LogOperator::kStartTime},
    {"PROTOCOL", LogOperator::kProtocol},
    {"RESPONSE_CODE", LogOperator::kResponseCode},
    {"RESPONSE_FLAGS", LogOperator::kResponseFlags},
    {"RESPONSE_CODE_DETAILS", LogOperator::kResponseCodeDetails},
    {"CONNECTION_TERMINATION_DETAILS", LogOperator::kConnectionDetails},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", LogOperator::kUpstreamFailure},
    {"BYTES_RECEIVED", LogOperator::kBytesReceived},
    {"BYTES_SENT", LogOperator::kBytesSent},
    {"DURATION", LogOperator::kDuration},
    {"RESPONSE_DURATION", LogOperator::kResponseDuration},
    {"UPSTREAM_HOST", LogOperator::kUpstreamHost},
    {"UPSTREAM_REMOTE_ADDRESS", LogOperator::kUpstreamHost},
    {"UPSTREAM_CLUSTER", LogOperator::kUpstreamCluster},
    {"UPSTREAM_CLUSTER_RAW", LogOperator::kUpstreamCluster},
    {"UPSTREAM_LOCAL_ADDRESS", LogOperator::kUpstreamLocalAddress},
    {"DOWNSTREAM_LOCAL_ADDRESS", LogOperator::kLocalAddress},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", LogOperator::kLocalAddressWithoutPort},
    {"DOWNSTREAM_LOCAL_PORT", LogOperator::kLocalPort},
    {"DOWNSTREAM_REMOTE_ADDRESS", LogOperator::kRemoteAddress},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", LogOperator::kRemoteAddressWithoutPort},
    {"DOWNSTREAM_REMOTE_PORT", LogOperator::kRemotePort},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", LogOperator::kRemoteAddress},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", LogOperator::kRemoteAddressWithoutPort},
    {"DOWNSTREAM_DIRECT_REMOTE_PORT", LogOperator::kRemotePort},
    {"REQUESTED_SERVER_NAME", LogOperator::kServerName},
    {"ROUTE_NAME", LogOperator::kRouteName},
    {"DOWNSTREAM_PEER_URI_SAN", LogOperator::kPeerUri},
    {"DOWNSTREAM_LOCAL_URI_SAN", LogOperator::kLocalUri},
    {"GRPC_STATUS", LogOperator::kGrpcStatus},
    {"GRPC_STATUS_NUMBER", LogOperator::kGrpcStatusNumber},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", LogOperator::kAttempts},
    {"HOSTNAME", LogOperator::kHostname},
    {"STREAM_ID", LogOperator::kRequestId},
    {"TRACE_ID", LogOperator::kTraceId},
    {"DOWNSTREAM_TRANSPORT_FAILURE_REASON", LogOperator::kNothing},
};

// Arguments that only say how something is written, and are done in one way here.
bool may_have_argument(LogOperator what) {
  return what == LogOperator::kStartTime || what == LogOperator::kGrpcStatus;
}

std::vector<std::string> header_names(std::string_view argument) {
  std::vector<std::string> names;
  while (!argument.empty() && names.size() < 2) {
    const std::size_t mark = std::min(argument.find('?'), argument.size());
    names.push_back(to_lower(argument.substr(0, mark)));
    argument.remove_prefix(std::min(mark + 1, argument.size()));
  }
  std::erase(names, "");
  return names;
}

// "FILTER:KEY:…"; empty: none.
std::vector<std::string> metadata_path(std::string_view argument) {
  std::vector<std::string> path;
  for (bool more = true; more;) {
    const std::size_t mark = argument.find(':');
    more = mark != std::string_view::npos;
    path.emplace_back(argument.substr(0, mark));
    if (path.back().empty()) return {};
    if (more) argument.remove_prefix(mark + 1);
  }
  return path.size() < 2 ? std::vector<std::string>() : path;
}

// The '%' that ends what began before `at`; one in parentheses is the argument's own.
std::size_t end_of_operator(std::string_view text, std::size_t at) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '(') ++depth;
    if (text[at] == ')') --depth;
    if (text[at] == '%' && depth <= 0) return at;
  }
  return std::string_view::npos;
}

// "NAME(argument):limit"; false: not an operator.
bool read_operator(std::string_view text, LogPiece& piece, std::vector<std::string>& unknown) {
  const std::size_t open = std::min(text.find('('), text.size());
  std::string_view argument, rest = text.substr(open);
  if (!rest.empty()) {
    const std::size_t close = text.rfind(')');
    if (close == std::string_view::npos || close < open) return false;
    argument = text.substr(open + 1, close - open - 1);
    rest = text.substr(close + 1);
  }
  const std::string_view whole = text.substr(0, open);
  const std::size_t colon = open < text.size() ? whole.size() : std::min(whole.find(':'), open);
  if (colon < whole.size()) rest = whole.substr(colon);
  const std::string_view name = whole.substr(0, colon);
  if (!rest.empty()) {
    const char* const end = rest.data() + rest.size();
    const auto [last, error] = std::from_chars(rest.data() + 1, end, piece.limit);
    if (rest[0] != ':' || error != std::errc() || last != end) return false;
  }
  constexpr Known kHeaders[] = {{"REQ", LogOperator::kRequestHeader},
                                {"RESP", LogOperator::kResponseHeader},
                                {"TRAILER", LogOperator::kResponseTrailer}};
  for (const Known& known : kHeaders) {
    if (name != known.name) continue;
    piece.what = known.what;
    piece.names = header_names(argument);
    return !piece.names.empty();
  }
  if (name == "DYNAMIC_METADATA") {
    piece.names = metadata_path(argument);
    if (!piece.names.empty()) {
      piece.what = LogOperator::kMetadata;
      return true;
    }
  }
  const auto* found = std::ranges::find(kKnown, name, &Known::name);
  const bool has_argument = open < text.size();
  if (found != std::end(kKnown) && (!has_argument || may_have_argument(found->what))) {
    piece.what = found->what;
  } else {
    piece.what = LogOperator::kNothing;
    unknown.emplace_back(text);
  }
  return true;
}

}  // namespace

std::optional<AccessFormat> parse_access_format(std::string_view text,
                                                std::vector<std::string>& unknown) {
  AccessFormat format;
  const auto literal = [&](std::string_view part) {
    if (part.empty()) return;
    if (format.pieces.empty() || format.pieces.back().what != LogOperator::kLiteral) {
      format.pieces.emplace_back();
    }
    format.pieces.back().text.append(part);
  };
  while (!text.empty()) {
    const std::size_t mark = std::min(text.find('%'), text.size());
    literal(text.substr(0, mark));
    if (mark == text.size()) break;
    const std::size_t end = end_of_operator(text, mark + 1);
    if (end == std::string_view::npos) return std::nullopt;
    if (end == mark + 1) {
      literal("%");
    } else {
      LogPiece piece;
      const std::string_view inside = text.substr(mark + 1, end - mark - 1);
      if (!read_operator(inside, piece, unknown)) return std::nullopt;
      format.pieces.push_back(std::move(piece));
    }
    text.remove_prefix(end + 1);
    if (format.pieces.size() > kLogPiecesMax) return std::nullopt;
  }
  // Also what follows the last operator counts.
  if (format.pieces.size() > kLogPiecesMax) return std::nullopt;
  return format;
}

}  // namespace mesh::waypoint::config
