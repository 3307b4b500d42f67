#include "control/telemetry/log_format.h"

#include <algorithm>
#include <charconv>

namespace mesh::control {
namespace {

constexpr std::size_t kFormatMax = 16'384;
constexpr std::size_t kOperatorsMax = 128;

// Those without an argument; after a star: with one, or without.
constexpr std::string_view kPlain[] = {
    "*START_TIME",
    "*GRPC_STATUS",
    "GRPC_STATUS_NUMBER",
    "PROTOCOL",
    "UPSTREAM_PROTOCOL",
    "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS",
    "RESPONSE_FLAGS",
    "RESPONSE_FLAGS_LONG",
    "CONNECTION_TERMINATION_DETAILS",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "DURATION",
    "REQUEST_DURATION",
    "REQUEST_TX_DURATION",
    "RESPONSE_DURATION",
    "RESPONSE_TX_DURATION",
    "ROUTE_NAME",
    "UPSTREAM_HOST",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_LOCAL_ADDRESS",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_LOCAL_PORT",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_REMOTE_PORT",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "REQUESTED_SERVER_NAME",
    "CONNECTION_ID",
    "HOSTNAME",
    "FILTER_CHAIN_NAME",
    "TRACE_ID",
    "STREAM_ID",
};
constexpr std::string_view kOfHeaders[] = {"REQ", "RESP", "TRAILER"};

bool is_header(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == ':' || c == '.';
  });
}

// "NAME", "NAME?OTHER".
bool is_header_choice(std::string_view argument) {
  const auto mark = argument.find('?');
  if (mark == std::string_view::npos) return is_header(argument);
  return is_header(argument.substr(0, mark)) && is_header(argument.substr(mark + 1));
}

// "FILTER:KEY", "FILTER:KEY:KEY": what a filter said of the request.
bool is_metadata_path(std::string_view argument) {
  return argument.contains(':') && is_header(argument) && !argument.starts_with(':') &&
         !argument.ends_with(':') && !argument.contains("::");
}

// "NAME(argument):limit".
bool is_operator(std::string_view text) {
  if (const auto colon = text.rfind(':');
      colon != std::string_view::npos && text.find(')', colon) == std::string_view::npos) {
    unsigned limit = 0;
    const std::string_view digits = text.substr(colon + 1);
    const char* const end = digits.data() + digits.size();
    const auto [last, error] = std::from_chars(digits.data(), end, limit);
    if (error != std::errc() || last != end) return false;
    text = text.substr(0, colon);
  }
  const auto open = text.find('(');
  const std::string_view name = text.substr(0, open);
  if (open == std::string_view::npos) {
    return std::ranges::any_of(kPlain, [&](std::string_view known) {
      return known == name || (known.starts_with('*') && known.substr(1) == name);
    });
  }
  if (!text.ends_with(')')) return false;
  const std::string_view argument = text.substr(open + 1, text.size() - open - 2);
  if (std::ranges::find(kOfHeaders, name) != std::end(kOfHeaders)) {
    return is_header_choice(argument);
  }
  if (name == "DYNAMIC_METADATA") return is_metadata_path(argument);
  if (name == "GRPC_STATUS") return argument == "CAMEL_STRING" || argument == "NUMBER";
  const auto printable = [](char c) { return c >= ' ' && c < 0x7f; };
  return name == "START_TIME" && std::ranges::all_of(argument, printable);
}

// The '%' that ends what began before `at`; one in parentheses is the argument's own.
std::size_t end_of_operator(std::string_view format, std::size_t at) {
  if (at < format.size() && format[at] == '%') return at;
  const std::size_t open = format.find_first_of("(%", at);
  if (open == std::string_view::npos || format[open] == '%') return open;
  const std::size_t close = format.find(')', open);
  return close == std::string_view::npos ? close : format.find('%', close);
}

}  // namespace

std::string log_format_problem(std::string_view format) {
  if (format.size() > kFormatMax) return "a format longer than 16384 bytes";
  for (std::size_t count = 0; !format.empty(); ++count) {
    const auto begin = format.find('%');
    if (begin == std::string_view::npos) return {};
    const auto end = end_of_operator(format, begin + 1);
    if (end == std::string_view::npos) return "a % without its other half";
    const std::string_view inside = format.substr(begin + 1, end - begin - 1);
    if (!inside.empty() && !is_operator(inside)) {
      return "%" + std::string(inside.substr(0, 64)) + "% is not supported";
    }
    if (count >= kOperatorsMax) return "a format of more than 128 operators";
    format.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace mesh::control
