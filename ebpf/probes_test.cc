// The kubelet's connections to pods in the mesh, and everybody else's, in namespaces: the outsider
// plays the node.

#include "ebpf/probes.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <iterator>

#include "ebpf/test_world.h"

namespace mesh::ebpf {
namespace {

constexpr const char* kProbeV4 = "169.254.7.127";
constexpr const char* kProbeV6 = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff";

net::IpAddress ip(const char* text) { return *net::IpAddress::parse(text); }

// A control group that this process can be in: then it is the kubelet.
class Group {
 public:
  Group() {
    std::ifstream file("/proc/mounts");
    const std::string mounts(std::istreambuf_iterator<char>(file), {});
    mount_ = find_cgroup2_mount(mounts);
    const auto own = cgroup_of_process(getpid());
    REQUIRE(own);
    home_ = own->path;
    cgroup.path = mount_ + "/weft-test-kubelet-" + std::to_string(getpid());
    REQUIRE(mkdir(cgroup.path.c_str(), 0755) == 0);
    struct stat status{};
    REQUIRE(stat(cgroup.path.c_str(), &status) == 0);
    cgroup.id = status.st_ino;
  }
  ~Group() {
    leave();
    rmdir(cgroup.path.c_str());
  }
  void enter() { move(cgroup.path); }
  void leave() { move(home_); }
  std::string programs() const { return shell("bpftool cgroup show " + cgroup.path); }

  Cgroup cgroup;

 private:
  static void move(const std::string& path) {
    std::ofstream(path + "/cgroup.procs") << getpid() << std::flush;
  }
  std::string mount_, home_;
};

struct Node {
  Node() : service(world.pod(), 8080) {}
  void start() {
    REQUIRE(world.outsider().run([this] {
      auto created = Probes::create({.v4 = ip(kProbeV4), .v6 = ip(kProbeV6)});
      INFO((created ? "" : created.error().during));
      REQUIRE(created);
      probes = *std::move(created);
    }));
  }
  bool attach() {
    bool changed = false;
    REQUIRE(world.outsider().run([&] {
      const auto attached = probes->attach(group.cgroup);
      INFO((attached ? "" : attached.error().during));
      REQUIRE(attached);
      changed = *attached;
    }));
    return changed;
  }
  // As whom the pod sees a connection from the node.
  std::string seen_as(const char* pod) {
    auto talk = Talk::connect(world.outsider(), pod, 8080);
    if (!talk) return "(refused)";
    const std::string greeting = talk->hear();
    return greeting.starts_with("you are ") ? greeting.substr(8, greeting.size() - 9) : greeting;
  }
  // errno of a bind in the node's namespace.
  int bind(const char* address) {
    int error = 0;
    const auto parsed = ip(address);
    REQUIRE(world.outsider().run([&] {
      const UniqueFd socket(::socket(parsed.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM, 0));
      sockaddr_storage storage{};
      socklen_t size = sizeof(sockaddr_in);
      if (parsed.is_v4()) {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
        v4->sin_family = AF_INET;
        inet_pton(AF_INET, address, &v4->sin_addr);
      } else {
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
        v6->sin6_family = AF_INET6;
        inet_pton(AF_INET6, address, &v6->sin6_addr);
        size = sizeof(sockaddr_in6);
      }
      if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) < 0) error = errno;
    }));
    return error;
  }

  World world;
  Echo service;
  Group group;
  std::unique_ptr<Probes> probes;
};

TEST_CASE("probes: the kubelet's connections to pods in the mesh have a source of their own") {
  Node node;
  node.start();
  CHECK(node.attach());
  CHECK(!node.attach());  // nothing more to do
  node.probes->add({ip(kPodV4), ip(kPodV6)});

  CHECK(node.seen_as(kPodV4) == kOutsiderV4);  // somebody else of the node
  CHECK(node.seen_as(kPodV6) == kOutsiderV6);
  node.group.enter();
  CHECK(node.seen_as(kPodV4) == kProbeV4);
  CHECK(node.seen_as(kPodV6) == kProbeV6);
  CHECK(node.seen_as("::ffff:10.77.0.1") == kProbeV4);

  node.probes->remove({ip(kPodV4)});  // no longer in the mesh
  CHECK(node.seen_as(kPodV4) == kOutsiderV4);
  CHECK(node.seen_as(kPodV6) == kProbeV6);
}

TEST_CASE("probes: in another namespace the kubelet's group means nothing") {
  Node node;
  const Echo other(node.world.outsider(), 8080);
  node.start();
  node.attach();
  node.probes->add({ip(kOutsiderV4)});
  node.group.enter();
  auto talk = Talk::connect(node.world.pod(), kOutsiderV4, 8080);
  REQUIRE(talk);
  CHECK(talk->hear() == std::string("you are ") + kPodV4 + "\n");
}

TEST_CASE("probes: nobody of the node takes the probes' address, as long as an agent runs") {
  Node node;
  node.start();
  CHECK(node.bind(kProbeV4) == EPERM);
  CHECK(node.bind(kProbeV6) == EPERM);
  CHECK(node.bind("::ffff:169.254.7.127") == EPERM);
  CHECK(node.bind(kOutsiderV4) == 0);
  CHECK(node.bind(kOutsiderV6) == 0);
  CHECK(node.bind("0.0.0.0") == 0);
  node.group.enter();
  CHECK(node.bind(kProbeV4) == EPERM);
  node.probes.reset();
  CHECK(node.bind(kProbeV4) == 0);
}

TEST_CASE("probes: go on while the agent is away, change hands, and go when they are told") {
  Node node;
  node.start();
  node.attach();
  node.probes->add({ip(kPodV4)});
  node.group.enter();
  node.probes.reset();
  CHECK(node.seen_as(kPodV4) == kProbeV4);

  node.start();
  node.probes->add({ip(kPodV4)});
  CHECK(node.attach());
  CHECK(node.seen_as(kPodV4) == kProbeV4);
  const std::string programs = node.group.programs();
  CHECK(programs.find("weft_probe_v4") == programs.rfind("weft_probe_v4"));
  const std::string& path = node.group.cgroup.path;
  shell("bpftool cgroup detach " + path + " connect4 id $(bpftool cgroup show " + path +
        " | awk '/weft_probe_v4/ {print $1}')");
  CHECK(node.attach());  // somebody detached it: mended
  CHECK(node.seen_as(kPodV4) == kProbeV4);

  REQUIRE(node.world.outsider().run([&] { node.probes->remove_all(); }));
  CHECK(node.group.programs().find("weft") == std::string::npos);
  CHECK(node.seen_as(kPodV4) == kOutsiderV4);
  CHECK(node.bind(kProbeV4) != 0);  // neither guarded nor there
}

}  // namespace
}  // namespace mesh::ebpf
