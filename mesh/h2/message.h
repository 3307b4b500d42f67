#pragma once
// HTTP/2 header lists: as values, and the rules of RFC 9113 section 8 that make one well formed.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::h2 {

enum class Role : std::uint8_t { kClient, kServer };

struct Header {
  std::string name;  // lower case
  std::string value;
  friend bool operator==(const Header&, const Header&) = default;
};

// In wire order, pseudo-headers first.
using Headers = std::vector<Header>;

// A value without the spaces and tabs around it: one spelling for who compares and who reads next.
std::string_view without_space_around(std::string_view value);

// The first value of that name, if there is one.
std::optional<std::string_view> find_header(const Headers& headers, std::string_view name);

// What kind of header list is to be judged.
// kExtendedRequest: a request where extended CONNECT (RFC 8441) is offered.
enum class MessageKind : std::uint8_t { kRequest, kResponse, kTrailers, kExtendedRequest };

// What is wrong with a header list. kAbsentAuthority is not fatal by itself: a CONNECT without
// :authority is answered with 400, everything else of these resets the stream.
enum class MessageFault : std::uint8_t {
  kNone,
  kBadName,           // not a token, or an unknown or misplaced pseudo-header
  kUpperCase,         // a connection error for the incumbent, and so for us
  kBadValue,          // control characters; of a pseudo-header also space around it
  kConnectionHeader,  // connection, transfer-encoding, upgrade, keep-alive, proxy-connection; te
  kBadPseudo,         // missing, repeated or contradicting pseudo-headers
  kBadAuthority,      // empty, or not host or host:port
};
MessageFault check_message(const Headers& headers, MessageKind kind);

// Pieces of a request line, taken from a checked list.
std::string_view method_of(const Headers& headers);
// 100 to 999, or 0 when there is no usable :status.
int status_of(const Headers& headers);

// "host:port", "host", "[v6]:port", "v4:port": the syntax of :authority that CONNECT accepts.
// Without user information; unbracketed IPv6 and an empty string are refused. A port may have
// leading zeros.
bool is_authority(std::string_view text);

}  // namespace mesh::h2
