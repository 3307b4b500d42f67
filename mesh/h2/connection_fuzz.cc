// A peer's bytes into both roles of an HTTP/2 connection. The first byte chooses role and step.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "mesh/base/check.h"
#include "mesh/h2/connection.h"

namespace {

using namespace mesh;

// Answers, reads and writes like an application would, in the middle of things.
struct Application final : h2::Events {
  h2::Connection* connection = nullptr;

  void on_headers(h2::StreamId id, h2::Headers headers, bool) override {
    if (!h2::find_header(headers, ":method")) return;
    if (!connection->respond(id, {{":status", "200"}}, id % 8 == 5)) return;
    if (id % 8 == 5) return;
    connection->send(id, tls::Piece::allocate(static_cast<std::size_t>(id) % 1000 * 100));
  }
  void on_data(h2::StreamId id, tls::Slice bytes) override {
    connection->consumed(id, bytes.size());
  }
  void on_end(h2::StreamId id) override { connection->finish(id); }
  void on_reset(h2::StreamId, h2::ErrorCode) override {}
  void on_closed(h2::StreamId) override {}
  void on_sent(h2::StreamId id) override { connection->finish(id); }
  void on_goaway(h2::ErrorCode, h2::StreamId) override {}
};

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool server = (data[0] & 1) != 0;
  const std::size_t step = std::size_t{1} << (data[0] >> 1 & 15);
  io::TimePoint now{std::chrono::seconds(1)};
  Application application;
  h2::Connection connection(server ? h2::Options::for_server() : h2::Options::for_client(),
                            application, now);
  application.connection = &connection;
  if (!server) {
    for (int i = 0; i < 3; ++i) {
      const auto id = connection.request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
      MESH_CHECK(id.has_value());
      connection.send(*id, tls::Piece::allocate(70'000));
    }
  } else {
    (void)connection.receive(tls::Slice::copy_of(std::as_bytes(std::span(kPreface))), now);
  }
  std::span<const std::uint8_t> rest(data + 1, size - 1);
  std::vector<tls::Piece> out;
  while (!rest.empty()) {
    const auto part = rest.first(std::min(step, rest.size()));
    rest = rest.subspan(part.size());
    now += std::chrono::milliseconds(10);
    const auto received = connection.receive(tls::Slice::copy_of(std::as_bytes(part)), now);
    connection.produce(out, 64 * 1024);
    for (const tls::Piece& piece : out) MESH_CHECK(piece.size() <= 16384);
    out.clear();
    if (!received || connection.failure()) break;
    (void)connection.on_deadline(now);
  }
  connection.transport_ended();
  MESH_CHECK(connection.streams() == 0);
  return 0;
}
