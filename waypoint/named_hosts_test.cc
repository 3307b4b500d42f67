// The addresses behind names: hosts of their own, looked up again in time, kept while nobody
// answers.

#include "waypoint/named_hosts.h"

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>

#include "mesh/io/socket.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

struct TextFile {
  std::filesystem::path path;
  explicit TextFile(const std::string& name)
      : path(std::filesystem::temp_directory_path() /
             ("weft-names-" + name + "-" + std::to_string(getpid()))) {}
  ~TextFile() { std::filesystem::remove(path); }
  void say(const std::string& text) { std::ofstream(path) << text; }
};

// A name server of one name, as far as it answers.
struct NameServer {
  explicit NameServer(io::Ring& ring)
      : socket(io::DatagramSocket::open(ring,
                                        {.at = net::SocketAddress::parse("127.0.0.1:53").value()})
                   .value()) {}
  io::DatagramSocket socket;
  std::vector<std::uint8_t> last_bytes = {1};  // 127.0.0.N
  std::uint32_t ttl = 30;
  bool silent = false, failing = false;
  int asked = 0;

  io::Task<void> serve() {
    std::array<std::byte, 512> memory;
    for (;;) {
      const auto got = co_await socket.recv_from(memory);
      if (!got) co_return;
      std::string reply(reinterpret_cast<const char*>(memory.data()), got->size);
      const bool is_v4 = reply[got->size - 3] == 1;
      if (is_v4) ++asked;
      if (silent) continue;
      reply[2] = '\x81';
      reply[3] = failing ? '\x82' : '\x80';
      if (is_v4 && !failing) {
        reply[7] = static_cast<char>(last_bytes.size());
        for (const std::uint8_t last : last_bytes) {
          reply += std::string("\xc0\x0c\0\1\0\1", 6);
          for (int shift = 24; shift >= 0; shift -= 8) {
            reply.push_back(static_cast<char>(ttl >> shift & 0xff));
          }
          reply += std::string("\0\4\x7f\0\0", 5);
          reply.push_back(static_cast<char>(last));
        }
      }
      (void)co_await socket.send_to(bytes(reply), got->peer);
    }
  }
};

struct Named {
  World world;
  TextFile conf{"conf"};
  int changes = 0;
  NamedHosts names{*world.ring,
                   {.hosts_path = "/nonexistent", .resolv_conf_path = conf.path.string()},
                   [this] { ++changes; }};

  Named() {
    conf.say("nameserver 127.0.0.1\n");
    auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
    endpoints->all[0].address = {net::IpAddress(), 8080};
    endpoints->all[0].hostname = "api.example";
    endpoints->all[0].transport = config::Endpoint::Transport::kPlain;
    world.cluster.inline_endpoints = endpoints;
    world.cluster.discovery = config::Cluster::Discovery::kStrictDns;
    world.use();
  }
  const config::Cluster& cluster() { return *world.context.snapshot->cluster("cart"); }
  std::string hosts() {
    const auto endpoints = endpoints_in(*world.context.snapshot, cluster(), &names);
    std::string text;
    for (const config::Endpoint& one : endpoints->all) text += one.key() + " ";
    return text;
  }
  io::Task<void> tell(std::function<io::Task<void>(Named&, NameServer&)> story) {
    NameServer server(*world.ring);
    io::TaskScope serving;
    serving.spawn(server.serve());
    names.prepare(*world.context.snapshot);
    co_await story(*this, server);
    co_await names.close();
    serving.cancel();
    co_await serving.join();
  }
  void run(std::function<io::Task<void>(Named&, NameServer&)> story) {
    world.run(tell(std::move(story)));
  }
};

TEST_CASE("each address of a name is a host, and they come and go with it", "[time]") {
  Named named;
  CHECK(named.hosts() == "api.example:8080 ");  // not known yet: looked up when it is dialled
  named.run([](Named& it, NameServer& server) -> io::Task<void> {
    server.last_bytes = {1, 2};
    co_await lapse(*it.world.ring, 100ms);
    CHECK(it.hosts() == "127.0.0.1:8080 127.0.0.2:8080 ");
    CHECK(it.changes == 1);
    server.last_bytes = {3, 2};
    co_await lapse(*it.world.ring, 6s);
    CHECK(it.hosts() == "127.0.0.2:8080 127.0.0.3:8080 ");
    CHECK(it.changes == 2);
    co_await lapse(*it.world.ring, 20s);
    CHECK(it.changes == 2);
    // The balancer has them one by one.
    Fleet fleet(*it.world.ring, it.world.dice, it.world.breakers, nullptr, &it.names);
    std::set<std::string> picked;
    for (int i = 0; i < 20; ++i) {
      const auto one = fleet.pick(*it.world.context.snapshot, it.cluster(), {});
      if (one) picked.insert(one->endpoint.key());
    }
    CHECK(picked == std::set<std::string>{"127.0.0.2:8080", "127.0.0.3:8080"});
  });
}

TEST_CASE("a name is looked up again when its records say so, or the cluster", "[time]") {
  const struct {
    bool respect;
    std::uint32_t ttl;
    io::Duration refresh;
    int least, most;  // questions in a minute
  } rows[] = {{false, 30, 5s, 11, 14},
              {true, 30, 5s, 2, 3},
              {true, 2, 20s, 28, 32},
              {true, 0, 20s, 50, 62}};
  for (const auto& row : rows) {
    Named named;
    named.world.cluster.respect_dns_ttl = row.respect;
    named.world.cluster.dns_refresh = std::chrono::floor<std::chrono::milliseconds>(row.refresh);
    named.world.use();
    named.run([&row](Named& it, NameServer& server) -> io::Task<void> {
      server.ttl = row.ttl;
      co_await lapse(*it.world.ring, 60s);
      CHECK(server.asked >= row.least);
      CHECK(server.asked <= row.most);
    });
  }
}

TEST_CASE("while nobody answers, or says that it cannot, the last good addresses stay", "[time]") {
  for (const bool silent : {true, false}) {
    Named named;
    named.world.cluster.dns_failure_refresh = 30s;
    named.world.use();
    named.run([silent](Named& it, NameServer& server) -> io::Task<void> {
      co_await lapse(*it.world.ring, 1s);
      CHECK(it.hosts() == "127.0.0.1:8080 ");
      server.silent = silent;
      server.failing = !silent;
      co_await lapse(*it.world.ring, std::chrono::hours(1));
      CHECK(it.hosts() == "127.0.0.1:8080 ");
      server.silent = server.failing = false;
      server.last_bytes = {9};
      co_await lapse(*it.world.ring, 60s);
      CHECK(it.hosts() == "127.0.0.9:8080 ");
    });
  }
}

TEST_CASE("names that nobody wants any more are asked for no more", "[time]") {
  Named named;
  named.run([](Named& it, NameServer& server) -> io::Task<void> {
    co_await lapse(*it.world.ring, 1s);
    it.world.cluster.discovery = config::Cluster::Discovery::kLogicalDns;
    it.world.use();
    it.names.prepare(*it.world.context.snapshot);
    const int before = server.asked;
    co_await lapse(*it.world.ring, 60s);
    CHECK(server.asked == before);
    CHECK(it.hosts() == "api.example:8080 ");
  });
}

TEST_CASE("more names than may be watched are looked up when they are dialled") {
  World world;
  NamedHosts names(*world.ring, {.hosts_path = "/nonexistent", .resolv_conf_path = "/nonexistent"},
                   nullptr);
  auto endpoints = std::make_shared<config::Endpoints>();
  for (std::size_t i = 0; i < NamedHosts::kNamesMax + 10; ++i) {
    config::Endpoint one;
    one.hostname = "host-" + std::to_string(i);
    endpoints->all.push_back(one);
  }
  endpoints->groups.push_back({.count = static_cast<std::uint32_t>(endpoints->all.size())});
  endpoints->priorities = 1;
  world.cluster.inline_endpoints = endpoints;
  world.cluster.discovery = config::Cluster::Discovery::kStrictDns;
  world.use();
  world.run([](World& of, NamedHosts& those) -> io::Task<void> {
    those.prepare(*of.context.snapshot);
    const auto& cluster = *of.context.snapshot->cluster("cart");
    CHECK(endpoints_in(*of.context.snapshot, cluster, &those)->all.size() ==
          NamedHosts::kNamesMax + 10);
    co_await those.close();
  }(world, names));
}

TEST_CASE("of a name's addresses those of its family count") {
  using Family = config::Cluster::DnsFamily;
  const net::IpAddress v4 = *net::IpAddress::parse("10.0.0.1");
  const net::IpAddress v6 = *net::IpAddress::parse("fd00::1");
  using Addresses = std::vector<net::IpAddress>;
  const struct {
    Family family;
    Addresses of_both, of_v4, of_v6;
  } rows[] = {
      {Family::kAuto, {v6}, {v4}, {v6}},    {Family::kV4Preferred, {v4}, {v4}, {v6}},
      {Family::kV4Only, {v4}, {v4}, {}},    {Family::kV6Only, {v6}, {}, {v6}},
      {Family::kAll, {v4, v6}, {v4}, {v6}},
  };
  for (const auto& row : rows) {
    CHECK(in_family({v4, v6}, row.family) == row.of_both);
    CHECK(in_family({v4}, row.family) == row.of_v4);
    CHECK(in_family({v6}, row.family) == row.of_v6);
  }
}

}  // namespace
}  // namespace mesh::waypoint::test
