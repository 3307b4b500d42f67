#pragma once
// The hot loop: bytes from one end to the other and back, until both have ended.

#include <cstddef>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/io/both.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"

namespace mesh::ztunnel {

// Takes a chunk whole, by moving its buffer when the far end can frame it in place.
template <class To, class Chunk>
io::Task<Result<Done>> pass_on(To& to, Chunk& chunk) {
  if constexpr (requires { to.send_buffer(std::move(chunk)); }) {
    return to.send_buffer(std::move(chunk));
  } else {
    return to.send_all(chunk.bytes());
  }
}

// Copies `from` into `to` until `from` ends, then ends `to`. The next bytes are read only when the
// last ones were accepted: a slow reader slows its writer down, and nothing in between grows.
// `count(bytes)` is called for what was passed on.
template <class From, class To, class Count>
io::Task<Result<Done>> pump(From& from, To& to, Count& count) {
  for (;;) {
    auto chunk = co_await from.recv_buffer();
    if (!chunk) co_return std::unexpected(chunk.error());
    const std::size_t bytes = chunk->size();
    if (bytes == 0) break;
    const auto passed = co_await pass_on(to, *chunk);
    if (!passed) co_return std::unexpected(passed.error());
    count(bytes);
  }
  co_return to.finish_sending();
}

// Both directions, until both have ended. The end of one direction is passed on and the other goes
// on (half-close). An error of either ends both: the far ends are reset, so that what was cut off
// is never taken for the end.
template <class Client, class Server, class CountRequest, class CountResponse>
io::Task<Result<Done>> relay(Client& client, Server& server, CountRequest& count_request,
                             CountResponse& count_response) {
  Result<Done> outcome = Done{};
  {
    const auto ends = co_await io::both(pump(client, server, count_request),
                                        pump(server, client, count_response));
    // The one that failed first cancelled the other: report the cause, not the consequence.
    const bool first_is_cause =
        !ends.first && (ends.second || ends.first.error().reason != Reason::kCancelled);
    if (first_is_cause) {
      outcome = std::unexpected(ends.first.error());
    } else if (!ends.second) {
      outcome = std::unexpected(ends.second.error());
    }
  }
  if (!outcome) {
    client.reset();
    server.reset();
  }
  co_return outcome;
}

}  // namespace mesh::ztunnel
