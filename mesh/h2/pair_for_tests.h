#pragma once
// Two connections that talk to each other in a test, and what each of them says happened.

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "mesh/h2/connection.h"

namespace mesh::h2 {

// Writes down what happens, one line an event.
struct Recorder final : Events {
  std::vector<std::string> log;
  std::map<StreamId, std::string> data;
  std::function<void(StreamId, const Headers&, bool)> headers = [](StreamId, const Headers&, bool) {
  };
  std::size_t sent_events = 0;
  std::optional<io::Duration> path;
  std::optional<io::Duration> path_round_trip() override { return path; }
  Connection* consume_at = nullptr;  // read at once

  void on_headers(StreamId id, Headers list, bool end) override {
    log.push_back("headers " + std::to_string(id) + (end ? " end" : ""));
    headers(id, list, end);
  }
  void on_data(StreamId id, tls::Slice bytes) override {
    data[id].append(reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size());
    if (consume_at != nullptr) consume_at->consumed(id, bytes.size());
  }
  void on_interim(StreamId id, Headers list) override {
    log.push_back("interim " + std::to_string(id) + " " + list.at(0).value);
  }
  void on_end(StreamId id) override { log.push_back("end " + std::to_string(id)); }
  void on_reset(StreamId id, ErrorCode code) override {
    log.push_back("reset " + std::to_string(id) + " " + std::to_string(static_cast<int>(code)));
  }
  void on_closed(StreamId id) override { log.push_back("closed " + std::to_string(id)); }
  void on_sent(StreamId) override { ++sent_events; }
  void on_goaway(ErrorCode code, StreamId last) override {
    log.push_back("goaway " + std::to_string(static_cast<int>(code)) + " " + std::to_string(last));
  }
  void on_pong() override { log.emplace_back("pong"); }
};

using Log = std::vector<std::string>;

inline const Headers kConnect = {{":method", "CONNECT"}, {":authority", "10.0.0.2:80"}};
inline const Headers kOk = {{":status", "200"}};

struct Pair {
  io::TimePoint now{std::chrono::seconds(1)};
  Recorder client_events;
  Recorder server_events;
  Connection client;
  Connection server;
  std::size_t carried = 0;

  explicit Pair(Options client_options = Options::for_client(),
                Options server_options = Options::for_server())
      : client(client_options, client_events, now), server(server_options, server_events, now) {
    settle();
  }

  // Carries one way; false when there was nothing.
  bool carry(Connection& from, Connection& to, std::size_t room = 1 << 20) {
    std::vector<tls::Piece> pieces;
    from.produce(pieces, room);
    for (const tls::Piece& piece : pieces) {
      CHECK(piece.size() <= 16384);
      CHECK(piece.headroom() >= 5);
      CHECK(piece.tailroom() >= 17);
      carried += piece.size();
      (void)to.receive(tls::Slice::copy_of(piece.bytes()), now);
    }
    return !pieces.empty();
  }
  void settle() {
    for (bool moved = true; moved;) {
      moved = carry(client, server);
      moved = carry(server, client) || moved;
    }
  }
  StreamId open() {
    const StreamId id = client.request(kConnect, false).value();
    settle();
    REQUIRE(server.respond(id, kOk, false).has_value());
    settle();
    return id;
  }
};

inline tls::Piece piece(std::string_view text) {
  return tls::Piece::copy_of(std::as_bytes(std::span(text)));
}

}  // namespace mesh::h2
