// kernel/egress.bpf.c, packet by packet, in the kernel and without a network. The packets have a
// socket that is no TCP socket, as those of a raw socket would.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "ebpf/test_frames.h"

namespace mesh::ebpf {
namespace {

Segment v6(Segment segment) {
  segment.from = "fd00::1";
  if (segment.to == "10.9.0.9") segment.to = "fd00::9";
  return segment;
}

// A neighbour advertisement by the pod for `target`.
Frame advertisement(std::string_view target) {
  Frame frame = frame_of(v6({.protocol = kIcmp6, .payload = 20}));
  frame[kTransport6] = 136;
  std::memcpy(&frame[kTransport6 + 8], net::IpAddress::parse(target)->bytes().data(), 16);
  return frame;
}

struct Row {
  const char* packet;
  Frame frame;
  int verdict;
  const char* counted;
};

void check(const Row& row) {
  INFO(row.packet);
  Bench bench;
  const auto outcome = bench.run(&Programs::egress, row.frame);
  CHECK(outcome.verdict == row.verdict);
  CHECK(outcome.counted == row.counted);
}

TEST_CASE("egress: a segment that no TCP socket sent does not leave with data or a SYN") {
  check(GENERATE(values<Row>({
      {"SYN", frame_of({}), kDrop, "egress_dropped_forged"},
      {"SYN, IPv6", frame_of(v6({})), kDrop, "egress_dropped_forged"},
      {"SYN to the probe address", frame_of({.to = "169.254.7.127"}), kDrop,
       "egress_dropped_forged"},
      {"SYN-ACK", frame_of({.flags = kFlagSyn | kFlagAck}), kDrop, "egress_dropped_forged"},
      {"data", frame_of({.flags = kFlagAck, .payload = 4}), kDrop, "egress_dropped_forged"},
      {"data, IPv6", frame_of(v6({.flags = kFlagAck, .payload = 4})), kDrop,
       "egress_dropped_forged"},
      {"a bare ACK", frame_of({.flags = kFlagAck}), kPass, "egress_kernel_reply"},
      {"a reset", frame_of({.flags = kFlagRst}), kPass, "egress_kernel_reply"},
      {"data to the probe address",
       frame_of({.to = "169.254.7.127", .flags = kFlagAck, .payload = 4}), kPass,
       "egress_probe_reply"},
      {"DNS over TCP", frame_of({.port = 53}), kDrop, "egress_dropped_forged"},
  })));
}

TEST_CASE("egress: DNS goes to loopback, other datagrams leave") {
  check(GENERATE(values<Row>({
      {"UDP", frame_of({.protocol = kUdp}), kPass, "egress_other"},
      {"UDP, IPv6", frame_of(v6({.protocol = kUdp})), kPass, "egress_other"},
      {"DNS", frame_of({.protocol = kUdp, .port = 53}), kRedirect, "egress_dns"},
      {"DNS, IPv6", frame_of(v6({.protocol = kUdp, .port = 53})), kRedirect, "egress_dns"},
      {"a first fragment of DNS", with(frame_of({.protocol = kUdp, .port = 53}), kIp + 6, 0x20),
       kDrop, "egress_dropped_unreadable"},
      {"a first fragment of DNS, IPv6", behind(44, v6({.protocol = kUdp, .port = 53}), 1), kDrop,
       "egress_dropped_unreadable"},
      {"a first fragment of UDP", with(frame_of({.protocol = kUdp}), kIp + 6, 0x20), kPass,
       "egress_other"},
      {"a later fragment of UDP", with(frame_of({.protocol = kUdp, .port = 53}), kIp + 7, 0x01),
       kPass, "egress_other"},
      {"a later fragment of UDP, IPv6", behind(44, v6({.protocol = kUdp, .port = 53}), 8), kPass,
       "egress_other"},
      {"ICMPv6", frame_of(v6({.protocol = kIcmp6})), kPass, "egress_other"},
      {"ICMPv6 behind a router alert", behind(0, v6({.protocol = kIcmp6})), kPass, "egress_other"},
      {"SCTP", frame_of({.protocol = 132}), kPass, "egress_other"},
  })));
}

TEST_CASE("egress: what cannot be read does not leave") {
  check(GENERATE(values<Row>({
      {"TCP behind IP options", with(frame_of({}), kIp, 0x46), kDrop, "egress_dropped_unreadable"},
      {"UDP behind IP options", with(frame_of({.protocol = kUdp}), kIp, 0x4f), kDrop,
       "egress_dropped_unreadable"},
      {"a first fragment of TCP", with(frame_of({}), kIp + 6, 0x20), kDrop,
       "egress_dropped_unreadable"},
      {"a later fragment of TCP", with(frame_of({}), kIp + 7, 0x01), kDrop,
       "egress_dropped_unreadable"},
      {"a fragment of TCP, IPv6", behind(44, v6({})), kDrop, "egress_dropped_unreadable"},
      {"TCP behind hop-by-hop options", behind(0, v6({})), kDrop, "egress_dropped_unreadable"},
      {"TCP behind a routing header", behind(43, v6({})), kDrop, "egress_dropped_unreadable"},
      {"TCP behind destination options", behind(60, v6({})), kDrop, "egress_dropped_unreadable"},
      {"UDP behind an authentication header", behind(51, v6({.protocol = kUdp})), kDrop,
       "egress_dropped_unreadable"},
      {"half a TCP header", cut(frame_of({}), kTransport4 + 10), kDrop,
       "egress_dropped_unreadable"},
      {"half a TCP header, IPv6", cut(frame_of(v6({})), kTransport6 + 19), kDrop,
       "egress_dropped_unreadable"},
      {"a TCP header shorter than it can be", with(frame_of({}), kTransport4 + 12, 0x40), kDrop,
       "egress_dropped_unreadable"},
      {"a TCP header longer than the packet", with(frame_of({}), kTransport4 + 12, 0xf0), kDrop,
       "egress_dropped_unreadable"},
      {"IPv4 of version 5", with(frame_of({}), kIp, 0x55), kDrop, "egress_dropped_unreadable"},
      {"IPv6 of version 4", with(frame_of(v6({})), kIp, 0x40), kDrop, "egress_dropped_unreadable"},
      {"a VLAN tag", with(with(frame_of({}), 12, 0x81), 13, 0x00), kDrop, "egress_dropped_not_ip"},
  })));
}

TEST_CASE("egress: a source that is not the pod's does not leave") {
  check(GENERATE(values<Row>({
      {"TCP from a neighbour's address", frame_of({.from = "10.0.0.2", .flags = kFlagRst}), kDrop,
       "egress_dropped_spoofed"},
      {"UDP from a neighbour's address", frame_of({.from = "10.0.0.2", .protocol = kUdp}), kDrop,
       "egress_dropped_spoofed"},
      {"UDP from a neighbour's address, IPv6",
       frame_of({.from = "fd00::2", .to = "fd00::9", .protocol = kUdp}), kDrop,
       "egress_dropped_spoofed"},
      {"a later fragment from a neighbour's address",
       with(frame_of({.from = "10.0.0.2", .protocol = kUdp}), kIp + 7, 1), kDrop,
       "egress_dropped_spoofed"},
      {"DHCP before there is an address", frame_of({.from = "0.0.0.0", .protocol = kUdp}), kPass,
       "egress_other"},
      {"TCP from 0.0.0.0", frame_of({.from = "0.0.0.0"}), kDrop, "egress_dropped_spoofed"},
      {"ICMPv6 from the link-local address",
       frame_of({.from = "fe80::1", .to = "ff02::2", .protocol = kIcmp6}), kPass, "egress_other"},
      {"duplicate address detection", frame_of({.from = "::", .to = "ff02::1", .protocol = kIcmp6}),
       kPass, "egress_other"},
      {"UDP from ::", frame_of({.from = "::", .to = "ff02::1", .protocol = kUdp}), kDrop,
       "egress_dropped_spoofed"},
      {"ARP in the pod's name", arp_from("10.0.0.1"), kPass, "egress_arp"},
      {"an ARP probe", arp_from("0.0.0.0"), kPass, "egress_arp"},
      {"ARP in a neighbour's name", arp_from("10.0.0.2"), kDrop, "egress_dropped_spoofed"},
      {"ARP cut short", cut(arp_from("10.0.0.1"), 30), kDrop, "egress_dropped_unreadable"},
      {"an advertisement of the pod's address", advertisement("fd00::1"), kPass, "egress_other"},
      {"an advertisement of a link-local address", advertisement("fe80::1"), kPass, "egress_other"},
      {"an advertisement of a neighbour's address", advertisement("fd00::2"), kDrop,
       "egress_dropped_spoofed"},
  })));
}

}  // namespace
}  // namespace mesh::ebpf
