#pragma once
// Parser: HTTP/1.1 messages out of bytes, one direction of one connection. No I/O.
//
// llhttp reads the grammar, without any of its lenient flags; what it lets pass and two readers
// could still take two ways is refused here: codings other than "chunked", several Hosts, a Host
// that contradicts an absolute target, lengths where no body can be, HTTP/1.0.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mesh/h1/message.h"

namespace mesh::h1 {

struct Parsed {
  std::size_t consumed = 0;  // bytes of the input; the rest belongs to what follows the message
  bool head = false;         // take_request() or take_response() has something
  bool end = false;          // the message is over; trailers() has its trailers
};

// A fault is for good: nothing that follows on the connection can be trusted.
class Parser {
 public:
  enum class Kind : std::uint8_t { kRequests, kResponses };
  Parser(Kind kind, const Limits& limits);
  ~Parser();
  Parser(Parser&&) noexcept;
  Parser& operator=(Parser&&) noexcept;

  // Reads until the message ends or `input` does. Parts of the body are appended to `body` as views
  // of `input`. After `end` the next call begins the next message; after the head of a 101, or of a
  // request whose upgrade the caller accepts, the caller stops asking.
  Parsed parse(std::span<const std::byte> input, std::vector<std::span<const std::byte>>& body);
  // No more input: ends a body that lasts until the end. True when that is no truncation.
  bool finish();

  // kResponses, before each response: one that answers HEAD has no body.
  void expect_response_to(std::string_view method);

  RequestHead take_request();
  ResponseHead take_response();
  h2::Headers take_trailers();

  Fault fault() const;
  // Part of a message was read.
  bool in_message() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::h1
