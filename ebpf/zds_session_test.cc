#include "ebpf/zds_session.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>

#include "ebpf/seqpacket.h"

namespace mesh::ebpf {
namespace {

using namespace std::chrono_literals;

std::vector<std::byte> from_hex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

std::string to_hex(std::span<const std::byte> bytes) {
  std::string hex;
  for (const std::byte each : bytes) {
    char text[3];
    std::snprintf(text, sizeof text, "%02x", static_cast<unsigned>(each));
    hex += text;
  }
  return hex;
}

PodInfo pod(std::string uid, std::string name, std::string ns, std::string account) {
  return {std::move(uid), std::move(name), std::move(ns), std::move(account), {}, ""};
}

// A session, and the far end in the test's hands.
class Conversation {
 public:
  Conversation() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0);
    far_ = UniqueFd(ends[1]);
    session.emplace(UniqueFd(ends[0]), "ztunnel", now);
  }

  // ztunnel says this; the session's reaction.
  std::expected<void, std::string> hears(std::string_view hex) {
    REQUIRE(send_packet(far_.get(), from_hex(hex)));
    return session->on_readable(now);
  }
  // What ztunnel is told next, and whether with a descriptor; "" for nothing.
  std::string says() {
    auto packet = receive_packet(far_.get(), 4096);
    if (!packet) return "";
    return to_hex(packet->bytes) + (packet->descriptors.empty() ? "" : " +fd");
  }
  void leaves() { far_ = UniqueFd(); }

  OnZdsAnswer note() {
    return [this](const ZdsAnswer& answer) {
      using enum ZdsAnswer::Kind;
      notes += answer.kind == kAcked ? "acked;" : answer.kind == kRefused ? "refused " : "lost ";
      if (answer.kind != kAcked) notes += answer.error + ";";
    };
  }

  Clock::time_point now{};
  std::string notes;
  std::optional<ZdsSession> session;  // answers its requests when it goes, into the notes

 private:
  UniqueFd far_;
};

// The bytes are those recorded between Istio's node agent and its ztunnel.
TEST_CASE("the recorded conversation: hello, adds, snapshot, del") {
  Conversation talk;
  const int any = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  talk.session->add(pod("uid-server", "server-1", "app", "server"), any, talk.note());
  talk.session->add(pod("uid-client", "client-1", "web", "client"), any, talk.note());
  talk.session->snapshot_sent(talk.note());
  ::close(any);
  REQUIRE(talk.session->advance(talk.now));
  CHECK(talk.says() == "");  // not a word before the hello

  REQUIRE(talk.hears("0801"));
  CHECK(talk.says() ==
        "0a250a0a7569642d73657276657212170a087365727665722d3112036170701a06736572766572 +fd");
  CHECK(talk.says() == "");  // one at a time
  REQUIRE(talk.hears("0a00"));
  CHECK(talk.says() ==
        "0a250a0a7569642d636c69656e7412170a08636c69656e742d3112037765621a06636c69656e74 +fd");
  REQUIRE(talk.hears("0a00"));
  CHECK(talk.says() == "1a00");
  REQUIRE(talk.hears("0a00"));
  talk.session->del("uid-client", talk.note());
  REQUIRE(talk.session->advance(talk.now));
  CHECK(talk.says() == "120c120a7569642d636c69656e74");
  REQUIRE(talk.hears("0a00"));
  CHECK(talk.notes == "acked;acked;acked;acked;");
}

TEST_CASE("a refusal is passed on, and the session goes on") {
  Conversation talk;
  talk.session->del("a", talk.note());
  talk.session->del("b", talk.note());
  REQUIRE(talk.hears("0801"));
  REQUIRE(talk.hears("0a060a046e6f7065"));  // ack with the error "nope"
  CHECK(talk.notes == "refused nope;");
  CHECK(talk.says() != "");
  CHECK(talk.says() != "");
}

TEST_CASE("what ends a session, and what becomes of its requests") {
  Conversation talk;
  talk.session->del("a", talk.note());
  std::expected<void, std::string> ended;

  SECTION("no hello") {
    talk.now += kZdsDeadline;
    ended = talk.session->advance(talk.now);
    CHECK(ended.error() == "no hello from ztunnel within 5 s");
  }
  SECTION("a hello of another version") {
    ended = talk.hears("0802");
    CHECK(ended.error() == "it speaks ZDS version 2, we speak 1");
  }
  SECTION("no protobuf") {
    ended = talk.hears("ffffff");
    CHECK(ended.error() == "its first packet is no ZDS hello");
  }
  SECTION("no ack in time") {
    REQUIRE(talk.hears("0801"));
    CHECK(talk.session->deadline() == talk.now + kZdsDeadline);
    talk.now += kZdsDeadline - 1ms;
    REQUIRE(talk.session->advance(talk.now));
    talk.now += 1ms;
    ended = talk.session->advance(talk.now);
    CHECK(ended.error() == "no ack from ztunnel within 5 s");
  }
  SECTION("an answer that is no ack") {
    REQUIRE(talk.hears("0801"));
    ended = talk.hears("1200");
    CHECK(ended.error() == "its answer is no ZDS ack");
  }
  SECTION("an overlong packet") {
    ended = talk.hears(std::string(2 * 1025, '0'));
    CHECK(ended.error() == "its packet is over 1024 bytes");
  }
  SECTION("the far end closes") {
    REQUIRE(talk.hears("0801"));
    CHECK(talk.says() != "");
    talk.leaves();
    ended = talk.session->on_readable(talk.now);
    CHECK(ended.error() == "ztunnel closed the connection");
  }
  SECTION("a pod whose names do not fit into a packet") {
    talk.session->add(pod("u", std::string(1100, 'n'), "s", "a"), -1, talk.note());
    REQUIRE(talk.hears("0801"));
    ended = talk.hears("0a00");
    CHECK(talk.notes == "acked;");
    talk.notes.clear();
    CHECK(ended.error() == "a pod's names do not fit into 1024 bytes");
  }
  SECTION("too many requests wait") {
    for (std::size_t i = 0; i < kZdsWaitingMax; ++i)
      talk.session->snapshot_sent([](const auto&) {});
    ended = talk.session->advance(talk.now);
    CHECK(ended.error() == "more than 4096 requests wait for ztunnel");
  }
  REQUIRE(!ended);
  talk.session.reset();
  CHECK(talk.notes == "lost " + ended.error() + ";");
}

TEST_CASE("an answer to nothing ends the session") {
  Conversation talk;
  REQUIRE(talk.hears("0801"));
  CHECK(talk.hears("0a00").error() == "it answered what was not asked");
}

}  // namespace
}  // namespace mesh::ebpf
