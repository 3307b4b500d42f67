#include "mesh/hbone/baggage.h"

#include <algorithm>
#include <array>

namespace mesh::hbone {
namespace {

constexpr std::size_t kForwardedBytesMax = 1024;
constexpr std::array<std::string_view, 4> kTypes = {"deployment", "cronjob", "pod", "job"};

void add_member(std::string& header, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!header.empty()) header += ',';
  header.append(key).append("=").append(value);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Percent escapes decoded; none when one is broken, or when the text would not do in a log line.
std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    out.push_back(c);
  }
  return out;
}

// k8s.TYPE.name
std::optional<std::string_view> workload_type(std::string_view key) {
  constexpr std::string_view kPrefix = "k8s.";
  constexpr std::string_view kSuffix = ".name";
  if (!key.starts_with(kPrefix) || !key.ends_with(kSuffix)) return std::nullopt;
  if (key.size() <= kPrefix.size() + kSuffix.size()) return std::nullopt;
  const std::string_view type =
      key.substr(kPrefix.size(), key.size() - kPrefix.size() - kSuffix.size());
  if (std::ranges::find(kTypes, type) == kTypes.end()) return std::nullopt;
  return type;
}

void take_member(Baggage& baggage, std::string_view key, std::string value) {
  if (key == "k8s.cluster.name") {
    baggage.cluster = std::move(value);
  } else if (key == "k8s.namespace.name") {
    baggage.ns = std::move(value);
  } else if (key == "service.name") {
    baggage.service = std::move(value);
  } else if (key == "service.version") {
    baggage.revision = std::move(value);
  } else if (key == "cloud.region") {
    baggage.region = std::move(value);
  } else if (key == "cloud.availability_zone") {
    baggage.zone = std::move(value);
  } else if (const auto type = workload_type(key)) {
    baggage.workload_type = *type;
    baggage.workload = std::move(value);
  }
}

std::string to_hex(std::uint64_t number) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; number >>= 4) text[i] = "0123456789abcdef"[number & 15];
  return text;
}

std::optional<std::uint64_t> from_hex(std::string_view text) {
  std::uint64_t number = 0;
  for (const char c : text) {
    const int digit = hex_digit(c);
    if (digit < 0 || (c >= 'A' && c <= 'F')) return std::nullopt;
    number = number << 4 | static_cast<std::uint64_t>(digit);
  }
  return number;
}

std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

}  // namespace

std::string to_header(const Baggage& baggage) {
  std::string header;
  add_member(header, "k8s.cluster.name", baggage.cluster);
  add_member(header, "k8s.namespace.name", baggage.ns);
  if (!baggage.workload_type.empty()) {
    add_member(header, "k8s." + baggage.workload_type + ".name", baggage.workload);
  }
  add_member(header, "service.name", baggage.service);
  add_member(header, "service.version", baggage.revision);
  add_member(header, "cloud.region", baggage.region);
  add_member(header, "cloud.availability_zone", baggage.zone);
  return header;
}

std::optional<Baggage> parse_baggage(std::string_view header) {
  if (header.size() > kBaggageBytesMax) return std::nullopt;
  Baggage baggage;
  for (std::size_t count = 0; !header.empty(); ++count) {
    if (count == kBaggageMembersMax) return std::nullopt;
    const std::size_t comma = header.find(',');
    std::string_view member = header.substr(0, comma);
    header = comma == std::string_view::npos ? std::string_view() : header.substr(comma + 1);
    member = member.substr(0, member.find(';'));  // properties are of no use here
    const std::size_t equals = member.find('=');
    if (equals == std::string_view::npos) continue;
    std::optional<std::string> value = decoded(trimmed(member.substr(equals + 1)));
    if (value) take_member(baggage, trimmed(member.substr(0, equals)), *std::move(value));
  }
  return baggage;
}

std::string to_header(const Forwarded& forwarded) {
  std::string header;
  if (forwarded.client) header = "for=\"" + forwarded.client->to_string() + "\"";
  if (!forwarded.host.empty()) {
    if (!header.empty()) header += ';';
    header += "host=" + forwarded.host;
  }
  return header;
}

std::optional<Forwarded> parse_forwarded(std::string_view header) {
  if (header.size() > kForwardedBytesMax) return std::nullopt;
  Forwarded forwarded;
  header = header.substr(0, header.find(','));  // the first hop's element
  while (!header.empty()) {
    const std::size_t end = header.find(';');
    const std::string_view pair = trimmed(header.substr(0, end));
    header = end == std::string_view::npos ? std::string_view() : header.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = pair.substr(0, equals);
    const std::string_view value = unquoted(pair.substr(equals + 1));
    if (key == "for") {
      forwarded.client = net::SocketAddress::parse(value);
    } else if (key == "host") {
      const auto fits = [](char c) { return c > 0x20 && c < 0x7f && c != '"'; };
      if (value.size() <= 255 && std::ranges::all_of(value, fits)) forwarded.host = value;
    }
  }
  return forwarded;
}

std::string to_header(const TraceParent& trace) {
  return "00-" + to_hex(trace.trace_high) + to_hex(trace.trace_low) + "-" + to_hex(trace.span) +
         "-00";
}

std::optional<TraceParent> parse_traceparent(std::string_view header) {
  if (header.size() != 55 || !header.starts_with("00-") || header[35] != '-' || header[52] != '-') {
    return std::nullopt;
  }
  const auto high = from_hex(header.substr(3, 16));
  const auto low = from_hex(header.substr(19, 16));
  const auto span = from_hex(header.substr(36, 16));
  if (!high || !low || !span || !from_hex(header.substr(53, 2))) return std::nullopt;
  if ((*high == 0 && *low == 0) || *span == 0) return std::nullopt;
  return TraceParent{.trace_high = *high, .trace_low = *low, .span = *span};
}

}  // namespace mesh::hbone
