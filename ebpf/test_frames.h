#pragma once
// Ethernet frames for BPF_PROG_TEST_RUN tables: a few words make one, `with` changes a byte.

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "ebpf/programs.h"
#include "mesh/net/address.h"

namespace mesh::ebpf {

using Frame = std::vector<std::uint8_t>;

inline constexpr std::size_t kIp = 14;                // where the IP header begins
inline constexpr std::size_t kTransport4 = kIp + 20;  // and what is behind it
inline constexpr std::size_t kTransport6 = kIp + 40;

inline constexpr std::uint8_t kTcp = 6, kUdp = 17, kIcmp6 = 58;
inline constexpr std::uint8_t kFlagSyn = 0x02, kFlagRst = 0x04, kFlagAck = 0x10;

inline void put16(Frame& frame, std::size_t at, std::uint32_t value) {
  frame[at] = static_cast<std::uint8_t>(value >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(value);
}

struct Segment {
  std::string_view from = "10.0.0.1";
  std::string_view to = "10.9.0.9";
  std::uint8_t protocol = kTcp;
  std::uint16_t port = 8080;
  std::uint8_t flags = kFlagSyn;
  std::size_t payload = 0;
};

inline Frame frame_of(const Segment& segment) {
  const auto from = net::IpAddress::parse(segment.from), to = net::IpAddress::parse(segment.to);
  REQUIRE((from && to));
  const bool v6 = from->is_v6();
  const std::size_t transport = v6 ? kTransport6 : kTransport4;
  Frame frame(transport + 20 + segment.payload);
  put16(frame, 12, v6 ? 0x86dd : 0x0800);
  frame[kIp] = v6 ? 0x60 : 0x45;
  put16(frame, kIp + (v6 ? 4 : 2),
        static_cast<std::uint32_t>(frame.size() - (v6 ? kTransport6 : kIp)));
  frame[kIp + (v6 ? 6 : 9)] = segment.protocol;
  const std::size_t addresses = kIp + (v6 ? 8 : 12);
  std::memcpy(&frame[addresses], from->bytes().data(), from->bytes().size());
  std::memcpy(&frame[addresses + from->bytes().size()], to->bytes().data(), to->bytes().size());
  put16(frame, transport, 40000);
  put16(frame, transport + 2, segment.port);
  if (segment.protocol == kTcp) {
    frame[transport + 12] = 0x50;
    frame[transport + 13] = segment.flags;
  }
  return frame;
}

inline Frame with(Frame frame, std::size_t at, std::uint8_t value) {
  frame.at(at) = value;
  return frame;
}

inline Frame cut(Frame frame, std::size_t size) {
  frame.resize(size);
  return frame;
}

// An IPv6 packet with eight bytes of an extension header `kind` between the header and `inner`.
inline Frame behind(std::uint8_t kind, const Segment& inner, std::uint16_t offset = 0) {
  Frame frame = frame_of(inner);
  Frame extension(8);
  extension[0] = frame[kIp + 6];
  put16(extension, 2, offset);
  frame[kIp + 6] = kind;
  frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(kTransport6), extension.begin(),
               extension.end());
  return frame;
}

inline Frame arp_from(std::string_view sender) {
  Frame frame(42);
  put16(frame, 12, 0x0806);
  std::memcpy(&frame[14], "\0\1\x8\0\6\4\0\1", 8);
  const auto ip = net::IpAddress::parse(sender);
  std::memcpy(&frame[28], ip->bytes().data(), 4);
  return frame;
}

inline std::uint32_t word_of(std::string_view v4) {
  std::uint32_t word = 0;
  std::memcpy(&word, net::IpAddress::parse(v4)->bytes().data(), 4);
  return word;
}

// A pod with 10.0.0.1 and fd00::1 on interface 1, and Istio's probe addresses.
inline weft_pod test_pod() {
  weft_pod pod{};
  pod.v4_count = 1;
  pod.v4[0] = word_of("10.0.0.1");
  pod.v6_count = 1;
  std::memcpy(pod.v6[0], net::IpAddress::parse("fd00::1")->bytes().data(), 16);
  pod.primary_ifindex = 1;
  pod.probe_v4 = word_of("169.254.7.127");
  std::memcpy(pod.probe_v6,
              net::IpAddress::parse("fd16:9254:7127:1337:ffff:ffff:ffff:ffff")->bytes().data(), 16);
  return pod;
}

inline constexpr int kPass = -1;  // TC_ACT_UNSPEC: ours is done, others may look at it
inline constexpr int kDrop = TC_ACT_SHOT;
inline constexpr int kRedirect = TC_ACT_REDIRECT;

// The programs, loaded into the kernel and attached nowhere.
class Bench {
 public:
  Bench() : exempt_(make()), programs_(load(exempt_)) {}

  struct Outcome {
    int verdict = 0;
    std::string counted = {};  // the names of the outcomes that were counted
  };
  // `program` is egress, steer or inbound; `mark` is the packet's mark when it comes.
  Outcome run(int (Programs::*program)() const, Frame frame, std::uint32_t mark = 0) {
    const auto before = programs_.counters();
    struct __sk_buff context{};
    context.mark = mark;
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = static_cast<std::uint32_t>(frame.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
    REQUIRE(bpf_prog_test_run_opts((programs_.*program)(), &options) == 0);
    Outcome outcome{.verdict = static_cast<int>(options.retval)};
    const auto after = programs_.counters();
    for (std::size_t i = 0; i < after.size(); ++i)
      if (after[i] != before[i]) outcome.counted += outcome_names()[i];
    return outcome;
  }

 private:
  static ExemptCgroups make() {
    auto exempt = ExemptCgroups::create();
    REQUIRE(exempt);
    return *std::move(exempt);
  }
  static Programs load(const ExemptCgroups& exempt) {
    auto programs = Programs::load(test_pod(), exempt, KeptMaps{});
    REQUIRE(programs);
    return *std::move(programs);
  }

  ExemptCgroups exempt_;
  Programs programs_;
};

}  // namespace mesh::ebpf
