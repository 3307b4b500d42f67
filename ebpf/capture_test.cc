// What capture does to real connections, in namespaces, with a tiny proxy in ztunnel's place.

#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <tuple>

#include "ebpf/test_frames.h"
#include "ebpf/test_mesh.h"

namespace mesh::ebpf {
namespace {

std::string endpoint(std::string_view ip, unsigned port) {
  const auto parsed = net::IpAddress::parse(ip);
  return net::SocketAddress{*parsed, static_cast<std::uint16_t>(port)}.to_string();
}

TEST_CASE("a connection of the pod reaches the proxy, which sees the address that was dialled") {
  const auto attach = GENERATE(AttachKind::kTcx, AttachKind::kClsact);
  const auto [from, to] = GENERATE(table<const char*, const char*>(
      {{kPodV4, kServiceV4}, {kPodV6, kServiceV6}, {kPodV4, kOutsiderV4}}));
  INFO(to);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol(test_options(attach));

  auto talk = Talk::connect(mesh.world.pod(), to, 8080);

  REQUIRE(talk);
  CHECK(proxy.saw() == std::string("15001 ") + from + " -> " + endpoint(to, 8080));
  CHECK(talk->hear() == std::string("you are ") + from + "\n");
  CHECK(talk->say("hello"));
  CHECK(talk->hear() == "hello");
  CHECK(mesh.counted("egress_captured_syn") == 1);
  CHECK(mesh.counted("steer_outbound") >= 1);
}

TEST_CASE("without a proxy nothing leaves") {
  const auto to = GENERATE(kServiceV4, kServiceV6);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Wiretap wire(mesh.world.outsider());
  mesh.enrol();

  const auto talk = Talk::connect(mesh.world.pod(), to, 8080, kSilence);

  CHECK(!talk);
  CHECK(mesh.counted("steer_dropped_no_ztunnel") >= 1);
  CHECK(!wire.heard_syn_to(8080));
}

TEST_CASE("when the proxy is killed, nothing leaves: neither of open connections nor of new ones") {
  const auto to = GENERATE(kServiceV4, kServiceV6);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();
  auto open = Talk::connect(mesh.world.pod(), to, 8080);
  REQUIRE(open);
  CHECK(open->hears("you are"));

  proxy.kill();
  Wiretap wire(mesh.world.outsider());
  open->say("SECRET");
  open->say("SECRET");
  CHECK(!Talk::connect(mesh.world.pod(), to, 8080, kSilence));

  CHECK(!wire.heard("SECRET"));
  CHECK(!wire.heard_syn_to(8080));
}

TEST_CASE("a proxy that comes back is used at once, and resets what its predecessor left") {
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  auto first = std::make_optional<Proxy>(mesh.world.pod());
  mesh.trust(*first);
  mesh.enrol();
  auto open = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  REQUIRE(open);
  CHECK(open->hears("you are"));
  first.reset();

  Proxy second(mesh.world.pod());
  mesh.trust(second);
  CHECK(Talk::connect(mesh.world.pod(), kServiceV4, 8080));
  CHECK(eventually([&] { return !open->say("anybody there?"); }));
}

TEST_CASE("an inbound connection reaches the application from the client's own address") {
  const auto attach = GENERATE(AttachKind::kTcx, AttachKind::kClsact);
  const auto [client, pod] =
      GENERATE(table<const char*, const char*>({{kOutsiderV4, kPodV4}, {kOutsiderV6, kPodV6}}));
  INFO(pod);
  TestMesh mesh;
  const Echo application(mesh.world.pod(), 9000);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol(test_options(attach));

  auto talk = Talk::connect(mesh.world.outsider(), pod, 9000);

  REQUIRE(talk);
  CHECK(proxy.saw() == std::string("15006 ") + client + " -> " + endpoint(pod, 9000));
  CHECK(talk->hear() == std::string("you are ") + client + "\n");
  talk->say("ping");
  CHECK(talk->hear() == "ping");
  CHECK(mesh.counted("inbound_assigned") == 1);
  CHECK(mesh.counted("egress_reply") >= 1);
}

TEST_CASE("without a proxy nobody reaches the application") {
  const auto [pod, port] = GENERATE(table<const char*, std::uint16_t>(
      {{kPodV4, 9000}, {kPodV6, 9000}, {kPodV4, 15008}, {kPodV4, 15006}}));
  INFO(pod << " " << port);
  TestMesh mesh;
  // The application has taken ztunnel's ports, too.
  const Echo application(mesh.world.pod(), 9000);
  const Echo on_hbone(mesh.world.pod(), 15008);
  const Echo on_inbound(mesh.world.pod(), 15006);
  mesh.enrol();

  CHECK(!Talk::connect(mesh.world.outsider(), pod, port, kSilence));

  CHECK(mesh.counted("inbound_dropped_not_ztunnel") >= 1);
}

TEST_CASE("port 15008 is the proxy's own, with the address that was dialled") {
  TestMesh mesh;
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();

  CHECK(Talk::connect(mesh.world.outsider(), kPodV6, 15008));

  CHECK(proxy.saw() == std::string("15008 ") + kOutsiderV6 + " -> " + endpoint(kPodV6, 15008));
  CHECK(mesh.counted("inbound_hbone") == 1);
}

TEST_CASE("listeners that are flooded accept by cookies") {
  TestMesh mesh;
  mesh.world.in_pod("sysctl -qw net.ipv4.tcp_syncookies=2");  // always, as under a flood
  const Echo application(mesh.world.pod(), 9000);
  const Echo service(mesh.world.outsider(), 8080);
  mesh.enrol();
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  for (const char* to : {kPodV4, kPodV6}) {
    auto talk = Talk::connect(mesh.world.outsider(), to, 9000);
    REQUIRE(talk);
    CHECK(talk->hears("you are"));
    CHECK(Talk::connect(mesh.world.outsider(), to, 15008));
  }
  for (const char* to : {kServiceV4, kServiceV6}) {
    auto talk = Talk::connect(mesh.world.pod(), to, 8080);
    REQUIRE(talk);
    CHECK(talk->hears("you are"));
  }
  CHECK(mesh.counted("egress_dropped_forged") == 0);
  CHECK(mesh.counted("egress_kernel_reply") >= 4);
}

TEST_CASE("a port serves again at once, although the proxy's end is still in TIME_WAIT") {
  const auto [inbound, to] = GENERATE(table<bool, const char*>(
      {{false, kServiceV4}, {false, kServiceV6}, {true, kPodV4}, {true, kPodV6}}));
  INFO(to);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  const Echo application(mesh.world.pod(), 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();
  const auto& client = inbound ? mesh.world.outsider() : mesh.world.pod();

  for (int i = 0; i < 3; ++i) {
    auto talk = Talk::connect(client, to, 8080, kPatience, SOCK_STREAM, 0, 45678);
    REQUIRE(talk);
    CHECK(talk->hears("you are"));
    // The application hangs up, so the proxy is the first of the two to close on our side.
    talk->say("bye");
    CHECK(talk->hear() == "");
    talk.reset();
    CHECK(eventually([&] { return mesh.world.has_time_wait(); }));
  }
}

TEST_CASE("half-close: who has finished still hears the rest") {
  const bool inbound = GENERATE(false, true);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  const Echo application(mesh.world.pod(), 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();
  auto talk = inbound ? Talk::connect(mesh.world.outsider(), kPodV4, 8080)
                      : Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  REQUIRE(talk);
  CHECK(talk->hears("you are"));

  talk->say("last words");
  talk->hang_up();

  CHECK(talk->hear() == "last words");
  CHECK(talk->hear() == "");
}

TEST_CASE("a refused connection is reset, and the application's reset finds its way back") {
  TestMesh mesh;
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();

  // Nobody listens on these: the proxy's own connection fails, and it resets the client's, perhaps
  // before that one has looked.
  auto outbound = Talk::connect(mesh.world.pod(), kServiceV4, 4444);
  CHECK((!outbound || outbound->hear() == "(reset)"));
  auto inbound = Talk::connect(mesh.world.outsider(), kPodV6, 4444);
  CHECK((!inbound || inbound->hear() == "(reset)"));
  CHECK(proxy.saw() == std::string("15001 ") + kPodV4 + " -> " + endpoint(kServiceV4, 4444));
  CHECK(proxy.saw() == std::string("15006 ") + kOutsiderV6 + " -> " + endpoint(kPodV6, 4444));
}

TEST_CASE("DNS: the answer comes from the address that was asked") {
  const auto to = GENERATE(kServiceV4, kServiceV6);
  TestMesh mesh;
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();

  auto resolver = Talk::connect(mesh.world.pod(), to, 53, kPatience, SOCK_DGRAM);
  REQUIRE(resolver);
  resolver->say("cart.shop");

  // A connected socket hears only whom it asked.
  CHECK(resolver->hear() == "answer to cart.shop");
  CHECK(proxy.saw().ends_with(" -> " + endpoint(to, 53)));
  CHECK(mesh.counted("egress_dns") == 1);
  CHECK(mesh.counted("steer_dns") == 1);
}

TEST_CASE("DNS without a proxy goes nowhere; over TCP it goes to the proxy's 15053") {
  TestMesh mesh;
  mesh.enrol();
  Wiretap wire(mesh.world.outsider());
  auto resolver = Talk::connect(mesh.world.pod(), kServiceV4, 53, kPatience, SOCK_DGRAM);
  resolver->say("SECRET.shop");
  CHECK(eventually([&] { return mesh.counted("steer_dropped_no_ztunnel") == 1; }));
  CHECK(!wire.heard("SECRET"));

  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  // Nobody serves it: the proxy resets the connection, perhaps before this end has looked.
  (void)Talk::connect(mesh.world.pod(), kServiceV4, 53);
  CHECK(proxy.saw() == std::string("15053 ") + kPodV4 + " -> " + endpoint(kServiceV4, 53));
}

TEST_CASE("datagrams to other ports pass") {
  TestMesh mesh;
  mesh.enrol();
  Wiretap wire(mesh.world.outsider());
  auto talk = Talk::connect(mesh.world.pod(), kServiceV4, 5353, kPatience, SOCK_DGRAM);
  talk->say("HELLO-UDP");
  CHECK(eventually([&] { return wire.heard("HELLO-UDP"); }));
}

TEST_CASE("a pod that sets ztunnel's mark does not escape") {
  const auto mark = GENERATE(0x539u, 0x111u);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Wiretap wire(mesh.world.outsider());
  mesh.enrol();

  CHECK(!Talk::connect(mesh.world.pod(), kServiceV4, 8080, kSilence, SOCK_STREAM, mark));
  CHECK(!wire.heard_syn_to(8080));
}

TEST_CASE("whoever has the proxy's ports without being in its cgroup gets nothing") {
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Proxy impostor(mesh.world.pod(), {.in_cgroup = false});
  mesh.trust(impostor);  // its cgroup, in which it is not
  mesh.enrol();

  CHECK(!Talk::connect(mesh.world.pod(), kServiceV4, 8080, kSilence));
  CHECK(!Talk::connect(mesh.world.outsider(), kPodV4, 8080, kSilence));

  CHECK(mesh.counted("steer_dropped_not_ztunnel") >= 1);
  CHECK(mesh.counted("inbound_dropped_not_ztunnel") >= 1);
}

TEST_CASE("a pod that binds UDP 15053 itself gets none of the captured questions") {
  const auto to = GENERATE(kServiceV4, kServiceV6);
  const auto attach = GENERATE(AttachKind::kTcx, AttachKind::kClsact);
  TestMesh mesh;
  Proxy impostor(mesh.world.pod(), {.in_cgroup = false});
  mesh.trust(impostor);  // its cgroup, in which it is not
  mesh.enrol(test_options(attach));
  Wiretap wire(mesh.world.outsider());

  auto resolver = Talk::connect(mesh.world.pod(), to, 53, kPatience, SOCK_DGRAM);
  REQUIRE(resolver);
  resolver->say("SECRET.shop");

  CHECK(eventually([&] { return mesh.counted("steer_dropped_not_ztunnel") == 1; }));
  CHECK(resolver->hear(kSilence) == "(silence)");
  CHECK(mesh.counted("steer_dns") == 0);
  CHECK(!wire.heard("SECRET"));
}

// Why README.md tells operators to take CAP_NET_RAW away: the socket option goes past tc, and the
// kernel has no other hook that is in the pod's namespace. Without the option, egress drops it.
TEST_CASE("a packet socket with PACKET_QDISC_BYPASS passes by egress; any other does not") {
  TestMesh mesh;
  mesh.enrol();
  Wiretap wire(mesh.world.outsider());
  unsigned eth0 = 0;
  UniqueFd raw;
  REQUIRE(mesh.world.pod().run([&] {
    eth0 = if_nametoindex("eth0");
    raw = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  }));
  REQUIRE(raw);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(eth0);
  const auto send = [&](std::uint16_t port) {
    const Frame frame = frame_of({.from = kPodV4, .to = kServiceV4, .port = port, .payload = 9});
    return sendto(raw.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                  sizeof to) == static_cast<ssize_t>(frame.size());
  };

  (void)send(1111);
  const int on = 1;
  REQUIRE(setsockopt(raw.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) == 0);
  CHECK(send(2222));

  CHECK(eventually([&] { return wire.heard_syn_to(2222); }));
  CHECK(!wire.heard_syn_to(1111));
}

TEST_CASE("several workers, and two proxies at once, share the connections") {
  if (!has_tcx()) SKIP("Linux 6.1 cannot assign to a listener with SO_REUSEPORT");
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Proxy first(mesh.world.pod(), {.workers = 3});
  Proxy second(mesh.world.pod(), {.workers = 2});
  mesh.trust(first);
  mesh.trust(second);
  mesh.enrol();

  for (int i = 0; i < 24; ++i) {
    auto talk = Talk::connect(mesh.world.pod(), i % 2 == 0 ? kServiceV4 : kServiceV6, 8080);
    REQUIRE(talk);
    CHECK(talk->hears("you are"));
  }
  // The first goes, and with it half the listeners; the second takes all that comes.
  first.kill();
  for (int i = 0; i < 8; ++i) CHECK(Talk::connect(mesh.world.pod(), kServiceV4, 8080));
}

TEST_CASE("what stays in the pod is not captured") {
  TestMesh mesh;
  const Echo application(mesh.world.pod(), 9000);
  mesh.enrol();
  for (const char* own : {"127.0.0.1", "::1", kPodV4, kPodV6}) {
    INFO(own);
    auto talk = Talk::connect(mesh.world.pod(), own, 9000);
    REQUIRE(talk);
    CHECK(talk->hears("you are"));
  }
  CHECK(mesh.counted("egress_captured_syn") == 0);
}

TEST_CASE(
    "an agent that attaches the other way takes over without a gap, and leaves nothing double") {
  if (!has_tcx()) SKIP("this kernel has one way only");
  const auto [former, next] = GENERATE(table<AttachKind, AttachKind>(
      {{AttachKind::kTcx, AttachKind::kClsact}, {AttachKind::kClsact, AttachKind::kTcx}}));
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol(test_options(former));
  auto open = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  REQUIRE(open);
  CHECK(open->hears("you are"));
  CaptureOptions options = test_options(next);
  options.keep_older_connections = false;
  options.made_clsact = mesh.capture().made_clsact();
  options.saved_settings = mesh.capture().saved_settings();
  mesh.forget();
  mesh.enrol(options);

  CHECK(open->say("still captured"));
  CHECK(open->hear() == "still captured");
  CHECK(Talk::connect(mesh.world.pod(), kServiceV4, 8080));
  const std::string programs = mesh.world.in_pod("bpftool net");
  for (const char* program : {"weft_egress", "weft_inbound", "weft_steer"}) {
    INFO(programs);
    CHECK(programs.find(program) != std::string::npos);
    CHECK(programs.find(program) == programs.rfind(program));
  }
}

TEST_CASE("a kubelet probe reaches the application past the proxy") {
  TestMesh mesh;
  const Echo application(mesh.world.pod(), 9000);
  CaptureOptions options = test_options();
  options.probe_v4 = net::IpAddress::parse(kOutsiderV4);
  mesh.enrol(options);

  auto probe = Talk::connect(mesh.world.outsider(), kPodV4, 9000);
  REQUIRE(probe);
  CHECK(probe->hear() == std::string("you are ") + kOutsiderV4 + "\n");
  CHECK(mesh.counted("inbound_probe") >= 2);
  CHECK(mesh.counted("egress_probe_reply") >= 2);
  // The other way it is an address like any other.
  CHECK(!Talk::connect(mesh.world.pod(), kOutsiderV4, 8080, kSilence));
}

}  // namespace
}  // namespace mesh::ebpf
