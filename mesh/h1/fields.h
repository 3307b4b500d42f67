#pragma once
// What the header fields of one message mean for its framing, its connection and its target.
// Internal to mesh/h1; pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "mesh/h1/message.h"

namespace mesh::h1 {

// How the grammar says that the body ends.
struct Framed {
  bool chunked = false;
  bool has_length = false;
  std::uint64_t length = 0;
  unsigned minor = 1;
};

// `fields` are as received, names in lower case, values trimmed. `head.method` or `head.status` is
// there.
Fault finish_request(RequestHead& head, std::string_view target, h2::Headers fields,
                     const Framed& framed);
Fault finish_response(ResponseHead& head, h2::Headers fields, const Framed& framed,
                      bool answers_head);

// For this connection alone, whatever `connection` names beside.
bool is_hop_by_hop(std::string_view name);

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
void trim(std::string& value);

}  // namespace mesh::h1
