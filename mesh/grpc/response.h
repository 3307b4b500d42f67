#pragma once
// ResponseReader: the response half of one call. HTTP/2 events in, messages and the final Status
// out; no I/O.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "mesh/base/result.h"
#include "mesh/grpc/framing.h"
#include "mesh/grpc/status.h"

namespace mesh::grpc {

class ResponseReader {
 public:
  explicit ResponseReader(std::size_t message_max) : frames_(message_max) {}

  // The first header block, or the trailers. `end`: the response ends with it.
  void on_headers(std::span<const HeaderView> headers, bool end);
  // Body bytes; as MessageReader::feed(). Those of a response that is not gRPC's are dropped.
  // Errors: kTooLarge, kMalformed: reset the stream; status() says why.
  Result<std::optional<std::string>> feed(std::span<const std::byte>& bytes);
  void on_end();
  void on_reset(std::uint32_t h2_error_code);
  // The connection under it is gone.
  void on_lost(const Error& error);

  bool ended() const { return status_.has_value(); }
  // How the call ended; call only when ended().
  const Status& status() const { return *status_; }

 private:
  void end_with(Status status);

  MessageReader frames_;
  bool got_headers_ = false;
  bool is_grpc_ = false;
  unsigned http_status_ = 0;
  std::optional<Status> trailers_;
  std::optional<Status> status_;
};

}  // namespace mesh::grpc
