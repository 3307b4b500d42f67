// What happens to open and new connections when the world changes under them: policies, addresses,
// pods, the node itself.

#include <deque>

#include <catch2/catch_test_macros.hpp>

#include "mesh/hbone/peer_quotas.h"
#include "mesh/workload/policy_order.h"
#include "test/golden/ztunnel/little_mesh.h"

namespace mesh::ztunnel {
namespace {

using io::Task;

net::SocketAddress at(const char* text) { return *net::SocketAddress::parse(text); }

// Answers each chunk with one of the same size; remembers who called.
struct Echo {
  Echo(io::sim::World& world, io::Ring& ring, std::uint16_t port) : world_(world), ring_(ring) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v6({}), port};
    listener.emplace(*io::Listener::listen(ring, options));
    world.start(ring, run());
    world.run_for(std::chrono::milliseconds(1));
  }
  ~Echo() {
    ring_.post([this] { listener->close(); });
    world_.run_for(std::chrono::seconds(5));
  }
  Task<void> run() {
    io::TaskScope scope;
    for (;;) {
      auto socket = co_await listener->accept();
      if (!socket) break;
      callers.push_back(socket->peer_address().ip);
      scope.spawn(serve(*std::move(socket)));
    }
    co_await scope.join();
  }
  Task<void> serve(io::Socket socket) {
    for (;;) {
      auto got = co_await socket.recv_buffer();
      if (!got || got->empty()) break;
      bytes += got->size();
      (void)co_await socket.send_all(got->bytes());
    }
  }
  io::sim::World& world_;
  io::Ring& ring_;
  std::optional<io::Listener> listener;
  std::vector<net::IpAddress> callers;
  std::size_t bytes = 0;
};

// An application that opens a connection, says "ping" once and then listens until the end.
struct Caller {
  bool connected = false, answered = false, ended = false;
  std::optional<Reason> error;
};
Task<void> call(io::Ring& ring, net::SocketAddress to, Caller& caller) {
  io::ConnectOptions options;
  options.to = to;
  auto socket = co_await io::connect(ring, options);
  if (!socket) {
    caller.error = socket.error().reason;
    caller.ended = true;
    co_return;
  }
  caller.connected = true;
  const std::vector<std::byte> ping(4);
  (void)co_await socket->send_all(ping);
  for (;;) {
    const auto got = co_await socket->recv_buffer();
    if (!got) caller.error = got.error().reason;
    if (!got || got->empty()) break;
    caller.answered = true;
  }
  caller.ended = true;
}

workload::DirectoryPtr with_policy(const workload::DirectoryPtr& last, const char* name,
                                   policy::Scope scope) {
  auto deny = std::make_shared<policy::Policy>();
  deny->ns = "app";
  deny->name = name;
  deny->key = std::string("app/") + name;
  deny->scope = scope;
  policy::Match match;
  match.destination_ports = {7000};
  policy::Clause clause;
  clause.any_of.push_back(match);
  policy::Rule rule;
  rule.all_of.push_back(clause);
  deny->any_of.push_back(rule);
  workload::Delta delta;
  delta.policies.push_back(deny);
  workload::DirectoryBuilder builder(last);
  builder.apply(delta);
  return std::move(builder).build();
}

// The server's workload, changed.
workload::DirectoryPtr with_server(const workload::DirectoryPtr& last,
                                   void (*change)(workload::Workload&)) {
  auto server =
      std::make_shared<workload::Workload>(*last->find_workload("Kubernetes//Pod/app/server-1"));
  change(*server);
  workload::DirectoryBuilder builder(last);
  builder.set(server);
  return std::move(builder).build();
}

struct Bench {
  ~Bench() {
    mesh.client_ring->post([this] { calls.cancel(); });
    mesh.world.run_for(std::chrono::seconds(1));
  }
  // Begins a call on the client's ring, and gives it a moment.
  Caller& start(const char* to) {
    Caller& caller = callers.emplace_back();
    mesh.client_ring->post(
        [this, &caller, to] { calls.spawn(call(*mesh.client_ring, at(to), caller)); });
    mesh.world.run_for(std::chrono::milliseconds(100));
    return caller;
  }

  std::deque<Caller> callers;  // the calls write into them until the end
  LittleMesh mesh;
  Echo echo{mesh.world, *mesh.server_ring, 7000};
  io::TaskScope calls;
};

TEST_CASE("the application sees its client's own address") {
  Bench bench;
  Caller& caller = bench.start("10.78.0.2:7000");
  CHECK(caller.answered);
  REQUIRE(bench.echo.callers.size() == 1);
  CHECK(bench.echo.callers[0].to_string() == "10.78.0.1");
}

TEST_CASE("a policy that comes ends the open connections it denies, and is named") {
  Bench bench;
  Caller& caller = bench.start("10.78.0.2:7000");
  REQUIRE(caller.answered);
  bench.mesh.publish(with_policy(bench.mesh.directory, "late", policy::Scope::kNamespace));
  bench.mesh.world.run_for(std::chrono::milliseconds(100));
  CHECK(caller.ended);
  CHECK(caller.error == Reason::kPeerReset);
  std::string log;
  for (const std::string& line : bench.mesh.two.new_lines()) log += line + "\n";
  CHECK(log.find("error=\"connection closed due to policy change\" reason=\"policy_changed\" "
                 "policy=\"app/late\"") != std::string::npos);
  CHECK(bench.mesh.two.metrics().find("reason=\"policy_changed\",policy=\"app/late\"} 1") !=
        std::string::npos);
}

TEST_CASE("do better 1: a workload that starts to list a policy is held to it at once") {
  Bench bench;
  // The policy is known, but nobody lists it yet.
  bench.mesh.publish(with_policy(bench.mesh.directory, "listed", policy::Scope::kWorkload));
  Caller& caller = bench.start("10.78.0.2:7000");
  REQUIRE(caller.answered);
  bench.mesh.publish(with_server(bench.mesh.directory, [](workload::Workload& server) {
    server.authorization_policies = {"app/listed"};
  }));
  bench.mesh.world.run_for(std::chrono::milliseconds(100));
  CHECK(caller.ended);
  CHECK(caller.error == Reason::kPeerReset);
  Caller& again = bench.start("10.78.0.2:7000");
  CHECK(!again.answered);
}

TEST_CASE("do better 1: a listed policy that nobody sent denies, open connections too") {
  Bench bench;
  Caller& caller = bench.start("10.78.0.2:7000");
  REQUIRE(caller.answered);
  bench.mesh.publish(with_server(bench.mesh.directory, [](workload::Workload& server) {
    server.authorization_policies = {"app/nobody-sent-this"};
  }));
  bench.mesh.world.run_for(std::chrono::milliseconds(100));
  CHECK(caller.error == Reason::kPeerReset);
  CHECK(bench.mesh.two.metrics().find("policy=\"app/nobody-sent-this\"") != std::string::npos);
}

workload::Delta only(const workload::DirectoryPtr& from, const char* uid) {
  workload::Delta delta;
  delta.workloads.push_back(from->find_workload_ptr(uid));
  return delta;
}

workload::Delta only_policy(const workload::DirectoryPtr& from, const char* key) {
  workload::Delta delta;
  from->policies().for_each([&](const policy::PolicyPtr& one) {
    if (one->key == key) delta.policies.push_back(one);
  });
  return delta;
}

// The incumbent's control plane tells of workloads first.
TEST_CASE("a workload that lists a policy before it has come: nobody is refused meanwhile") {
  Bench bench;
  constexpr const char* kServer = "Kubernetes//Pod/app/server-1";
  Caller& caller = bench.start("10.78.0.2:7000");
  REQUIRE(caller.answered);
  workload::PolicyOrder order({}, bench.mesh.directory);
  const auto lists = with_server(bench.mesh.directory, [](workload::Workload& server) {
    server.authorization_policies = {"app/late"};
  });
  order.take(only(lists, kServer), 1, {});
  bench.mesh.publish(order.directory());
  bench.mesh.world.run_for(std::chrono::milliseconds(100));
  CHECK(!caller.ended);
  Caller& between = bench.start("10.78.0.2:7000");
  CHECK(between.answered);

  const auto sent = with_policy(bench.mesh.directory, "late", policy::Scope::kWorkload);
  SECTION("it comes: it is in force at once") { order.take(only_policy(sent, "app/late"), 2, {}); }
  SECTION("it does not: denied by its name") { (void)order.expire(workload::kPolicyWait); }
  bench.mesh.publish(order.directory());
  bench.mesh.world.run_for(std::chrono::milliseconds(100));
  CHECK(caller.error == Reason::kPeerReset);
  CHECK(between.error == Reason::kPeerReset);
  CHECK(bench.mesh.two.metrics().find("policy=\"app/late\"") != std::string::npos);
}

TEST_CASE("a new pod whose policies have not come: who connects is held, not refused, not passed") {
  constexpr const char* kServer = "Kubernetes//Pod/app/server-1";
  Bench bench;
  workload::PolicyOrder order({}, bench.mesh.directory);
  workload::Delta gone;
  gone.removed = {kServer};
  order.take(gone, 1, {});
  order.take(only(with_server(bench.mesh.directory,
                              [](workload::Workload& server) {
                                server.authorization_policies = {"app/late"};
                              }),
                  kServer),
             2, {});
  bench.mesh.publish(order.directory());
  Caller& caller = bench.start("10.78.0.2:7000");
  CHECK(!caller.answered);
  CHECK(!caller.ended);
  CHECK(bench.echo.callers.empty());
  SECTION("they come and allow it") {
    auto allow = std::make_shared<policy::Policy>();
    allow->ns = "app";
    allow->name = "late";
    allow->key = "app/late";
    allow->scope = policy::Scope::kWorkload;
    allow->action = policy::Action::kAllow;
    allow->any_of.emplace_back();
    workload::Delta delta;
    delta.policies.push_back(allow);
    order.take(delta, 3, {});
    bench.mesh.publish(order.directory());
    bench.mesh.world.run_for(std::chrono::milliseconds(100));
    CHECK(caller.answered);
  }
  SECTION("they do not: refused by the name") {
    (void)order.expire(workload::kPolicyWait);
    bench.mesh.publish(order.directory());
    bench.mesh.world.run_for(std::chrono::milliseconds(100));
    CHECK(caller.error == Reason::kPeerReset);
    CHECK(bench.mesh.two.metrics().find("policy=\"app/late\"") != std::string::npos);
    CHECK(bench.echo.callers.empty());
  }
}

// Says nothing on the tunnel's port, and waits for the end.
Task<void> be_silent(io::Ring& ring, std::size_t& resets) {
  io::ConnectOptions options;
  options.to = at("10.78.0.2:15008");
  auto socket = co_await io::connect(ring, options);
  if (!socket) co_return;
  const auto end = co_await socket->recv_buffer();
  if (!end && end.error().reason == Reason::kPeerReset) ++resets;
}

TEST_CASE("limit: a stranger that shakes no hands holds 128 places of a lane, ten seconds") {
  Bench bench;
  const std::size_t allowed = hbone::PeerLimits{}.handshakes_of_address *
                              static_cast<std::size_t>(bench.mesh.two.config.workers);
  const std::size_t strange = 3 * allowed;
  std::size_t resets = 0;
  io::TaskScope strangers;
  bench.mesh.outside_ring->post([&] {
    for (std::size_t i = 0; i < strange; ++i) {
      strangers.spawn(be_silent(*bench.mesh.outside_ring, resets));
    }
  });
  bench.mesh.world.run_for(std::chrono::seconds(1));
  CHECK(resets == strange - allowed);
  CHECK(strangers.size() == allowed);
  CHECK(bench.mesh.two.metrics().find("reason=\"exhausted\"") != std::string::npos);
  // Another address is not concerned.
  Caller& caller = bench.start("10.78.0.2:7000");
  CHECK(caller.answered);
  bench.mesh.world.run_for(std::chrono::seconds(11));
  CHECK(strangers.size() == 0);
  // Each was counted, those that were let in too.
  const std::string page = bench.mesh.two.metrics();
  CHECK(page.find("reason=\"timed_out\"} " + std::to_string(allowed) + "\n") != std::string::npos);
  CHECK(page.find("reason=\"exhausted\"} " + std::to_string(strange - allowed) + "\n") !=
        std::string::npos);
}

TEST_CASE("a change that concerns nobody ends nothing") {
  Bench bench;
  Caller& caller = bench.start("10.78.0.2:7000");
  REQUIRE(caller.answered);
  workload::DirectoryBuilder builder(bench.mesh.directory);
  builder.remove("Kubernetes//Pod/app/plain-1");
  bench.mesh.publish(std::move(builder).build());
  bench.mesh.world.run_for(std::chrono::seconds(1));
  CHECK(!caller.ended);
}

TEST_CASE("a pod that is deleted: its listeners close at once, its connections may end") {
  Bench bench;
  Caller& caller = bench.start("10.78.0.2:7000");
  REQUIRE(caller.answered);
  bench.mesh.two.ring->post([&] { bench.mesh.two.node->remove_pod("u2"); });
  bench.mesh.world.run_for(std::chrono::milliseconds(200));
  CHECK(!caller.ended);  // recorded: cut at once
  Caller& late = bench.start("10.78.0.2:7000");
  CHECK(!late.answered);
  bench.mesh.world.run_for(std::chrono::seconds(3));
  CHECK(caller.ended);  // the deadline of the drain
  CHECK(caller.error == Reason::kPeerReset);
}

// Adds a pod to a node; the host's namespace is the world's own.
Task<void> add_pod(TestNode& node, io::sim::Host& host, PodInfo pod, std::string& problem) {
  const std::shared_ptr<const net::NetworkNamespace> netns(&host.netns(), [](const auto*) {});
  (void)co_await node.node->add_pod(std::move(pod), netns, problem);
}

TEST_CASE("do better 9: a pod that cannot start makes the node unready, and is tried again") {
  LittleMesh mesh;
  Node& node = *mesh.one.node;
  io::ListenOptions taken;  // somebody else has the port
  taken.at = {net::IpAddress::v6({}), kPlaintextPort};
  taken.reuse_port = false;
  std::optional<io::Listener> other(*io::Listener::listen(*mesh.peer_ring, taken));
  std::string problem;
  io::TaskScope scope;
  mesh.one.ring->post([&] {
    scope.spawn(add_pod(mesh.one, mesh.peer,
                        {.uid = "u9", .name = "peer-1", .ns = "web", .service_account = "peer"},
                        problem));
  });
  mesh.world.run_for(std::chrono::milliseconds(100));
  REQUIRE(scope.size() == 0);
  CHECK(problem.starts_with("Bind([::]:15006, "));
  CHECK(node.pods().at("u9").state == PodState::kFailed);
  CHECK(!node.pending().empty());

  other.reset();
  mesh.one.ring->post([&] { scope.spawn(node.tend()); });
  mesh.world.run_for(kPodRetry + std::chrono::seconds(1));
  CHECK(node.pods().at("u9").state == PodState::kUp);
  CHECK(node.pending().empty());
  mesh.one.ring->post([&] { scope.cancel(); });
  mesh.world.run_for(std::chrono::seconds(1));
  REQUIRE(scope.size() == 0);
}

TEST_CASE("do better 9: an empty snapshot of the agent does not drop the pods at once") {
  LittleMesh mesh;
  io::TaskScope scope;
  mesh.one.ring->post([&] {
    scope.spawn(mesh.one.node->tend());
    mesh.one.node->snapshot_received({});
  });
  mesh.world.run_for(std::chrono::seconds(30));
  CHECK(mesh.one.node->pods().size() == 1);
  SECTION("a pod that is told of again stays") {
    mesh.one.ring->post([&] { mesh.one.node->keep_pod("u1"); });
    mesh.world.run_for(std::chrono::seconds(60));
    CHECK(mesh.one.node->pods().size() == 1);
  }
  SECTION("one that is not goes after the grace") {
    mesh.world.run_for(std::chrono::seconds(60));
    CHECK(mesh.one.node->pods().empty());
  }
  mesh.one.ring->post([&] { scope.cancel(); });
  mesh.world.run_for(std::chrono::seconds(1));
  CHECK(scope.size() == 0);
}

TEST_CASE("a snapshot that mentions some pods drops the others") {
  LittleMesh mesh;
  mesh.one.ring->post([&] { mesh.one.node->snapshot_received({"somebody-else"}); });
  mesh.world.run_for(std::chrono::seconds(1));
  CHECK(mesh.one.node->pods().empty());
}

TEST_CASE("a node drains at once when no connection is open, idle tunnels or not") {
  Bench bench;
  Caller& caller = bench.start("10.78.0.2:7000");
  REQUIRE(caller.answered);
  bench.mesh.client_ring->post([&] { bench.calls.cancel(); });
  bench.mesh.world.run_for(std::chrono::seconds(1));
  REQUIRE(caller.ended);
  bench.mesh.two.drain();
  bench.mesh.world.run_for(std::chrono::milliseconds(100));
  CHECK(bench.mesh.two.drained);
}

// The address of the server passes to a pod of another identity, and control is late.
TEST_CASE("an address that passes to another identity: not a byte to or as the wrong one") {
  Bench bench;
  Caller& before = bench.start("10.78.0.2:7000");
  REQUIRE(before.answered);
  const std::size_t bytes = bench.echo.bytes;
  // The old pod is gone, a new one of another account sits at its address on the same node.
  bench.mesh.two.ring->post([&] { bench.mesh.two.node->remove_pod("u2"); });
  bench.mesh.world.run_for(std::chrono::seconds(3));
  bench.mesh.two.publish(
      bench.mesh.certificate("spiffe://cluster.local/ns/app/sa/other", bench.mesh.ca));
  io::TaskScope scope;
  std::string problem;
  bench.mesh.two.ring->post([&] {
    scope.spawn(add_pod(bench.mesh.two, bench.mesh.server,
                        {.uid = "u3", .name = "other-1", .ns = "app", .service_account = "other"},
                        problem));
  });
  bench.mesh.world.run_for(std::chrono::milliseconds(100));
  REQUIRE(scope.size() == 0);
  // node 1 still believes the address is server's: the handshake proves otherwise.
  Caller& after = bench.start("10.78.0.2:7000");
  bench.mesh.world.run_for(std::chrono::seconds(12));
  CHECK(after.ended);
  CHECK(!after.answered);
  CHECK(bench.echo.bytes == bytes);
}

TEST_CASE("before the first complete snapshot a connection is held, then refused, never passed") {
  Caller caller;
  LittleMesh mesh(7);
  Echo outside(mesh.world, *mesh.outside_ring, 9000);
  // A node that knows nothing: its lanes use an incomplete Directory again.
  workload::DirectoryBuilder empty(nullptr);
  mesh.one.publish(std::move(empty).build());
  mesh.world.run_for(std::chrono::milliseconds(10));
  mesh.world.start(*mesh.client_ring, call(*mesh.client_ring, at("10.78.0.254:9000"), caller));
  mesh.world.run_for(std::chrono::seconds(4));
  CHECK(!caller.ended);
  CHECK(outside.callers.empty());
  SECTION("the deadline refuses it") {
    mesh.world.run_for(std::chrono::seconds(2));
    CHECK(caller.ended);
    CHECK(caller.error == Reason::kPeerReset);
    CHECK(outside.callers.empty());
    CHECK(mesh.one.metrics().find("reason=\"not_ready\"") != std::string::npos);
  }
  SECTION("a complete snapshot lets it go on") {
    mesh.publish(recorded_world());
    mesh.world.run_for(std::chrono::milliseconds(100));
    CHECK(caller.answered);
    CHECK(outside.callers.size() == 1);
  }
}

}  // namespace
}  // namespace mesh::ztunnel
