#include "waypoint/tracing/otlp.h"

namespace mesh::waypoint::tracing {
namespace {

void varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void field(std::string& out, unsigned number, std::string_view bytes) {
  varint(out, number << 3 | 2);
  varint(out, bytes.size());
  out.append(bytes);
}

void field(std::string& out, unsigned number, std::uint64_t value) {
  varint(out, number << 3);
  varint(out, value);
}

void fixed64(std::string& out, unsigned number, std::uint64_t value) {
  varint(out, number << 3 | 1);
  for (int i = 0; i < 8; ++i, value >>= 8) out.push_back(static_cast<char>(value));
}

std::string big_endian(std::uint64_t value) {
  std::string bytes(8, '\0');
  for (std::size_t i = 8; i > 0; value >>= 8) bytes[--i] = static_cast<char>(value);
  return bytes;
}

// opentelemetry.proto.common.v1.KeyValue
std::string text_attribute(std::string_view key, std::string_view value) {
  std::string any, pair;
  field(any, 1, value);
  field(pair, 1, key);
  field(pair, 2, any);
  return pair;
}

std::string number_attribute(std::string_view key, std::uint64_t value) {
  std::string any, pair;
  field(any, 3, value);
  field(pair, 1, key);
  field(pair, 2, any);
  return pair;
}

// opentelemetry.proto.trace.v1.Span
std::string encode(const FinishedSpan& one) {
  constexpr std::uint64_t kServer = 2, kError = 2;
  std::string out;
  field(out, 1, big_endian(one.span.trace.high) + big_endian(one.span.trace.low));
  field(out, 2, big_endian(one.span.id));
  if (!one.state.empty()) field(out, 3, one.state);
  if (one.span.parent != 0) field(out, 4, big_endian(one.span.parent));
  field(out, 5, one.name);
  field(out, 6, kServer);
  fixed64(out, 7, one.begun_ns);
  fixed64(out, 8, one.ended_ns);
  for (const auto& [key, value] : one.texts) field(out, 9, text_attribute(key, value));
  for (const auto& [key, value] : one.numbers) field(out, 9, number_attribute(key, value));
  if (one.failed) {
    std::string status;
    field(status, 3, kError);
    field(out, 15, status);
  }
  return out;
}

}  // namespace

std::size_t weight(const FinishedSpan& span) {
  std::size_t bytes = sizeof span + span.name.size() + span.state.size();
  for (const auto& [key, value] : span.texts) bytes += key.size() + value.size() + 64;
  return bytes + span.numbers.size() * 64;
}

std::string encode_request(std::span<const FinishedSpan> spans, std::string_view service_name,
                           std::string_view node) {
  std::string resource, scope, scoped, whole, request;
  field(resource, 1, text_attribute("service.name", service_name));
  field(resource, 1, text_attribute("service.instance.id", node));
  field(scope, 1, std::string_view("weft-waypoint"));
  field(scoped, 1, scope);
  for (const FinishedSpan& span : spans) field(scoped, 2, encode(span));
  field(whole, 1, resource);
  field(whole, 2, scoped);
  field(request, 1, whole);
  return request;
}

}  // namespace mesh::waypoint::tracing
