// The beginning and the end of a pod's capture: what was there before, what a restart keeps, what
// is left afterwards.

#include <arpa/inet.h>
#include <linux/pkt_sched.h>
#include <netinet/in.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstring>

#include "ebpf/netlink.h"
#include "ebpf/test_mesh.h"

namespace mesh::ebpf {
namespace {

constexpr AttachPoint kSteer{1, Direction::kIngress, "weft_steer"};

TEST_CASE("a connection that was open before goes on, is listed, and is ended on request") {
  const auto to = GENERATE(kServiceV4, kServiceV6);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  const Echo application(mesh.world.pod(), 9000);
  auto outbound = Talk::connect(mesh.world.pod(), to, 8080);
  auto inbound = Talk::connect(mesh.world.outsider(), kPodV4, 9000);
  auto local = Talk::connect(mesh.world.pod(), "127.0.0.1", 9000);
  REQUIRE((outbound && inbound && local));
  mesh.enrol();

  for (Talk* talk : {&*outbound, &*inbound}) {
    talk->say("still here");
    CHECK(talk->hears("still here"));
  }
  CHECK(mesh.counted("egress_older") >= 2);
  CHECK(mesh.counted("inbound_older") >= 2);
  const auto older = mesh.capture().older(mesh.world.pod());
  REQUIRE(older);
  CHECK(older->size() == 2);

  const auto ended = mesh.capture().end_older(mesh.world.pod());
  REQUIRE(ended);
  CHECK(*ended == 2);
  CHECK(outbound->hear() == "(reset)");
  CHECK(inbound->hear() == "(reset)");
  CHECK(mesh.capture().older(mesh.world.pod())->empty());
  CHECK(local->hears("you are"));
}

TEST_CASE("an older socket that connects anew is captured") {
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  auto talk = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  REQUIRE(talk);
  mesh.enrol();
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);

  sockaddr address{};
  address.sa_family = AF_UNSPEC;
  REQUIRE(connect(talk->fd(), &address, sizeof address) == 0);
  sockaddr_storage storage{};
  const auto to = net::SocketAddress::parse("10.88.0.9:8080");
  const socklen_t length = to->to_sockaddr(storage);
  REQUIRE((connect(talk->fd(), reinterpret_cast<sockaddr*>(&storage), length) == 0 ||
           errno == EINPROGRESS));
  CHECK(proxy.saw() == std::string("15001 ") + kPodV4 + " -> 10.88.0.9:8080");
}

TEST_CASE("nobody outside can speak to a captured socket") {
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();
  auto talk = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  REQUIRE(talk);
  CHECK(talk->hears("you are"));

  // A reset in the name of the service, as the outsider can send it.
  const auto local = net::SocketAddress::parse(talk->local());
  std::array<unsigned char, 20> segment{};
  segment[0] = 8080 >> 8, segment[1] = 8080 & 0xff;
  segment[2] = static_cast<unsigned char>(local->port >> 8);
  segment[3] = static_cast<unsigned char>(local->port);
  segment[12] = 0x50, segment[13] = 0x04;
  UniqueFd raw;
  REQUIRE(mesh.world.outsider().run(
      [&] { raw = UniqueFd(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP)); }));
  sockaddr_storage storage{};
  socklen_t length = net::SocketAddress{*net::IpAddress::parse(kServiceV4), 0}.to_sockaddr(storage);
  REQUIRE(bind(raw.get(), reinterpret_cast<sockaddr*>(&storage), length) == 0);
  length = net::SocketAddress{*net::IpAddress::parse(kPodV4), 0}.to_sockaddr(storage);
  REQUIRE(sendto(raw.get(), segment.data(), segment.size(), 0,
                 reinterpret_cast<sockaddr*>(&storage), length) == 20);

  CHECK(eventually([&] { return mesh.counted("inbound_dropped_injected") == 1; }));
  talk->say("unharmed");
  CHECK(talk->hear() == "unharmed");
}

TEST_CASE("capture outlives its object, and the next one takes it over without a gap") {
  const auto attach = GENERATE(AttachKind::kTcx, AttachKind::kClsact);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  auto older = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol(test_options(attach));
  auto captured = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  REQUIRE((older && captured));
  const auto before = mesh.counted("egress_captured_syn");

  mesh.forget();
  CHECK(Talk::connect(mesh.world.pod(), kServiceV4, 8080));

  mesh.enrol(test_options(attach));
  CHECK(mesh.counted("egress_captured_syn") == before + 1);
  CHECK(mesh.capture().older(mesh.world.pod())->size() == 1);
  for (Talk* talk : {&*older, &*captured}) {
    talk->say("and on");
    CHECK(talk->hears("and on"));
  }
}

TEST_CASE("a fresh map of exempt cgroups learns what the former one held") {
  TestMesh mesh;
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();
  mesh.forget();

  auto fresh = ExemptCgroups::create();
  REQUIRE(fresh);
  CHECK(Capture::establish(mesh.world.pod(), test_options(), *fresh));
  CHECK(fresh->list() == std::vector<std::uint64_t>{proxy.cgroup_id()});
}

TEST_CASE("what somebody detached is attached again, and what connected meanwhile has no right") {
  const auto attach = GENERATE(AttachKind::kTcx, AttachKind::kClsact);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  mesh.enrol(test_options(attach));
  Attacher attacher(attach);
  const AttachPoint egress{2, Direction::kEgress, "weft_egress"};
  const AttachPoint inbound{2, Direction::kIngress, "weft_inbound"};
  unsigned ifindex = 0;
  REQUIRE(mesh.world.pod().run([&] {
    for (AttachPoint point : {egress, inbound}) {
      const auto links = list_links();
      for (const Link& link : *links)
        if (link.name == "eth0") point.ifindex = ifindex = link.ifindex;
      CHECK(attacher.detach(point));
    }
    CHECK(attacher.detach(kSteer));
  }));
  REQUIRE(ifindex != 0);
  auto sneaked = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  REQUIRE(sneaked);
  CHECK(sneaked->hears("you are"));

  const auto mended = mesh.capture().mend(mesh.world.pod());
  REQUIRE(mended);
  CHECK(*mended == 3);
  CHECK(*mesh.capture().mend(mesh.world.pod()) == 0);
  Wiretap wire(mesh.world.outsider());
  sneaked->say("SECRET");
  CHECK(eventually([&] { return mesh.counted("egress_dropped_unowned") >= 1; }));
  CHECK(!wire.heard("SECRET"));
}

TEST_CASE("rules and routes that somebody removed are put back") {
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol();
  const std::string rules = mesh.world.pod_ip("rule");
  mesh.world.pod_ip("rule del pref 32764");
  mesh.world.pod_ip("route flush table 100");
  mesh.world.in_pod("sysctl -qw net.ipv4.conf.lo.accept_local=0");
  CHECK(!Talk::connect(mesh.world.pod(), kServiceV4, 8080, kSilence));

  CHECK(mesh.capture().mend_routing(mesh.world.pod()));
  CHECK(mesh.world.pod_ip("rule") == rules);
  CHECK(Talk::connect(mesh.world.pod(), kServiceV4, 8080));
}

TEST_CASE("an interface that comes later is captured by the next audit") {
  TestMesh mesh;
  mesh.enrol();
  mesh.world.pod_ip("link add net1 type veth peer name net1p");
  CHECK(*mesh.capture().mend(mesh.world.pod()) == 4);  // both ends are in the pod here
}

TEST_CASE("remove leaves nothing behind, and ends what ran through the proxy") {
  const auto attach = GENERATE(AttachKind::kTcx, AttachKind::kClsact);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  const Echo application(mesh.world.pod(), 9000);
  mesh.world.in_pod("sysctl -qw net.ipv4.conf.all.rp_filter=2");
  const std::string rules = mesh.world.pod_ip("rule") + mesh.world.pod_ip("-6 rule");
  constexpr const char* kSettings = "sysctl -a -r 'rp_filter|accept_local|tcp_mtu_probing'";
  const std::string settings = mesh.world.in_pod(kSettings);
  const std::string qdiscs = mesh.world.in_pod("tc qdisc");
  auto older = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol(test_options(attach));
  CHECK(mesh.world.in_pod("sysctl -n net.ipv4.tcp_mtu_probing") == "1\n");
  auto captured = Talk::connect(mesh.world.pod(), kServiceV4, 8080);
  auto inbound = Talk::connect(mesh.world.outsider(), kPodV4, 9000);
  REQUIRE((older && captured && inbound));
  CHECK(captured->hears("you are"));
  CHECK(inbound->hears("you are"));

  Wiretap wire(mesh.world.outsider());
  CHECK(mesh.capture().remove(mesh.world.pod()));

  CHECK(captured->hear() == "(reset)");
  CHECK(mesh.world.pod_ip("rule") + mesh.world.pod_ip("-6 rule") == rules);
  CHECK(mesh.world.pod_ip("route show table all | grep 'table 100' || true") == "");
  CHECK(mesh.world.pod_ip("-6 route show table all | grep 'table 100' || true") == "");
  CHECK(mesh.world.in_pod(kSettings) == settings);
  CHECK(mesh.world.in_pod("tc qdisc") == qdiscs);
  CHECK(mesh.world.in_pod("bpftool net").find("weft") == std::string::npos);
  older->say("undisturbed");
  CHECK(older->hears("undisturbed"));
  CHECK(Talk::connect(mesh.world.pod(), kServiceV4, 8080));
}

TEST_CASE("another's filters stay") {
  const auto attach = GENERATE(AttachKind::kTcx, AttachKind::kClsact);
  TestMesh mesh;
  const Echo service(mesh.world.outsider(), 8080);
  mesh.world.in_pod("tc qdisc add dev eth0 clsact");
  mesh.world.in_pod("tc filter add dev eth0 ingress prio 7 bpf bytecode '1,6 0 0 1,' flowid 1:1");
  Proxy proxy(mesh.world.pod());
  mesh.trust(proxy);
  mesh.enrol(test_options(attach));
  CHECK(Talk::connect(mesh.world.pod(), kServiceV4, 8080));
  REQUIRE(mesh.capture().remove(mesh.world.pod()));

  CHECK(mesh.world.in_pod("tc filter show dev eth0 ingress").find("pref 7") != std::string::npos);
}

TEST_CASE("a pod that cannot be captured is refused, and nothing is left") {
  TestMesh mesh;
  const auto refusal = [&](const CaptureOptions& options) {
    const auto capture = Capture::establish(mesh.world.pod(), options, mesh.exempt());
    return capture ? Reason{} : capture.error().reason;
  };
  CHECK(refusal({}) == Reason::kMalformed);
  CHECK(refusal({.addresses = {*net::IpAddress::parse("10.1.1.1")}}) == Reason::kUnreachable);
  CaptureOptions many;
  for (std::uint8_t i = 0; i <= WEFT_ADDRESSES; ++i)
    many.addresses.push_back(net::IpAddress::v4({10, 0, 0, i}));
  CHECK(refusal(many) == Reason::kTooLarge);
  CHECK(mesh.world.in_pod("bpftool net").find("weft") == std::string::npos);
}

TEST_CASE("the map of exempt cgroups has a limit, and says so") {
  auto exempt = ExemptCgroups::create();
  REQUIRE(exempt);
  for (std::uint64_t id = 1; id <= WEFT_EXEMPT_CGROUPS; ++id) CHECK(exempt->add(id));
  const auto beyond = exempt->add(1000);
  REQUIRE(!beyond);
  CHECK(beyond.error().reason == Reason::kExhausted);
  exempt->remove(1);
  CHECK(exempt->add(1000));
  CHECK(exempt->list().size() == WEFT_EXEMPT_CGROUPS);
}

}  // namespace
}  // namespace mesh::ebpf
