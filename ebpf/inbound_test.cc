// kernel/inbound.bpf.c, packet by packet, in the kernel and without a network or a ztunnel.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "ebpf/test_frames.h"

namespace mesh::ebpf {
namespace {

Segment to_pod(Segment segment) {
  segment.from = segment.from == "10.0.0.1" ? "10.9.0.9" : segment.from;
  segment.to = "10.0.0.1";
  return segment;
}

Segment to_pod6(Segment segment) {
  segment.from = segment.from == "10.0.0.1" ? "fd00::9" : segment.from;
  segment.to = "fd00::1";
  return segment;
}

TEST_CASE("inbound: without ztunnel, nothing that could be TCP gets to the pod") {
  struct Row {
    const char* packet;
    Frame frame;
    int verdict;
    const char* counted;
  };
  const auto row = GENERATE(values<Row>({
      {"SYN to the application", frame_of(to_pod({})), kDrop, "inbound_dropped_no_ztunnel"},
      {"SYN, IPv6", frame_of(to_pod6({})), kDrop, "inbound_dropped_no_ztunnel"},
      {"data of no connection", frame_of(to_pod({.flags = kFlagAck, .payload = 3})), kDrop,
       "inbound_dropped_no_ztunnel"},
      {"SYN to HBONE", frame_of(to_pod({.port = 15008})), kDrop, "inbound_dropped_no_ztunnel"},
      {"SYN to ztunnel's outbound port", frame_of(to_pod({.port = 15001})), kDrop,
       "inbound_dropped_no_ztunnel"},
      {"SYN from the pod's own address", frame_of({.from = "10.0.0.1", .to = "10.0.0.1"}), kDrop,
       "inbound_dropped_spoofed"},
      {"SYN from the pod's own address, IPv6", frame_of({.from = "fd00::1", .to = "fd00::1"}),
       kDrop, "inbound_dropped_spoofed"},
      {"a kubelet probe", frame_of(to_pod({.from = "169.254.7.127"})), kPass, "inbound_probe"},
      {"a kubelet probe, IPv6",
       frame_of(to_pod6({.from = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff"})), kPass,
       "inbound_probe"},
      {"almost a kubelet probe", frame_of(to_pod({.from = "169.254.7.126"})), kDrop,
       "inbound_dropped_no_ztunnel"},
      {"UDP", frame_of(to_pod({.protocol = kUdp})), kPass, "inbound_other"},
      {"a DNS answer", frame_of(to_pod6({.protocol = kUdp, .port = 40001})), kPass,
       "inbound_other"},
      {"ICMP", frame_of(to_pod({.protocol = 1})), kPass, "inbound_other"},
      {"ARP", arp_from("10.0.0.9"), kPass, "inbound_other"},
      {"TCP behind IP options", with(frame_of(to_pod({})), kIp, 0x46), kDrop,
       "inbound_dropped_unreadable"},
      {"a first fragment of TCP", with(frame_of(to_pod({})), kIp + 6, 0x20), kDrop,
       "inbound_dropped_unreadable"},
      {"a later fragment of TCP", with(frame_of(to_pod({})), kIp + 7, 0x01), kDrop,
       "inbound_dropped_unreadable"},
      {"TCP behind a routing header", behind(43, to_pod6({})), kDrop, "inbound_dropped_unreadable"},
      {"a fragment of TCP, IPv6", behind(44, to_pod6({}), 8), kDrop, "inbound_dropped_unreadable"},
      {"half a TCP header", cut(frame_of(to_pod({})), kTransport4 + 8), kDrop,
       "inbound_dropped_unreadable"},
  }));
  INFO(row.packet);

  Bench bench;
  const auto outcome = bench.run(&Programs::inbound, row.frame);
  CHECK(outcome.verdict == row.verdict);
  CHECK(outcome.counted == row.counted);
}

}  // namespace
}  // namespace mesh::ebpf
