#pragma once
// The hot loop: bytes from one end to the other and back, until both have ended.

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/io/both.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"

namespace mesh::ztunnel {

// What is sent at once when more than one chunk has arrived: as many as one bulk receive brings,
// and what was left of the one before; records that lie across buffers count twice.
inline constexpr std::size_t kGathered = 40;

// Whoever has passed on all that has come waits for more.
template <class From>
class WaitsFor final : public io::Patience {
 public:
  explicit WaitsFor(const From& from) noexcept : from_(from) {}
  bool has_more_to_do() const noexcept override { return !from_.quiet(); }

 private:
  const From& from_;
};

// Most messages are a single chunk.
template <class From, class To, class Chunk>
[[clang::noinline]] io::Task<Result<std::size_t>> pass_on_alone(From& from, To& to, Chunk chunk) {
  const WaitsFor<From> patience(from);
  CO_TRY_DO(co_await to.send_all(std::span<const std::byte>(chunk.bytes()), &patience));
  co_return chunk.size();
}

// Sends `first`, `second` and what else has arrived by now, in one piece: the kernel makes large
// segments of it. In a frame of its own, so that an idle connection does not hold the list.
template <class From, class To, class Chunk>
[[clang::noinline]] io::Task<Result<std::size_t>> pass_on_gathered(From& from, To& to, Chunk first,
                                                                   Chunk second) {
  std::array<Chunk, kGathered> chunks;
  std::array<std::span<const std::byte>, kGathered> pieces;
  chunks[0] = std::move(first);
  pieces[0] = chunks[0].bytes();
  std::size_t count = 1;
  std::size_t bytes = pieces[0].size();
  for (std::optional<Chunk> next = std::move(second); next;) {
    chunks[count] = *std::move(next);
    pieces[count] = chunks[count].bytes();
    bytes += pieces[count++].size();
    if (count == kGathered) break;
    next = from.take_ready();
  }
  const WaitsFor<From> patience(from);
  CO_TRY_DO(co_await to.send_all(std::span<const std::span<const std::byte>>(pieces).first(count),
                                 &patience));
  co_return bytes;
}

// Takes a chunk whole, by moving its buffer, when the far end can frame it in place.
template <class To, class Chunk>
[[clang::noinline]] io::Task<Result<std::size_t>> pass_on_framed(To& to, Chunk chunk) {
  const std::size_t bytes = chunk.size();
  CO_TRY_DO(co_await to.send_buffer(std::move(chunk)));
  co_return bytes;
}

template <class To, class Chunk>
concept Frames = requires(To& to, Chunk chunk) { to.send_buffer(std::move(chunk)); };

template <class From, class To, class Chunk>
io::Task<Result<std::size_t>> pass_on(From& from, To& to, Chunk chunk) {
  if constexpr (Frames<To, Chunk>) {
    return pass_on_framed(to, std::move(chunk));
  } else {
    std::optional<Chunk> next = from.take_ready();
    if (!next) return pass_on_alone(from, to, std::move(chunk));
    return pass_on_gathered(from, to, std::move(chunk), *std::move(next));
  }
}

// Copies `from` into `to` until `from` ends, then ends `to`. The next bytes are read only when the
// last ones were accepted: a slow reader slows its writer down, and nothing in between grows.
// `count(bytes)` is called for what was passed on.
template <class From, class To, class Count>
io::Task<Result<Done>> pump(From& from, To& to, Count& count) {
  for (;;) {
    auto chunk = co_await from.next_buffer();
    if (!chunk) co_return std::unexpected(chunk.error());
    if (chunk->size() == 0) break;
    const auto passed = co_await pass_on(from, to, *std::move(chunk));
    if (!passed) co_return std::unexpected(passed.error());
    count(*passed);
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
