#include "mesh/h1/fields.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace mesh::h1 {
namespace {

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

template <class F>
void for_each_token(std::string_view list, F&& visit) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view token = h2::without_space_around(list.substr(0, comma));
    if (!token.empty()) visit(token);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

std::string lower_of(std::string_view text) {
  std::string all(text);
  std::ranges::transform(all, all.begin(), lower);
  return all;
}

// What `connection` and its kin say.
struct ConnectionFields {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  std::string protocol;            // the one Upgrade field, when there is one
  std::vector<std::string> named;  // fields that are for this connection alone
  unsigned codings = 0;            // transfer-encoding fields
  bool only_chunked = true;
  unsigned hosts = 0;
  std::string host;
};

ConnectionFields read_connection(const h2::Headers& fields) {
  ConnectionFields found;
  unsigned upgrades = 0;
  for (const h2::Header& field : fields) {
    if (field.name == "connection") {
      for_each_token(field.value, [&](std::string_view token) {
        std::string name = lower_of(token);
        found.close |= name == "close";
        found.keep_alive |= name == "keep-alive";
        found.upgrade |= name == "upgrade";
        found.named.push_back(std::move(name));
      });
    } else if (field.name == "upgrade") {
      ++upgrades;
      found.protocol = lower_of(field.value);
    } else if (field.name == "transfer-encoding") {
      ++found.codings;
      found.only_chunked &= equal_ignoring_case(field.value, "chunked");
    } else if (field.name == "host") {
      ++found.hosts;
      found.host = field.value;
    }
  }
  // Of several protocols none is taken, nor h2c: HTTP/2 is spoken with prior knowledge only.
  if (upgrades != 1 || !found.upgrade || found.protocol.contains(',') ||
      found.protocol.contains(' ') || found.protocol == "h2c") {
    found.protocol.clear();
  }
  return found;
}

// Fields that decide where the message ends or goes are not the connection's to name.
bool names_the_essential(const ConnectionFields& connection) {
  return std::ranges::any_of(connection.named, [](const std::string& name) {
    return name == "content-length" || name == "transfer-encoding" || name == "host" ||
           name == "authorization" || name == "cookie" || name.starts_with(':');
  });
}

// What stays of a length is spelled in one way.
void remove_hop_by_hop(h2::Headers& fields, const ConnectionFields& connection,
                       std::optional<std::uint64_t> length) {
  bool length_seen = false;
  std::erase_if(fields, [&](const h2::Header& field) {
    if (is_hop_by_hop(field.name)) return true;
    if (field.name == "content-length") return !length || std::exchange(length_seen, true);
    if (field.name == "te") return !equal_ignoring_case(field.value, "trailers");
    return std::ranges::find(connection.named, field.name) != connection.named.end();
  });
  if (!length) return;
  for (h2::Header& field : fields) {
    if (field.name == "content-length") field.value = std::to_string(*length);
  }
}

std::optional<std::uint64_t> length_of(const Framed& framed) {
  return framed.has_length ? std::optional(framed.length) : std::nullopt;
}

bool is_plain_target(std::string_view target) {
  return std::ranges::all_of(target, [](char c) { return c > ' ' && c < 0x7f && c != '#'; });
}

// Fills authority and path from the target, or says what is wrong with it.
Fault read_target(RequestHead& head, std::string_view target, std::string_view host) {
  if (target.empty() || head.method == "CONNECT" || !is_plain_target(target)) return Fault::kTarget;
  head.authority = host;
  if (target.front() == '/') {
    head.path = target;
    return Fault::kNone;
  }
  if (target == "*") {
    head.path = "*";
    return head.method == "OPTIONS" ? Fault::kNone : Fault::kTarget;
  }
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return Fault::kTarget;
  const std::string_view name = target.substr(0, scheme);
  if (equal_ignoring_case(name, "https")) return Fault::kMisdirected;  // RFC 9110 section 7.4
  if (!equal_ignoring_case(name, "http")) return Fault::kTarget;
  target.remove_prefix(scheme + 3);
  const std::size_t end = std::min(target.find_first_of("/?"), target.size());
  if (!equal_ignoring_case(target.substr(0, end), host)) return Fault::kHost;
  head.path = target.substr(end);
  if (!head.path.starts_with('/')) head.path.insert(0, "/");
  return Fault::kNone;
}

}  // namespace

void trim(std::string& value) {
  const std::string_view kept = h2::without_space_around(value);
  if (kept.size() != value.size()) value = std::string(kept);
}

Fault finish_request(RequestHead& head, std::string_view target, h2::Headers fields,
                     const Framed& framed) {
  if (framed.minor != 1) return Fault::kVersion;
  const ConnectionFields connection = read_connection(fields);
  if (connection.codings > 1 || !connection.only_chunked || names_the_essential(connection) ||
      (connection.codings > 0) != framed.chunked || (framed.chunked && framed.has_length) ||
      std::ranges::any_of(fields, mimics_framing, &h2::Header::name)) {
    return Fault::kFraming;
  }
  if (connection.hosts != 1 || !h2::is_authority(connection.host)) return Fault::kHost;
  if (const Fault fault = read_target(head, target, connection.host); fault != Fault::kNone) {
    return fault;
  }
  head.framing = framed.chunked                           ? Framing::kChunked
                 : framed.has_length && framed.length > 0 ? Framing::kLength
                                                          : Framing::kNone;
  head.content_length = framed.length;
  head.keep_alive = !connection.close;
  head.upgrade = connection.protocol;
  remove_hop_by_hop(fields, connection, length_of(framed));
  head.headers = std::move(fields);
  return Fault::kNone;
}

Fault finish_response(ResponseHead& head, h2::Headers fields, const Framed& framed,
                      bool answers_head) {
  if (head.status < 100 || head.status > 599) return Fault::kSyntax;
  const ConnectionFields connection = read_connection(fields);
  if (connection.codings > 1 || !connection.only_chunked || names_the_essential(connection) ||
      (connection.codings > 0) != framed.chunked || (framed.chunked && framed.has_length) ||
      (framed.chunked && framed.minor != 1)) {
    return Fault::kFraming;
  }
  const bool bodiless = head.status < 200 || head.status == 204;
  if (bodiless && (framed.chunked || (framed.has_length && framed.length > 0))) {
    return Fault::kFraming;
  }
  if (bodiless || answers_head || head.status == 304) {
    head.framing = Framing::kNone;
  } else if (framed.chunked) {
    head.framing = Framing::kChunked;
  } else if (framed.has_length) {
    head.framing = framed.length > 0 ? Framing::kLength : Framing::kNone;
  } else {
    head.framing = Framing::kUntilEnd;
  }
  head.content_length = framed.length;
  head.keep_alive = framed.minor == 1 && !connection.close && head.framing != Framing::kUntilEnd;
  if (head.status == 101) head.upgrade = connection.protocol;
  if (head.status == 101 && head.upgrade.empty()) return Fault::kSyntax;
  remove_hop_by_hop(fields, connection, bodiless ? std::nullopt : length_of(framed));
  head.headers = std::move(fields);
  return Fault::kNone;
}

}  // namespace mesh::h1
