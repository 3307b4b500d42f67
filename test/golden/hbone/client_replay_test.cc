// The 52 recorded conversations of the connecting side with a peer on port 15008, replayed against
// ours, in virtual time. Windows are not compared: they are different on purpose.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <map>
#include <set>

#include "mesh/hbone/test_world.h"
#include "test/golden/hbone/peer.h"

namespace mesh::golden {
namespace {

using namespace std::chrono_literals;

// One application of the recorded pod: what it writes is in the script, what it reads is noted.
struct App {
  std::optional<hbone::Stream> stream;
  std::string saw;
  bool stalled = false;
  io::CancelScope scope;
};

struct Replay {
  explicit Replay(const Case& of) : story(of) {}

  const Case& story;
  hbone::test::World world;
  std::map<std::string, std::unique_ptr<Peer>> peers;  // by connection
  std::map<std::string, App> apps;                     // by connection and stream
  std::map<std::string, Heard> heard;
  io::TimePoint start;
  io::TaskScope tasks;
  std::size_t accepted = 0;
  std::string saw;  // the first application
};

std::string key_of(const Line& line) {
  return line.connection + "/" + std::to_string(line.stream());
}

io::Task<void> read_all(App& app, io::Ring& ring) {
  std::size_t bytes = 0;
  for (;;) {
    while (app.stalled && !app.scope.requested()) {
      co_await hbone::test::pass_until(ring, ring.now() + 10ms);
    }
    auto got = co_await app.stream->recv_buffer();
    if (!got || got->empty()) {
      app.saw = std::to_string(bytes) + (got ? " eof" : " rst");
      co_return;
    }
    bytes += got->size();
  }
}

io::Task<void> run_app(Replay& replay, App& app, std::string authority) {
  hbone::OpenRequest request = replay.world.request(std::move(authority));
  request.headers.push_back({"forwarded", "for=\"10.78.0.1:4000\""});
  request.headers.push_back({"traceparent", "00-01-02-00"});
  app.saw = "0 open";
  auto opened = co_await replay.world.pool->open(std::move(request)).under(app.scope);
  if (!opened || !opened->stream) {
    app.saw = "0 rst";
    co_return;
  }
  app.stream = std::move(opened->stream);
  co_await read_all(app, *replay.world.ring).under(app.scope);
}

// What the script makes an application do at its time.
io::Task<void> act(Replay& replay, const Line& line) {
  if (line.verb() == "close") {
    for (auto& [key, app] : replay.apps) {
      app.scope.request();
      if (app.stream) app.stream->reset();
    }
    co_await replay.world.pool->close(0ms);
    co_return;
  }
  App& app = replay.apps[key_of(line)];
  if (line.verb() == "connect") {
    replay.tasks.spawn(run_app(replay, app, line.words.at(2)));
  } else if (line.verb() == "stall") {
    app.stalled = true;
  } else if (line.verb() == "drop") {
    app.scope.request();
    if (app.stream) app.stream->reset();
  } else if (app.stream && line.verb() == "data") {
    const std::string text(line.number(2), 'x');
    const auto sent = co_await io::with_deadline(*replay.world.ring, 5s, "write",
                                                 app.stream->send_all(hbone::test::bytes(text)));
    CHECK(sent.has_value());
  } else if (app.stream && line.verb() == "end") {
    (void)app.stream->finish_sending();
  }
}

// The peer's own script, on one accepted connection.
io::Task<void> run_peer(Replay& replay, std::string name, io::Socket socket) {
  io::Ring& ring = *replay.world.ring;
  tls::SessionOptions session;
  session.now = std::chrono::floor<std::chrono::seconds>(ring.wall_now());
  auto& peer = replay.peers[name];
  peer = std::make_unique<Peer>(ring, std::move(socket),
                                tls::Session::create(replay.world.server_context, session).value());
  peer->mute = replay.story.name == "ping-unanswered";
  peer->gives_credit = true;
  peer->keeps_to_windows = replay.story.name != "peer-window-overflow";
  const auto shaken = co_await peer->handshake();
  REQUIRE(shaken.has_value());
  const io::TimePoint start = ring.now();
  bool told = false;
  for (const Line& line : replay.story.lines) {
    if (line.verb() != "settings" || line.connection != name) continue;
    co_await peer->say(line);
    told = true;
  }
  if (!told)
    co_await peer->say(Line{.at = {}, .who = '<', .connection = {}, .words = {"settings"}});
  replay.tasks.spawn(peer->listen());
  for (const Line& line : replay.story.lines) {
    if (line.who != '<' || line.connection != name || line.verb() == "settings") continue;
    if (line.verb() == "pong" || line.verb() == "drain") continue;  // answered as it comes
    co_await hbone::test::pass_until(ring, start + line.at + 3ms);
    co_await peer->say(line);
  }
}

io::Task<void> accept_peers(Replay& replay) {
  for (;;) {
    auto socket = co_await replay.world.listener->accept();
    if (!socket) co_return;
    ++replay.accepted;
    const bool several = !replay.story.lines.empty() && replay.story.lines[0].connection != "";
    replay.tasks.spawn(
        run_peer(replay, several ? "c" + std::to_string(replay.accepted) : "", *std::move(socket)));
  }
}

// The application's side: its own lines, and those of ours that it caused.
bool is_an_act(const Line& line) {
  static const std::set<std::string> kCaused = {"connect", "data", "end"};
  return line.who == '!' || (line.who == '>' && kCaused.contains(line.verb()));
}

io::Task<void> tell(Replay& replay) {
  hbone::test::World& world = replay.world;
  io::Ring& ring = *world.ring;
  if (replay.story.name == "refused-15008") {
    world.listener->close();
    replay.tasks.spawn(run_app(replay, replay.apps["/1"], "10.78.0.3:7000"));
  } else {
    replay.tasks.spawn(accept_peers(replay));
  }
  replay.start = ring.now();
  bool connected = false;
  std::chrono::milliseconds last{};
  std::multimap<std::chrono::milliseconds, Line> lines;
  for (const Line& line : replay.story.lines) lines.emplace(line.at, line);
  for (const auto& [at, line] : lines) {
    last = std::max(last, line.at);
    if (!is_an_act(line)) continue;
    if (line.verb() != "connect") {
      // In the record a peer's line of the same moment came first.
      co_await hbone::test::pass_until(ring, replay.start + line.at + 6ms);
    } else if (connected) {
      co_await hbone::test::pass_until(ring, replay.start + line.at);
    }
    connected = true;
    co_await act(replay, line);
  }
  co_await hbone::test::pass_until(ring, replay.start + last + 400ms);
  for (auto& [name, peer] : replay.peers) replay.heard[name] = peer->heard;
  if (!replay.apps.empty()) replay.saw = replay.apps.begin()->second.saw;
  for (auto& [key, app] : replay.apps) app.scope.request();
  co_await world.pool->close(0ms);
  world.listener->close();
  replay.tasks.cancel();
  co_await replay.tasks.join();
}

std::string text_of(const std::map<std::string, Heard>& all) {
  std::string text;
  for (const auto& [name, heard] : all) {
    for (const auto& [stream, list] : heard.streams) {
      text += name + "/" + std::to_string(stream) + ":";
      for (const std::string& what : list) text += " [" + what + "]";
      text += "\n";
    }
  }
  return text;
}

std::map<std::string, Heard> expected_of(const Case& story) {
  std::map<std::string, Heard> all;
  for (const Line& line : story.lines) {
    if (line.who != '>') continue;
    Heard& heard = all[line.connection];
    if (line.verb() == "data") {
      heard.add_data(line.stream(), line.number(2));
    } else if (line.verb() == "connect" || line.verb() == "rst") {
      heard.add(line.stream(), line.verb() + " " + line.words[2]);
    } else if (line.verb() == "end") {
      heard.add(line.stream(), "end");
    } else if (line.verb() == "goaway") {
      heard.add(0, "goaway " + line.words[1] + " " + line.words[2]);
    } else {
      heard.add(0, line.verb());
    }
  }
  return all;
}

TEST_CASE("every recorded conversation of the connecting side") {
  const std::vector<Case> cases = read_cases(std::string(GOLDEN_FOLDER) + "/client.txt");
  CHECK(cases.size() == 52);
  // A cut path is told by "a dead pooled tunnel is found by PING before it is used again".
  // Times of several connections at once are not comparable: "a tunnel takes as many streams as it
  // may, then another is made".
  const std::set<std::string> elsewhere = {"pool-dead-peer", "pool-max-streams"};
  for (const Case& story : cases) {
    if (elsewhere.contains(story.name)) continue;
    INFO(story.name);
    Replay replay(story);
    if (story.name.starts_with("pool-")) replay.world.pool_options.idle_release = 3s;
    if (story.name == "pool-max-streams") replay.world.pool_options.streams_per_tunnel = 2;
    replay.world.start();
    replay.world.ring->run(tell(replay));
    CHECK(text_of(replay.heard) == text_of(expected_of(story)));
    if (!story.saw.empty()) CHECK(replay.saw == story.saw);
    for (const auto& [name, peer] : replay.peers) {
      for (const auto& list : peer->header_lists) {
        std::string names;
        for (const auto& [header, value] : list) names += header + " ";
        CHECK(names == ":method :authority baggage forwarded traceparent ");
      }
    }
  }
}

}  // namespace
}  // namespace mesh::golden
