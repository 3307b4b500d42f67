#pragma once
// HTTP/1.1 messages as values: heads without what belongs to one connection alone.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/h2/message.h"

namespace mesh::h1 {

enum class Framing : std::uint8_t {
  kNone,      // no body
  kLength,    // content_length bytes
  kChunked,   // chunks, then perhaps trailers
  kUntilEnd,  // responses alone: until the connection ends
};

// In both heads: names are lower case; `connection` and what it names, keep-alive,
// proxy-connection, transfer-encoding, upgrade and host are taken out; `te` stays only as
// "trailers", content-length only when it is the framing (or answers HEAD).
struct RequestHead {
  std::string method;
  std::string authority;  // of Host, or of an absolute target
  std::string path;       // begins with '/', or is "*"
  h2::Headers headers;
  std::string upgrade{};  // lower case; empty: none asked for
  Framing framing = Framing::kNone;
  std::uint64_t content_length = 0;
  bool keep_alive = true;
};

struct ResponseHead {
  int status = 0;
  h2::Headers headers;
  std::string upgrade{};  // of a 101
  Framing framing = Framing::kNone;
  std::uint64_t content_length = 0;
  bool keep_alive = true;
};

struct Limits {
  std::size_t target_max = 16 * 1024;
  std::size_t headers_bytes_max = 60 * 1024;  // request line, names and values
  std::size_t headers_max = 100;
  std::size_t trailers_bytes_max = 16 * 1024;
  std::size_t chunk_extension_max = 256;  // of one chunk
};

// Why a message was refused. Closed set: each has a status for the client (status_of()).
enum class Fault : std::uint8_t {
  kNone,
  kSyntax,           // not HTTP/1.1: bare LF, obs-fold, NUL, bad tokens, white space before a colon
  kFraming,          // two lengths, length and chunks, unknown coding, bad chunk
  kTarget,           // a form of target that this method cannot have, or a fragment
  kHost,             // none, two, bad, or another one than the absolute target names
  kTargetTooLong,    // 414
  kHeadersTooLarge,  // 431
  kExtensionTooLong,  // of a chunk
  kVersion,           // HTTP/1.0: 426
  kMisdirected,       // an absolute target that is to be asked over TLS: 421
  kTruncated,         // the connection ended inside a message
};
std::string_view fault_name(Fault fault);
// What a client is told: 400, 414, 421, 426 or 431.
int status_of(Fault fault);

// Appends a request or response head with its empty line. `chunked` adds transfer-encoding,
// `close` and `upgrade` the connection header. Neither may hold CR, LF or NUL anywhere (checked by
// whoever made the head; is_sendable()).
struct HeadOptions {
  bool chunked = false;
  bool close = false;
  std::string_view upgrade{};
};
void append_request(std::string& out, std::string_view method, std::string_view target,
                    std::string_view authority, const h2::Headers& headers,
                    const HeadOptions& options);
void append_response(std::string& out, int status, const h2::Headers& headers,
                     const HeadOptions& options);
// "1a\r\n": the line in front of a chunk; after its bytes comes kChunkEnd.
std::string_view chunk_line(std::size_t bytes, char (&into)[24]);
inline constexpr std::string_view kChunkEnd = "\r\n";
// The last chunk and the trailers.
void append_last_chunk(std::string& out, const h2::Headers& trailers);

// Framing, routing and credentials do not come after the body. `name` is in lower case.
bool may_trail(std::string_view name);
// A name that servers which make variables of fields (CGI, WSGI) take for one that frames.
bool mimics_framing(std::string_view name);

// No header of the list could end its line or its message early.
bool is_sendable(const h2::Headers& headers);
std::string_view reason_phrase(int status);

}  // namespace mesh::h1
