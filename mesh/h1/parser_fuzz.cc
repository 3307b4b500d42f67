// Requests and responses in pieces as the first byte says: whatever is read in pieces must be read
// the same way whole.

#include <cstdint>
#include <string>

#include "mesh/base/check.h"
#include "mesh/h1/parser.h"

namespace {

using mesh::h1::Parser;

std::string story(Parser::Kind kind, std::span<const std::byte> input, std::size_t step) {
  Parser parser(kind, {});
  std::string told;
  while (!input.empty() && parser.fault() == mesh::h1::Fault::kNone) {
    std::vector<std::span<const std::byte>> body;
    const auto part = input.first(std::min(step, input.size()));
    const auto parsed = parser.parse(part, body);
    if (parser.fault() != mesh::h1::Fault::kNone) break;
    if (parsed.head && kind == Parser::Kind::kRequests) {
      const auto head = parser.take_request();
      told += head.method + " " + head.authority + " " + head.path + "\n";
      MESH_CHECK(mesh::h1::is_sendable(head.headers));
      for (const auto& header : head.headers) told += header.name + ":" + header.value + "\n";
    } else if (parsed.head) {
      const auto head = parser.take_response();
      told += std::to_string(head.status) + "\n";
      MESH_CHECK(mesh::h1::is_sendable(head.headers));
      for (const auto& header : head.headers) told += header.name + ":" + header.value + "\n";
    }
    for (const auto piece : body) {
      MESH_CHECK(piece.data() >= part.data() &&
                 piece.data() + piece.size() <= part.data() + part.size());
      told.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    }
    if (parsed.end) told += "\n.\n";
    input = input.subspan(parsed.consumed);
  }
  return told;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto kind = (data[0] & 1) != 0 ? Parser::Kind::kResponses : Parser::Kind::kRequests;
  const std::size_t step = 1 + (data[0] >> 1);
  const auto input = std::as_bytes(std::span(data + 1, size - 1));
  const std::string whole = story(kind, input, input.size());
  const std::string pieces = story(kind, input, step);
  // What was read before a fault may be told earlier in pieces; never otherwise.
  MESH_CHECK(pieces.starts_with(whole));
  return 0;
}
