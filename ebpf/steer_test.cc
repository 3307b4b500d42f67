// kernel/steer.bpf.c, packet by packet, in the kernel and without a network or a ztunnel.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "ebpf/test_frames.h"

namespace mesh::ebpf {
namespace {

TEST_CASE("steer: without ztunnel, nothing that egress sent back gets anywhere") {
  struct Row {
    const char* packet;
    Frame frame;
    std::uint32_t mark;
    int verdict;
    const char* counted;
  };
  const auto row = GENERATE(values<Row>({
      {"SYN", frame_of({}), 0x111, kDrop, "steer_dropped_no_ztunnel"},
      {"SYN, other bits of the mark in use", frame_of({}), 0xab0111, kDrop,
       "steer_dropped_no_ztunnel"},
      {"data", frame_of({.flags = kFlagAck, .payload = 9}), 0x111, kDrop,
       "steer_dropped_no_ztunnel"},
      {"SYN, IPv6", frame_of({.from = "fd00::1", .to = "fd00::9"}), 0x111, kDrop,
       "steer_dropped_no_ztunnel"},
      {"DNS", frame_of({.protocol = kUdp, .port = 53}), 0x111, kDrop, "steer_dropped_no_ztunnel"},
      {"DNS, IPv6", frame_of({.from = "fd00::1", .to = "fd00::9", .protocol = kUdp, .port = 53}),
       0x111, kDrop, "steer_dropped_no_ztunnel"},
      {"what egress never sends back", frame_of({.protocol = 1}), 0x111, kDrop,
       "steer_dropped_unreadable"},
      {"loopback's own traffic", frame_of({}), 0, kPass, ""},
      {"loopback's own traffic with ztunnel's mark", frame_of({}), 0x539, kPass, ""},
  }));
  INFO(row.packet);

  Bench bench;
  const auto outcome = bench.run(&Programs::steer, row.frame, row.mark);
  CHECK(outcome.verdict == row.verdict);
  CHECK(outcome.counted == row.counted);
}

}  // namespace
}  // namespace mesh::ebpf
