#include "ztunnel/zds.h"

#include <fstream>
#include <map>
#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace mesh::ztunnel {
namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size() && hex[i] != '.'; i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == '\t') {
      cells.emplace_back();
    } else {
      cells.back().push_back(c);
    }
  }
  return cells;
}

TEST_CASE("golden: packets of an agent get the acks that a stock ztunnel gave") {
  std::ifstream golden(GOLDEN_FOLDER "/ztunnel/zds.tsv");
  std::map<std::string, ZdsSession> sessions;
  int packets = 0;
  for (std::string line; std::getline(golden, line);) {
    if (line.starts_with('#')) continue;
    const std::vector<std::string> cells = split(line);
    REQUIRE(cells.size() == 8);
    INFO(cells[0] << ": " << cells[6]);
    const std::string bytes = from_hex(cells[4]);
    ZdsSession& session = sessions[cells[0] + cells[1]];
    const auto message = session.receive({.bytes = std::as_bytes(std::span(bytes)),
                                          .descriptors = std::stoul(cells[2]),
                                          .truncated = std::stoul(cells[3]) > kZdsPacketMax});
    ++packets;
    // Whether a proxy starts is not for the decoder to say.
    if (cells[7].empty() || cells[7].starts_with("failure to start proxy")) {
      CHECK(message.has_value());
    } else {
      REQUIRE(!message.has_value());
      CHECK(message.error() == cells[7]);
    }
    CHECK(encode_zds_ack(cells[7]) == from_hex(cells[5]));
  }
  CHECK(packets == 35);
  CHECK(encode_zds_hello() == from_hex("0801"));
}

TEST_CASE("an add carries who the pod is") {
  const std::string bytes =
      from_hex("0a250a0a7569642d73657276657212170a087365727665722d3112036170701a06736572766572");
  const auto message = decode_zds({.bytes = std::as_bytes(std::span(bytes)), .descriptors = 1});
  REQUIRE(message.has_value());
  CHECK(std::get<ZdsAdd>(*message).pod ==
        PodInfo{.uid = "uid-server", .name = "server-1", .ns = "app", .service_account = "server"});
}

ZdsPacket packet(const std::string& bytes, std::size_t descriptors = 0) {
  return {.bytes = std::as_bytes(std::span(bytes)), .descriptors = descriptors};
}

TEST_CASE("a snapshot knows what was added, kept and deleted before it") {
  const std::string add_a = from_hex("0a0b0a016112060a01781a0179");
  const std::string keep_b = from_hex("2a030a0162");
  const std::string keep_c = from_hex("2a030a0163");
  const std::string delete_c = from_hex("1203120163");
  const std::string snapshot = from_hex("1a00");
  ZdsSession session;
  CHECK(session.receive(packet(add_a, 1)).has_value());
  CHECK(session.receive(packet(keep_b)).has_value());
  CHECK(session.receive(packet(keep_c)).has_value());
  CHECK(session.receive(packet(delete_c)).has_value());
  CHECK(!session.snapshot_received());
  const auto sent = session.receive(packet(snapshot));
  REQUIRE(sent.has_value());
  CHECK(std::get<ZdsSnapshotSent>(*sent).mentioned == std::set<std::string>{"a", "b"});
  CHECK(session.snapshot_received());
}

TEST_CASE("limit: an ack never outgrows a packet") {
  CHECK(encode_zds_ack(std::string(100000, 'x')).size() < kZdsPacketMax);
}

}  // namespace
}  // namespace mesh::ztunnel
