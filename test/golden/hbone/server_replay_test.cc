// The 76 recorded conversations of a client with the accepting side, replayed against ours, in
// virtual time. Windows are not compared: they are different on purpose.

#include <catch2/catch_test_macros.hpp>
#include <cstring>

#include "mesh/hbone/test_world.h"
#include "test/golden/hbone/peer.h"

#ifndef GOLDEN_FOLDER
#error "GOLDEN_FOLDER names the folder of the recordings"
#endif

namespace mesh::golden {
namespace {

using namespace std::chrono_literals;
using hbone::IncomingConnect;
using hbone::Stream;

struct Replay {
  explicit Replay(const Case& of) : story(of) {}

  const Case& story;
  hbone::test::World world;
  std::string saw;
  Heard heard;

  // What the record says of stream N's answer: decisions above this layer are taken from it.
  int status_of(int stream) const {
    for (const Line& line : story.lines) {
      if (line.who == '>' && line.verb() == "headers" && line.stream() == stream) {
        return std::stoi(line.words.at(2));
      }
    }
    return 200;
  }
  std::size_t data_of(int stream) const {
    std::size_t bytes = 0;
    for (const Line& line : story.lines) {
      if (line.who == '>' && line.verb() == "data" && line.stream() == stream)
        bytes += line.number(2);
    }
    return bytes;
  }
};

io::Task<void> echo(Stream& stream) {
  for (;;) {
    auto got = co_await stream.recv_buffer();
    if (!got) co_return;
    if (got->empty()) break;
    (void)co_await stream.send_all(got->bytes());
  }
  (void)stream.finish_sending();
}

io::Task<void> sink(Stream& stream, std::string& saw) {
  std::size_t bytes = 0;
  for (;;) {
    auto got = co_await stream.recv_buffer();
    if (!got || got->empty()) {
      saw = std::to_string(bytes) + (got ? " eof" : " rst");
      if (got) (void)stream.finish_sending();
      co_return;
    }
    bytes += got->size();
  }
}

// The applications that stood behind the recorded proxy, by port.
io::Task<void> application(Replay& replay, IncomingConnect connect) {
  const std::string authority = connect.request().authority;
  const int id = static_cast<int>(2 * replay.world.handler.asked.size() - 1);
  const int status = replay.status_of(id);
  if (status != 200) {
    connect.refuse(status);
    co_return;
  }
  auto accepted = connect.accept({{"baggage", "k8s.namespace.name=app"}});
  if (!accepted) co_return;
  Stream& stream = *accepted;
  if (authority.ends_with(":7002")) {
    (void)co_await stream.send_all(hbone::test::bytes("bye"));
    (void)stream.finish_sending();
    co_await sink(stream, replay.saw);
  } else if (authority.ends_with(":7003")) {
    (void)co_await stream.send_all(hbone::test::bytes("hello"));
    (void)stream.finish_sending();
    co_await sink(stream, replay.saw);
  } else if (authority.ends_with(":7004")) {
    (void)co_await stream.recv_buffer();
    stream.reset();
  } else if (authority.ends_with(":7006")) {
    (void)co_await stream.recv_buffer();
    const std::string bulk(replay.story.name == "large-frame-size" ? replay.data_of(id) : 3 << 20,
                           'z');
    (void)co_await stream.send_all(hbone::test::bytes(bulk));
    (void)stream.finish_sending();
    co_await sink(stream, replay.saw);
  } else if (authority.ends_with(":7007")) {
    co_await sink(stream, replay.saw);
  } else if (authority.ends_with(":7008")) {
    stream.reset();
  } else {
    co_await echo(stream);
  }
}

io::Task<void> until(io::Ring& ring, io::TimePoint when) {
  co_await hbone::test::pass_until(ring, when);
}

// What two recordings only sum up.
io::Task<void> say_summary(Peer& peer, const std::string& name) {
  const bool rapid = name == "rapid-reset";
  for (int i = 0; i < (rapid ? 150 : 220); ++i) {
    const int id = 1 + 2 * i;
    Line headers;
    headers.words = {"headers", std::to_string(id), ":method=CONNECT", ":authority=10.78.0.2:7000"};
    co_await peer.say(headers);
    if (!rapid) continue;
    Line reset;
    reset.words = {"rst", std::to_string(id), "CANCEL"};
    co_await peer.say(reset);
  }
}

io::Task<void> tell(Replay& replay) {
  hbone::test::World& world = replay.world;
  io::Ring& ring = *world.ring;
  io::ConnectOptions options;
  options.to = world.listener->local_address();
  auto socket = co_await io::connect(ring, options);
  REQUIRE(socket.has_value());
  tls::SessionOptions session;
  session.now = std::chrono::floor<std::chrono::seconds>(ring.wall_now());
  session.accepted.push_back(hbone::test::id(hbone::test::kCart));
  Peer peer(ring, *std::move(socket), tls::Session::create(world.client_context, session).value());
  peer.mute = true;
  for (const Line& line : replay.story.lines) {
    if (line.verb() == "pong") peer.mute = false;  // the recorded client answered
  }
  const auto shaken = co_await peer.handshake();
  REQUIRE(shaken.has_value());
  const io::TimePoint start = ring.now();
  if (replay.story.name != "http1-text") co_await peer.say_preface(true);
  for (const Line& line : replay.story.lines) {
    if (line.verb() == "settings") co_await peer.say(line);  // before it acknowledges ours
  }
  io::TaskScope listening;
  listening.spawn(peer.listen());
  const bool summary =
      replay.story.name == "rapid-reset" || replay.story.name == "too-many-streams";
  for (const Line& line : replay.story.lines) {
    if (line.who != '<' || line.verb() == "settings") continue;
    co_await until(ring, start + line.at + 1ms);
    if (line.verb() == "pong") continue;
    if (line.verb() == "drain") world.server->drain();
    co_await peer.say(line);
  }
  if (summary) co_await say_summary(peer, replay.story.name);
  const auto last = replay.story.lines.empty() ? 0ms : replay.story.lines.back().at;
  co_await until(ring, start + last + 300ms);
  world.server->end();
  co_await hbone::test::pass_until(ring, ring.now() + 50ms);
  listening.cancel();
  co_await listening.join();
  replay.heard = peer.heard;
}

// What the record has of us, in the same words.
Heard expected_of(const Case& story) {
  Heard heard;
  for (const Line& line : story.lines) {
    if (line.who != '>') continue;
    if (line.verb() == "data") {
      heard.add_data(line.stream(), line.number(2));
    } else if (line.verb() == "headers") {
      heard.add(line.stream(),
                "headers " + line.words[2] + (line.words.size() > 3 ? " baggage" : ""));
    } else if (line.verb() == "rst") {
      heard.add(line.stream(), "rst " + line.words[2]);
    } else if (line.verb() == "end") {
      heard.add(line.stream(), "end");
    } else if (line.verb() == "goaway") {
      heard.add(0, "goaway " + line.words[1] + " " + line.words[2]);
    } else if (line.verb() == "ping") {
      heard.add(0, line.words[1] == "0b7ba2f08b9bfe54" ? "ping drain" : "ping");
    } else {
      heard.add(0, line.verb());
    }
  }
  return heard;
}

std::string text_of(const Heard& heard) {
  std::string text;
  for (const auto& [stream, list] : heard.streams) {
    text += std::to_string(stream) + ":";
    for (const std::string& what : list) text += " [" + what + "]";
    text += "\n";
  }
  return text;
}

// The replay ends every connection; the record only some.
void drop_our_close(Heard& heard, const Heard& expected) {
  const auto found = expected.streams.find(0);
  const bool closes = found != expected.streams.end() && found->second.back() == "close";
  auto& list = heard.streams[0];
  while (!closes && !list.empty() && (list.back() == "close" || list.back() == "broken")) {
    list.pop_back();
  }
  if (list.empty()) heard.streams.erase(0);
}

TEST_CASE("every recorded conversation with the accepting side") {
  const std::vector<Case> cases = read_cases(std::string(GOLDEN_FOLDER) + "/server.txt");
  CHECK(cases.size() == 76);
  for (const Case& story : cases) {
    INFO(story.name);
    Replay replay(story);
    replay.world.handler.serve = [&](IncomingConnect connect) {
      return application(replay, std::move(connect));
    };
    replay.world.start();
    replay.world.run(tell(replay));
    const Heard expected = expected_of(story);
    drop_our_close(replay.heard, expected);
    if (story.name == "rapid-reset") {
      // Which of the streams were answered before their reset came is a matter of luck.
      for (const auto& [stream, list] : replay.heard.streams) {
        INFO(stream);
        CHECK(list[0] == "headers 200 baggage");
      }
    } else if (story.name == "too-many-streams") {
      for (int id = 1; id < 401; id += 2) replay.heard.streams.erase(id);
      CHECK(text_of(replay.heard) == text_of(expected));
    } else {
      CHECK(text_of(replay.heard) == text_of(expected));
    }
    if (!story.saw.empty()) CHECK(replay.saw == story.saw);
  }
}

}  // namespace
}  // namespace mesh::golden
