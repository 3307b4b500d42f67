#include <charconv>
#include <optional>

#include "waypoint/route/rewrite.h"

namespace mesh::waypoint::route {

namespace {

// "%NAME(argument):limit%", taken apart.
struct Operator {
  std::string_view name = {};
  std::string_view argument = {};
  bool has_argument = false;
  std::size_t limit = std::string_view::npos;
};

// The operator between two '%'. None: not one.
std::optional<Operator> parse_operator(std::string_view text) {
  Operator found;
  if (const auto open = text.find('('); open != std::string_view::npos) {
    const auto close = text.rfind(')');
    if (close == std::string_view::npos || close < open) return std::nullopt;
    found.has_argument = true;
    found.argument = text.substr(open + 1, close - open - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty()) {
      if (rest[0] != ':') return std::nullopt;
      const auto [end, error] =
          std::from_chars(rest.data() + 1, rest.data() + rest.size(), found.limit);
      if (error != std::errc() || end != rest.data() + rest.size()) return std::nullopt;
    }
    text = text.substr(0, open);
  }
  found.name = text;
  return found;
}

std::string header_or(const auto& from, std::string_view argument) {
  while (!argument.empty()) {
    const auto mark = std::min(argument.find('?'), argument.size());
    const std::string name = config::to_lower(argument.substr(0, mark));
    if (const auto text = http::header_text(from, name); text.present()) {
      return std::string(text.text());
    }
    argument.remove_prefix(std::min(mark + 1, argument.size()));
  }
  return {};
}

// None: there is no such operator.
std::optional<std::string> value_of(const Operator& asked, const FormatContext& context) {
  const std::string_view name = asked.name;
  if (name == "REQ" || name == "RESP") {
    if (!asked.has_argument || asked.argument.empty()) return std::nullopt;
    if (name == "REQ") {
      return context.request == nullptr ? "" : header_or(*context.request, asked.argument);
    }
    return context.response == nullptr ? "" : header_or(*context.response, asked.argument);
  }
  if (asked.has_argument) return std::nullopt;
  if (name == "RESPONSE_CODE") return std::to_string(context.response_code);
  if (name == "PROTOCOL") return std::string(context.protocol);
  if (name == "ROUTE_NAME") return std::string(context.route_name);
  if (name == "UPSTREAM_CLUSTER") return std::string(context.cluster);
  if (name == "HOSTNAME") return std::string(context.hostname);
  if (name == "DOWNSTREAM_REMOTE_ADDRESS") return context.peer.to_string();
  if (name == "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT") return context.peer.ip.to_string();
  if (name == "DOWNSTREAM_LOCAL_ADDRESS") return context.local.to_string();
  if (name == "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT") return context.local.ip.to_string();
  if (name == "DOWNSTREAM_LOCAL_PORT") return std::to_string(context.local.port);
  if (name == "DOWNSTREAM_PEER_URI_SAN") return std::string(context.peer_principal);
  if (name == "DOWNSTREAM_LOCAL_URI_SAN") return std::string(context.local_principal);
  return std::nullopt;
}

// None: not a format.
std::optional<std::string> expand_all(std::string_view text, const FormatContext& context) {
  std::string expanded;
  while (!text.empty()) {
    const auto mark = std::min(text.find('%'), text.size());
    expanded += text.substr(0, mark);
    if (mark == text.size()) break;
    const auto end = text.find('%', mark + 1);
    if (end == std::string_view::npos) return std::nullopt;
    if (end == mark + 1) {
      expanded += '%';
    } else {
      const auto found = parse_operator(text.substr(mark + 1, end - mark - 1));
      if (!found) return std::nullopt;
      const auto value = value_of(*found, context);
      if (!value) return std::nullopt;
      expanded += std::string_view(*value).substr(0, found->limit);
    }
    text.remove_prefix(end + 1);
  }
  return expanded;
}

}  // namespace

bool is_format(std::string_view text) { return expand_all(text, {}).has_value(); }

std::string expand(std::string_view text, const FormatContext& context) {
  return expand_all(text, context).value_or(std::string());
}

}  // namespace mesh::waypoint::route
