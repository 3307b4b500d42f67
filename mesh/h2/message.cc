#include "mesh/h2/message.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

namespace mesh::h2 {
namespace {

const std::uint8_t* data_of(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

bool is_connection_header(std::string_view name, std::string_view value) {
  if (name == "te") return value != "trailers";
  return name == "connection" || name == "transfer-encoding" || name == "upgrade" ||
         name == "keep-alive" || name == "proxy-connection";
}

struct Pseudo {
  std::optional<std::string_view> method;
  std::optional<std::string_view> scheme;
  std::optional<std::string_view> path;
  std::optional<std::string_view> authority;
  std::optional<std::string_view> protocol;
  std::optional<std::string_view> status;

  std::optional<std::string_view>* slot(std::string_view name) {
    if (name == ":method") return &method;
    if (name == ":scheme") return &scheme;
    if (name == ":path") return &path;
    if (name == ":authority") return &authority;
    if (name == ":protocol") return &protocol;
    if (name == ":status") return &status;
    return nullptr;
  }
};

MessageFault check_request(const Pseudo& pseudo, bool extended) {
  if (pseudo.status || !pseudo.method || pseudo.method->empty()) return MessageFault::kBadPseudo;
  if (nghttp2_check_method(data_of(*pseudo.method), pseudo.method->size()) == 0) {
    return MessageFault::kBadPseudo;
  }
  if (pseudo.protocol) {
    const bool whole = pseudo.scheme && pseudo.path && pseudo.authority;
    if (!extended || !whole || *pseudo.method != "CONNECT" || pseudo.protocol->empty()) {
      return MessageFault::kBadPseudo;
    }
  } else if (*pseudo.method == "CONNECT") {
    if (pseudo.scheme || pseudo.path) return MessageFault::kBadPseudo;
    if (pseudo.authority && !is_authority(*pseudo.authority)) return MessageFault::kBadAuthority;
    return MessageFault::kNone;
  }
  if (!pseudo.scheme || !pseudo.path || pseudo.path->empty()) return MessageFault::kBadPseudo;
  if (nghttp2_check_path(data_of(*pseudo.path), pseudo.path->size()) == 0) {
    return MessageFault::kBadPseudo;
  }
  return MessageFault::kNone;
}

MessageFault check_response(const Pseudo& pseudo) {
  if (pseudo.method || pseudo.scheme || pseudo.path || pseudo.authority || pseudo.protocol) {
    return MessageFault::kBadPseudo;
  }
  if (!pseudo.status || pseudo.status->size() != 3 ||
      !std::ranges::all_of(*pseudo.status, is_digit) || *pseudo.status < "100" ||
      *pseudo.status == "101") {
    return MessageFault::kBadPseudo;
  }
  return MessageFault::kNone;
}

// Name and value of one field; pseudo-header names are judged by the caller.
MessageFault check_field(const Header& header) {
  const std::string_view name = header.name;
  if (std::ranges::any_of(name, is_upper)) return MessageFault::kUpperCase;
  if (!name.starts_with(':') && nghttp2_check_header_name(data_of(name), name.size()) == 0) {
    return MessageFault::kBadName;
  }
  // Nothing around the value: of fields it is dropped on arrival.
  if (nghttp2_check_header_value_rfc9113(data_of(header.value), header.value.size()) == 0) {
    return MessageFault::kBadValue;
  }
  return is_connection_header(name, header.value) ? MessageFault::kConnectionHeader
                                                  : MessageFault::kNone;
}

}  // namespace

std::string_view without_space_around(std::string_view value) {
  constexpr std::string_view kSpace = " \t";
  const std::size_t begin = value.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return value.substr(begin, value.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::string_view> find_header(const Headers& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (header.name == name) return header.value;
  }
  return std::nullopt;
}

MessageFault check_message(const Headers& headers, MessageKind kind) {
  Pseudo pseudo;
  bool regular_seen = false;
  for (const Header& header : headers) {
    const MessageFault fault = check_field(header);
    if (fault != MessageFault::kNone) return fault;
    if (!header.name.starts_with(':')) {
      regular_seen = true;
      continue;
    }
    std::optional<std::string_view>* slot = pseudo.slot(header.name);
    if (slot == nullptr || regular_seen) return MessageFault::kBadName;
    if (slot->has_value() || kind == MessageKind::kTrailers) return MessageFault::kBadPseudo;
    *slot = header.value;
  }
  switch (kind) {
    case MessageKind::kRequest:
    case MessageKind::kExtendedRequest:
      return check_request(pseudo, kind == MessageKind::kExtendedRequest);
    case MessageKind::kResponse:
      return check_response(pseudo);
    case MessageKind::kTrailers:
      return MessageFault::kNone;
  }
  return MessageFault::kBadPseudo;
}

std::string_view method_of(const Headers& headers) {
  return find_header(headers, ":method").value_or(std::string_view());
}

int status_of(const Headers& headers) {
  const std::string_view text = find_header(headers, ":status").value_or(std::string_view());
  if (text.size() != 3 || !std::ranges::all_of(text, is_digit) || text < "100") return 0;
  return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

bool is_authority(std::string_view text) {
  if (text.empty() || text.size() > 1024) return false;
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || end == 1) return false;
    host = text.substr(1, end - 1);
    const auto is_v6 = [](char c) {
      return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
             c == '.';
    };
    if (!std::ranges::all_of(host, is_v6)) return false;
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty()) {
      if (rest.front() != ':') return false;
      has_port = true;
      port = rest.substr(1);
    }
  } else {
    const std::size_t colon = text.find(':');
    if (colon != std::string_view::npos) {
      host = text.substr(0, colon);
      port = text.substr(colon + 1);
      has_port = true;
    }
    const auto is_host = [](char c) {
      return is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z') ||
             std::string_view("-._~!$&'()*+,;=").contains(c);
    };
    if (host.empty() || !std::ranges::all_of(host, is_host)) return false;
  }
  return !has_port || (!port.empty() && port.size() <= 9 && std::ranges::all_of(port, is_digit));
}

}  // namespace mesh::h2
