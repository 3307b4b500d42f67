// The agent whole, on its real sockets: orders from a caller, ztunnels on the other side.

#include "ebpf/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>

#include "ebpf/test_world.h"

namespace mesh::ebpf {
namespace {

constexpr const char* kPodOne =
    R"({"op":"add","uid":"uid-1","name":"web","namespace":"shop","serviceAccount":"web",)"
    R"("ips":["10.77.0.1","fd00:77::1"]})";

// An agent on a thread, with a state folder that outlives it.
class TestAgent {
 public:
  TestAgent() {
    char name[] = "/tmp/weft-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder = name;
  }
  ~TestAgent() {
    stop();
    std::filesystem::remove_all(folder);
  }

  AgentOptions options() const {
    return {.node = {.name = "n1", .state_directory = folder, .pods_max = 2},
            .zds_socket = folder + "/zds.sock",
            .socket = folder + "/agent.sock"};
  }
  void start() {
    signals_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
    auto agent = Agent::start(options(), UniqueFd(dup(signals_.get())));
    INFO((agent ? "" : agent.error()));
    REQUIRE(agent);
    thread_ = std::thread([agent = std::move(*agent)]() mutable {
      agent->run();
      agent.reset();
    });
  }
  // As SIGTERM does.
  void stop() {
    if (!thread_.joinable()) return;
    eventfd_write(signals_.get(), 1);
    thread_.join();
  }
  void join() { thread_.join(); }

  // One request and its answer. `netns`: the path of a namespace to send along.
  std::string ask(const std::string& request, const std::string& netns = {}) {
    const UniqueFd caller = dial_seqpacket(folder + "/agent.sock");
    REQUIRE(caller);
    UniqueFd descriptor;
    if (!netns.empty()) descriptor = UniqueFd(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(send_packet(caller.get(), std::as_bytes(std::span(request)), descriptor.get()));
    pollfd polled{caller.get(), POLLIN, 0};
    if (poll(&polled, 1, 10'000) <= 0) return "(silence)";
    auto packet = receive_packet(caller.get(), 1 << 20);
    REQUIRE(packet);
    return {reinterpret_cast<const char*>(packet->bytes.data()), packet->bytes.size()};
  }
  bool says(const std::string& request, std::string_view part) {
    return ask(request).find(part) != std::string::npos;
  }

  std::string folder;

 private:
  UniqueFd signals_;
  std::thread thread_;
};

TEST_CASE(
    "agent: a pod is enrolled, reaches the world through ztunnel, and leaves without a trace") {
  World world;
  const Echo service(world.outsider(), 8080);
  TestAgent agent;
  agent.start();
  Proxy ztunnel(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
  CHECK(ztunnel.saw() == "zds snapshot");

  CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":true})");
  CHECK(ztunnel.saw() == "zds add uid-1");
  auto talk = Talk::connect(world.pod(), kServiceV4, 8080);
  REQUIRE(talk);
  CHECK(talk->hears("you are 10.77.0.1"));
  const std::string list = agent.ask(R"({"op":"list"})");
  CHECK(list.find(R"("egress_captured_syn":1)") != std::string::npos);
  CHECK(list.find(R"("ztunnels":1)") != std::string::npos);

  CHECK(agent.ask(R"({"op":"del","uid":"uid-1"})") == R"({"ok":true})");
  CHECK(agent.says(R"({"op":"list"})", R"("pods":[])"));
  CHECK(world.in_pod("bpftool net").find("weft") == std::string::npos);
  CHECK(world.pod_ip("rule").find("0x111") == std::string::npos);
  CHECK(Talk::connect(world.pod(), kServiceV4, 8080));
  CHECK(agent.ask(R"({"op":"del","uid":"uid-1"})") == R"({"ok":true})");  // again is fine
}

TEST_CASE("agent: its restart keeps capture in force, and ztunnel is told of its pods again") {
  World world;
  const Echo service(world.outsider(), 8080);
  TestAgent agent;
  agent.start();
  Proxy ztunnel(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
  CHECK(ztunnel.saw() == "zds snapshot");
  CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":true})");
  CHECK(ztunnel.saw() == "zds add uid-1");

  agent.stop();
  CHECK(ztunnel.saw() == "zds end");
  CHECK(Talk::connect(world.pod(), kServiceV4, 8080));
  CHECK(ztunnel.saw() == "15001 10.77.0.1 -> 10.88.0.9:8080");

  agent.start();
  CHECK(agent.says(R"({"op":"list"})", R"("egress_captured_syn":1)"));
  CHECK(Talk::connect(world.pod(), kServiceV4, 8080));
  Proxy next(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
  CHECK(next.saw() == "zds add uid-1");
  CHECK(next.saw() == "zds snapshot");
}

TEST_CASE("agent: a pod whose namespace is gone when it restarts is forgotten") {
  TestAgent agent;
  {
    World world;
    agent.start();
    CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":false})");
    agent.stop();
  }
  agent.start();
  CHECK(agent.says(R"({"op":"list"})", R"("pods":[])"));
}

TEST_CASE("agent: with two ztunnels an add goes to the newest, a del to both") {
  World world;
  TestAgent agent;
  agent.start();
  Proxy first(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
  CHECK(first.saw() == "zds snapshot");
  Proxy second(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
  CHECK(second.saw() == "zds snapshot");

  CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":true})");
  CHECK(second.saw() == "zds add uid-1");
  CHECK(agent.ask(R"({"op":"del","uid":"uid-1"})") == R"({"ok":true})");
  CHECK(second.saw() == "zds del uid-1");
  CHECK(first.saw() == "zds del uid-1");
}

TEST_CASE("agent: when the newest ztunnel goes, the one before is told of all pods") {
  World world;
  TestAgent agent;
  agent.start();
  Proxy first(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
  CHECK(first.saw() == "zds snapshot");
  {
    Proxy second(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
    CHECK(second.saw() == "zds snapshot");
    CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":true})");
  }
  CHECK(first.saw() == "zds add uid-1");
  const Echo service(world.outsider(), 8080);
  CHECK(eventually([&] { return Talk::connect(world.pod(), kServiceV4, 8080).has_value(); }));
}

TEST_CASE("agent: what a ztunnel refuses is reported, and the pod stays captured") {
  World world;
  TestAgent agent;
  agent.start();
  Proxy ztunnel(world.pod(), {.zds_socket = agent.folder + "/zds.sock", .refusal = "no room"});
  CHECK(ztunnel.saw() == "zds snapshot");
  CHECK(agent.ask(kPodOne, world.pod_path()) ==
        R"({"error":"the pod is captured, but ztunnel refused it: no room","ok":false})");
  CHECK(agent.says(R"({"op":"status"})", R"("pods":1)"));
  CHECK(!Talk::connect(world.pod(), kServiceV4, 8080, kSilence));
}

TEST_CASE(
    "agent: a ztunnel in the root cgroup is refused, because all others would be exempt too") {
  std::ifstream file("/proc/self/cgroup");
  const std::string own(std::istreambuf_iterator<char>(file), {});
  if (find_cgroup2_path(own) != "/") SKIP("this test itself is in a cgroup of its own");
  World world;
  TestAgent agent;
  agent.start();
  Proxy ztunnel(world.pod(), {.in_cgroup = false, .zds_socket = agent.folder + "/zds.sock"});
  CHECK(ztunnel.saw() == "zds end");
  CHECK(agent.says(R"({"op":"status"})", R"("ztunnels":0)"));
}

TEST_CASE("agent: connections older than the enrolment are listed, and ended on request") {
  World world;
  const Echo service(world.outsider(), 8080);
  auto older = Talk::connect(world.pod(), kServiceV6, 8080);
  REQUIRE(older);
  CHECK(older->hears("you are"));
  TestAgent agent;
  agent.start();
  CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":false})");

  CHECK(agent.says(R"({"op":"list"})", R"("preexisting":1)"));
  CHECK(agent.says(R"({"op":"connections","uid":"uid-1"})", R"("remote":"[fd00:88::9]:8080")"));
  CHECK(agent.ask(R"({"op":"end-connections","uid":"uid-1"})") == R"({"ended":1,"ok":true})");
  CHECK(older->hear() == "(reset)");
  CHECK(agent.says(R"({"op":"connections","uid":"other"})", "no pod with uid other is enrolled"));
}

TEST_CASE("agent: what cannot be enrolled is refused with a reason") {
  World world, second, third;
  TestAgent agent;
  agent.start();
  const auto refusal = [&](const std::string& request, const std::string& netns) {
    return agent.ask(request, netns);
  };
  const auto pod = [](const std::string& uid) {
    return R"({"op":"add","uid":")" + uid +
           R"(","name":"n","namespace":"s","serviceAccount":"a","ips":["10.77.0.1"]})";
  };
  CHECK(refusal(kPodOne, "").find("takes one descriptor") != std::string::npos);
  CHECK(refusal(kPodOne, "/dev/null").find("is no network namespace") != std::string::npos);
  CHECK(refusal(kPodOne, "/proc/self/ns/net").find("the node's own") != std::string::npos);
  CHECK(refusal(pod("u1"), world.pod_path()) == R"({"ok":true,"ztunnel":false})");
  CHECK(refusal(pod("u1"), world.pod_path()) == R"({"ok":true,"ztunnel":false})");  // again
  CHECK(refusal(pod("u2"), world.pod_path()).find("enrolled as pod s/n (u1)") != std::string::npos);
  CHECK(refusal(pod("u2"), second.pod_path()) == R"({"ok":true,"ztunnel":false})");
  // Beyond the limit: refused, and not captured by halves.
  CHECK(refusal(pod("u3"), third.pod_path()).find("the limit of 2 pods") != std::string::npos);
  CHECK(third.in_pod("bpftool net").find("weft") == std::string::npos);
  // A uid that comes with another namespace has moved there, and leaves the former.
  CHECK(refusal(pod("u1"), third.pod_path()) == R"({"ok":true,"ztunnel":false})");
  CHECK(world.in_pod("bpftool net").find("weft") == std::string::npos);
  CHECK(third.in_pod("bpftool net").find("weft") != std::string::npos);
}

TEST_CASE("agent: garbage on either socket bothers nobody else") {
  World world;
  TestAgent agent;
  agent.start();
  Proxy ztunnel(world.pod(), {.zds_socket = agent.folder + "/zds.sock"});
  CHECK(ztunnel.saw() == "zds snapshot");
  const UniqueFd liar = dial_seqpacket(agent.folder + "/zds.sock");
  const std::string garbage(900, '\xff');
  static_cast<void>(send_packet(liar.get(), std::as_bytes(std::span(garbage))));
  CHECK(agent.says(garbage, "the request is no JSON object"));
  CHECK(agent.says(std::string(66'000, ' '), "over 64 KiB"));
  // More callers than may be: the longest idle goes.
  std::vector<UniqueFd> crowd;
  for (int i = 0; i < 40; ++i) crowd.push_back(dial_seqpacket(agent.folder + "/agent.sock"));
  CHECK(eventually([&] { return agent.says(R"({"op":"status"})", R"("ztunnels":1)"); }));
  // Both were counted: the liar, cut off, and the two requests that were none.
  CHECK(eventually([&] {
    return agent.says(R"({"op":"status"})", R"("refused":{"callers":0,"requests":2,"ztunnels":1})");
  }));
  CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":true})");
}

TEST_CASE("agent: who sends what is no request is told why, and let go") {
  TestAgent agent;
  agent.start();
  const UniqueFd caller = dial_seqpacket(agent.folder + "/agent.sock");
  const std::string request = R"({"op":"nonsense"})";
  REQUIRE(send_packet(caller.get(), std::as_bytes(std::span(request))));
  const auto next = [&] {
    pollfd polled{caller.get(), POLLIN, 0};
    REQUIRE(poll(&polled, 1, 10'000) == 1);
    auto packet = receive_packet(caller.get(), 4096);
    return packet ? packet->bytes.size() : 0;
  };
  CHECK(next() > 0);
  CHECK(next() == 0);
  CHECK(agent.says(R"({"op":"status"})", R"("requests":1)"));
}

TEST_CASE("agent: shutdown with detach takes capture away") {
  World world;
  TestAgent agent;
  agent.start();
  CHECK(agent.ask(kPodOne, world.pod_path()) == R"({"ok":true,"ztunnel":false})");
  CHECK(agent.ask(R"({"op":"shutdown","detach":true})") == R"({"ok":true})");
  agent.join();
  CHECK(world.in_pod("bpftool net").find("weft") == std::string::npos);
  CHECK(!std::filesystem::exists(agent.folder + "/agent.sock"));
  CHECK(!std::filesystem::exists(agent.folder + "/zds.sock"));
}

TEST_CASE("agent: what keeps it from starting is named") {
  TestAgent agent;
  agent.start();
  const auto second = Agent::start(agent.options(), UniqueFd());
  REQUIRE(!second);
  CHECK(second.error().find("agent.sock: bind socket: Address already in use") !=
        std::string::npos);
  CHECK(agent.says(R"({"op":"status"})", R"("ok":true)"));  // the first is unharmed
  agent.stop();
  std::ofstream(agent.folder + "/pods.json") << "{";
  const auto damaged = Agent::start(agent.options(), UniqueFd());
  REQUIRE(!damaged);
  CHECK(damaged.error().find("pods.json is damaged") != std::string::npos);
}

}  // namespace
}  // namespace mesh::ebpf
