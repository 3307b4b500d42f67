#include "mesh/xds/ads_client.h"

#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mesh/io/task_scope.h"
#include "mesh/xds/proto/authorization.pb.h"
#include "mesh/xds/proto/workload.pb.h"
#include "test/support/eventually.h"
#include "test/support/fake_control.h"

namespace mesh::xds {
namespace {

using io::Task;
using test::eventually;

std::string pod(const std::string& name, const std::string& ip_bytes) {
  istio::workload::Address address;
  auto& workload = *address.mutable_workload();
  workload.set_uid("K//Pod/shop/" + name);
  workload.set_name(name);
  workload.set_namespace_("shop");
  workload.set_service_account(name);
  workload.add_addresses(ip_bytes);
  return address.SerializeAsString();
}

std::string pod_with_policy(const std::string& name, const std::string& ip_bytes,
                            const std::string& policy) {
  istio::workload::Address address;
  address.ParseFromString(pod(name, ip_bytes));
  address.mutable_workload()->add_authorization_policies(policy);
  return address.SerializeAsString();
}

std::string deny_all(const std::string& name) {
  istio::security::Authorization policy;
  policy.set_name(name);
  policy.set_namespace_("shop");
  policy.set_scope(istio::security::NAMESPACE);
  return policy.SerializeAsString();
}

constexpr std::chrono::milliseconds kWait{300};

// A node's client and a control plane, on one ring.
struct World {
  World() : ring(*io::Ring::create()) {
    control.state.set(ResourceType::kAddress, "K//Pod/shop/web", pod("web", "\x0a\1\1\1"));
    control.state.set(ResourceType::kAddress, "K//Pod/shop/cart", pod("cart", "\x0a\1\1\2"));
    control.state.set(ResourceType::kAuthorization, "shop/closed", deny_all("closed"));
    start_server();
    AdsClientOptions options;
    options.channel.target = {.host = "127.0.0.1", .port = server->address().port};
    options.channel.roots = [this] { return Result<std::string>(ca.bundle().to_pem()); };
    options.channel.metadata = [this] {
      return Result<grpc::Metadata>(grpc::Metadata{{"authorization", "Bearer " + token}});
    };
    options.ads.node = {.id = "ztunnel~10.0.0.1~z.weft-system~weft-system.svc.cluster.local",
                        .metadata = {{"NODE_NAME", "node-1"}}};
    options.waits.policy = kWait;
    client = std::make_unique<AdsClient>(
        *ring, std::move(options),
        [this](workload::DirectoryPtr next, std::uint64_t sequence) {
          directory = std::move(next);
          published = sequence;
          if (apply_at_once) client->applied(sequence);
        },
        [this](AdsClient::LogLevel, std::string_view line) { log.emplace_back(line); });
  }

  void start_server() {
    const auto now = std::chrono::floor<std::chrono::seconds>(ring->wall_now());
    server = std::make_unique<test::GrpcServer>(
        *ring, test::control_context(ca, now),
        net::SocketAddress{.ip = net::IpAddress::v4({127, 0, 0, 1}), .port = 0},
        std::map<std::string, test::Service*>{{test::kAdsPath, &control}});
  }

  void run(Task<void> (*story)(World&)) { ring->run(with_both(story)); }
  Task<void> with_both(Task<void> (*story)(World&)) {
    io::TaskScope scope;
    scope.spawn(server->run());
    scope.spawn(client->run());
    co_await story(*this);
    scope.cancel();
    co_await scope.join();
  }

  bool in_sync() const { return control.session() != nullptr && control.session()->in_sync(); }
  bool has(const char* uid) const { return directory && directory->find_workload(uid) != nullptr; }
  std::uint64_t ended(Termination how) const {
    return client->counters().terminations[static_cast<int>(how)];
  }

  std::unique_ptr<io::Ring> ring;
  test::TestCa ca;
  test::FakeDiscovery control;
  std::unique_ptr<test::GrpcServer> server;
  std::unique_ptr<AdsClient> client;
  std::string token = "first";
  workload::DirectoryPtr directory;
  std::uint64_t published = 0;
  bool apply_at_once = true;
  std::vector<std::string> log;
};

constexpr const char* kWeb = "K//Pod/shop/web";
constexpr const char* kCart = "K//Pod/shop/cart";

Task<void> first_story(World& world) {
  const auto is_synced = [&] { return world.in_sync(); };
  const bool synced = co_await eventually(*world.ring, is_synced);
  REQUIRE(synced);
  CHECK(world.client->complete());
  CHECK(world.client->control_version() == "4");
  CHECK(world.has(kWeb));
  CHECK(world.directory->complete());
  CHECK(world.directory->policies().size() == 1);
  CHECK(world.control.session()->node()->metadata.at("NODE_NAME") == "node-1");
  CHECK(h2::find_header(world.control.calls.at(0), "authorization") == "Bearer first");

  world.control.state.remove(ResourceType::kAddress, kWeb);
  world.control.state.set(ResourceType::kAddress, "K//Pod/shop/new", pod("new", "\x0a\1\1\1"));
  world.control.push();
  const auto is_pushed = [&] { return world.has("K//Pod/shop/new"); };
  const bool pushed = co_await eventually(*world.ring, is_pushed);
  CHECK(pushed);
  CHECK(!world.has(kWeb));
  CHECK(world.has(kCart));
  const AdsCounters& counters = world.client->counters();
  CHECK(counters.messages[0] == 2);
  CHECK(counters.messages[1] == 1);
  CHECK(counters.message_bytes[0] > 100);
  CHECK(counters.connected);
}

TEST_CASE("a node hears of the mesh, and of what changes in it", "[ads]") {
  World world;
  world.run(first_story);
}

Task<void> apply_story(World& world) {
  world.apply_at_once = false;
  const auto is_published = [&] { return world.published == 2; };
  const bool published = co_await eventually(*world.ring, is_published);
  REQUIRE(published);
  CHECK(!world.client->complete());
  CHECK(world.control.session()->acks() == 0);
  world.client->applied(1);
  const auto is_one = [&] { return world.control.session()->acks() == 1; };
  const bool one = co_await eventually(*world.ring, is_one);
  CHECK(one);
  CHECK(!world.client->complete());
  world.client->applied(2);
  const auto is_synced = [&] { return world.in_sync(); };
  const bool synced = co_await eventually(*world.ring, is_synced);
  CHECK(synced);
  CHECK(world.client->complete());
}

TEST_CASE("control hears ACK only when every worker has applied the snapshot", "[ads]") {
  World world;
  world.run(apply_story);
}

Task<void> reconnect_story(World& world) {
  const auto is_synced = [&] { return world.in_sync(); };
  const bool synced = co_await eventually(*world.ring, is_synced);
  REQUIRE(synced);
  const auto before = world.directory;
  world.token = "second";
  world.control.state.remove(ResourceType::kAddress, kWeb);
  world.server->cut_connections();
  const auto is_gone = [&] { return !world.client->counters().connected; };
  const bool gone = co_await eventually(*world.ring, is_gone);
  REQUIRE(gone);
  // While there is no control plane the last good state stays.
  CHECK(world.has(kWeb));
  CHECK(world.client->complete());

  const auto is_back = [&] { return world.in_sync(); };
  const bool back = co_await eventually(*world.ring, is_back);
  REQUIRE(back);
  CHECK(!world.has(kWeb));
  CHECK(world.has(kCart));
  // Nothing was sent again that had not changed.
  CHECK(world.control.session()->resources_sent() == 0);
  CHECK(h2::find_header(world.control.calls.at(1), "authorization") == "Bearer second");
  CHECK(world.ended(Termination::kReconnect) == 1);
}

TEST_CASE("after an outage only what changed is sent again, with the token of the day", "[ads]") {
  World world;
  world.run(reconnect_story);
}

Task<void> nack_story(World& world) {
  const auto is_synced = [&] { return world.in_sync(); };
  const bool synced = co_await eventually(*world.ring, is_synced);
  REQUIRE(synced);
  world.control.state.set(ResourceType::kAddress, kCart, "\xff\xff");
  world.control.state.set(ResourceType::kAddress, "K//Pod/shop/new", pod("new", "\x0a\1\1\3"));
  world.control.push();
  const auto is_nacked = [&] { return world.control.session()->nacks() == 1; };
  const bool nacked = co_await eventually(*world.ring, is_nacked);
  REQUIRE(nacked);
  CHECK(world.control.session()->last_error().starts_with("K//Pod/shop/cart: "));
  CHECK(world.has("K//Pod/shop/new"));
  CHECK(world.has(kCart));  // the last good one
  CHECK(world.client->counters().nacks[0] == 1);
  CHECK(world.log.back().find("K//Pod/shop/cart") != std::string::npos);
}

TEST_CASE("a bad resource is NACKed by name while the good one beside it is in force", "[ads]") {
  World world;
  world.run(nack_story);
}

Task<void> order_story(World& world) {
  const auto is_synced = [&] { return world.in_sync(); };
  const bool synced = co_await eventually(*world.ring, is_synced);
  REQUIRE(synced);
  const std::size_t acks = world.control.session()->acks();
  const std::size_t messages = world.client->counters().messages[0];
  world.control.state.set(ResourceType::kAddress, kWeb,
                          pod_with_policy("web", "\x0a\1\1\1", "shop/late"));
  world.control.push();
  const auto has_come = [&] { return world.client->counters().messages[0] == messages + 1; };
  const bool come = co_await eventually(*world.ring, has_come);
  REQUIRE(come);
  CHECK(world.directory->find_workload(kWeb)->authorization_policies.empty());
  CHECK_FALSE(world.in_sync());
  CHECK(world.control.session()->acks() == acks);

  world.control.state.set(ResourceType::kAuthorization, "shop/late", deny_all("late"));
  world.control.push();
  const bool both = co_await eventually(*world.ring, is_synced);
  CHECK(both);
  CHECK(world.control.session()->acks() == acks + 2);
  CHECK(world.directory->find_workload(kWeb)->authorization_policies.size() == 1);

  // One that never comes: in force after a while, and only then acknowledged.
  world.control.state.set(ResourceType::kAddress, kCart,
                          pod_with_policy("cart", "\x0a\1\1\2", "shop/never"));
  const io::TimePoint before = world.ring->now();
  world.control.push();
  CHECK_FALSE(world.in_sync());
  const bool given_up = co_await eventually(*world.ring, is_synced);
  CHECK(given_up);
  CHECK(world.ring->now() - before >= kWait);
  CHECK(world.directory->find_workload(kCart)->authorization_policies.size() == 1);
  CHECK(world.log.back().find("K//Pod/shop/cart is in force without") != std::string::npos);
}

TEST_CASE("a workload whose policy has not come is acknowledged when it is in force", "[ads]") {
  World world;
  world.run(order_story);
}

Task<void> garbage_story(World& world) {
  const auto is_synced = [&] { return world.in_sync(); };
  const bool synced = co_await eventually(*world.ring, is_synced);
  REQUIRE(synced);
  const std::vector<std::string> garbage = {
      std::string("\0\0\0\0\3\xff\xff\xff", 8),  // a frame that is no message
      std::string("\0\0\0\0\0", 5),              // an empty message: no nonce
      std::string("\1\0\0\0\1x", 6),             // compressed
      std::string("\0\xff\xff\xff\xff", 5),      // 4 GiB announced
      "HTTP/1.1 200 OK\r\n\r\n",
  };
  for (const std::string& bytes : garbage) {
    INFO(bytes.size());
    const std::size_t calls = world.control.calls.size();
    world.control.first_bytes = bytes;
    world.server->cut_connections();
    // The garbage costs one stream; the next one is served.
    const bool served = co_await eventually(
        *world.ring, [&] { return world.control.calls.size() >= calls + 2 && world.in_sync(); });
    CHECK(served);
    CHECK(world.has(kWeb));
    CHECK(world.has(kCart));
    CHECK(world.directory->policies().size() == 1);
    CHECK(world.client->complete());
  }
  CHECK(world.ended(Termination::kError) == garbage.size());
}

TEST_CASE("control plane sending garbage: reconnect, and nothing is removed", "[ads]") {
  World world;
  world.run(garbage_story);
}

Task<void> refused_story(World& world) {
  const auto is_synced = [&] { return world.in_sync(); };
  const bool synced = co_await eventually(*world.ring, is_synced);
  REQUIRE(synced);
  world.control.refuse_with = grpc::Status{grpc::StatusCode::kUnauthenticated, "token expired"};
  world.server->cut_connections();
  const auto is_refused = [&] { return world.ended(Termination::kError) >= 3; };
  const bool refused = co_await eventually(*world.ring, is_refused);
  REQUIRE(refused);
  CHECK(world.log.back().find("UNAUTHENTICATED: token expired") != std::string::npos);
  CHECK(world.has(kWeb));
  world.control.refuse_with.reset();
  const auto is_back = [&] { return world.in_sync(); };
  const bool back = co_await eventually(*world.ring, is_back);
  CHECK(back);

  world.control.end_streams({});
  const bool again = co_await eventually(
      *world.ring, [&] { return world.ended(Termination::kComplete) == 1 && world.in_sync(); });
  CHECK(again);
}

TEST_CASE("a refusal is logged with its text and tried again", "[ads]") {
  World world;
  world.run(refused_story);
}

}  // namespace
}  // namespace mesh::xds
