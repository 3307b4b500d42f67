#include "mesh/xds/ca_client.h"

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mesh/identity/certificate.h"
#include "mesh/identity/certificate_store.h"
#include "mesh/identity/certificate_view.h"
#include "mesh/io/task_scope.h"
#include "test/support/eventually.h"
#include "test/support/fake_control.h"

namespace mesh::xds {
namespace {

using namespace std::chrono_literals;
using io::Task;
using test::eventually;

struct World {
  World() : ring(*io::Ring::create()) {
    service = std::make_unique<test::FakeCa>(ca, [this] { return now(); });
    server = std::make_unique<test::GrpcServer>(
        *ring, test::control_context(ca, now()),
        net::SocketAddress{.ip = net::IpAddress::v4({127, 0, 0, 1}), .port = 0},
        std::map<std::string, test::Service*>{{test::kCaPath, service.get()}});
    CaClientOptions options;
    options.channel.target = {.host = "127.0.0.1", .port = server->address().port};
    options.channel.roots = [this] { return Result<std::string>(ca.bundle().to_pem()); };
    options.channel.metadata = [] {
      return Result<grpc::Metadata>(grpc::Metadata{{"authorization", "Bearer t"}});
    };
    options.request_deadline = 300ms;
    client = std::make_unique<CaClient>(*ring, std::move(options),
                                        [this](std::string_view line) { log.emplace_back(line); });
    view = std::make_unique<identity::CertificateView>(
        *ring, [this](const net::SpiffeId& wanted) { store->wanted_now(wanted); });
    store = std::make_unique<identity::CertificateStore>(
        *ring, *client, identity::StoreOptions{},
        [this](const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> got) {
          ++published;
          view->update(id, std::move(got));
        },
        [this](std::string_view line) { log.emplace_back(line); });
  }
  tls::WallSeconds now() const {
    return std::chrono::floor<std::chrono::seconds>(ring->wall_now());
  }

  void run(Task<void> (*story)(World&)) { ring->run(with_all(story)); }
  Task<void> with_all(Task<void> (*story)(World&)) {
    io::TaskScope scope;
    scope.spawn(server->run());
    scope.spawn(store->run());
    co_await story(*this);
    scope.cancel();
    co_await scope.join();
    co_await client->close();
  }

  std::unique_ptr<io::Ring> ring;
  test::TestCa ca;
  std::unique_ptr<test::FakeCa> service;
  std::unique_ptr<test::GrpcServer> server;
  std::unique_ptr<CaClient> client;
  std::unique_ptr<identity::CertificateView> view;
  std::unique_ptr<identity::CertificateStore> store;
  int published = 0;
  std::vector<std::string> log;
};

net::SpiffeId id(const char* service_account) {
  return *net::SpiffeId::make("cluster.local", "shop", service_account);
}

Task<void> issue_story(World& world) {
  REQUIRE(world.store->add_user(id("web")));
  REQUIRE(world.store->add_user(id("web")));
  // A worker may wait before the store has anything.
  const auto seen = co_await world.view->wait(id("web"), 5s);
  REQUIRE(seen);
  CHECK((*seen)->id == id("web"));
  CHECK((*seen)->client->role() == tls::Role::kClient);
  CHECK((*seen)->server->identity() == id("web"));
  CHECK((*seen)->roots.roots().size() == 1);
  CHECK(world.store->find(id("web")) == *seen);
  CHECK(world.service->asked_for ==
        std::vector<std::string>{"spiffe://cluster.local/ns/shop/sa/web"});
  CHECK(h2::find_header(world.service->calls.at(0), "authorization") == "Bearer t");

  const auto rows = world.store->list();
  REQUIRE(rows.size() == 1);
  CHECK(identity::certificate_state_name(rows[0].state) == "Available");
  CHECK(rows[0].users == 2);

  world.store->remove_user(id("web"));
  CHECK(world.view->find(id("web")));
  world.store->remove_user(id("web"));
  CHECK(!world.view->find(id("web")));
  CHECK(!world.store->find(id("web")));
  CHECK(world.store->list().empty());
  const auto none = co_await world.view->wait(id("web"), 5ms);
  CHECK(none.error().reason == Reason::kNoIdentity);
  // The burst is over: no connection is kept.
  const auto is_closed = [&] { return world.server->connections() == 0; };
  const bool closed = co_await eventually(*world.ring, is_closed);
  CHECK(closed);
}

TEST_CASE("a certificate comes with the first pod and goes with the last", "[ca]") {
  World world;
  world.run(issue_story);
}

Task<void> burst_story(World& world) {
  for (int i = 0; i < 20; ++i) {
    REQUIRE(world.store->add_user(id(("sa" + std::to_string(i)).c_str())));
  }
  const auto is_all = [&] { return world.published == 20; };
  const bool all = co_await eventually(*world.ring, is_all);
  CHECK(all);
  CHECK(world.service->asked_for.size() == 20);
  CHECK(world.server->accepted() < 20);
}

TEST_CASE("a node full of pods asks once for each, and shares connections", "[ca]") {
  World world;
  world.run(burst_story);
}

Task<void> bad_answers_story(World& world) {
  const auto leaf = [&](const char* uri, auto change) {
    test::LeafOptions options;
    options.uris = {uri};
    options.not_before = world.now() - 1min;
    options.not_after = world.now() + 1h;
    change(options);
    return world.ca.issue(options).chain.to_pem();
  };
  const auto as_it_is = [](test::LeafOptions&) {};
  const std::string root = world.ca.bundle().to_pem();
  const std::string other_root = test::TestCa("cluster.local").bundle().to_pem();
  const std::string web = "spiffe://cluster.local/ns/shop/sa/web";
  struct Row {
    const char* what;
    std::vector<std::string> answer;
    Reason reason;
  };
  const std::vector<Row> rows = {
      {"not our key", {leaf(web.c_str(), as_it_is), root}, Reason::kMalformed},
      {"another identity",
       {leaf("spiffe://cluster.local/ns/shop/sa/job", as_it_is), root},
       Reason::kWrongIdentity},
      {"no identity",
       {leaf(web.c_str(), [](test::LeafOptions& o) { o.uris.clear(); }), root},
       Reason::kWrongIdentity},
      {"nonsense", {"leaf", "root"}, Reason::kMalformed},
      {"no root", {root}, Reason::kMalformed},
      {"nothing", {}, Reason::kMalformed},
  };
  auto key = tls::PrivateKey::generate();
  REQUIRE(key);
  for (const Row& row : rows) {
    INFO(row.what);
    world.service->answer_with = row.answer;
    auto csr = key->signing_request(id("web"));
    auto issued = co_await world.client->issue(id("web"), *csr);
    if (!issued) {
      CHECK(issued.error().reason == row.reason);
      continue;
    }
    const auto made = identity::make_certificate(id("web"), *key, *issued, world.ring->wall_now());
    REQUIRE(!made);
    CHECK(made.error().reason == row.reason);
  }
  // A good leaf with the wrong root, and one that is over or not yet.
  world.service->answer_with.reset();
  auto csr = key->signing_request(id("web"));
  auto issued = co_await world.client->issue(id("web"), *csr);
  REQUIRE(issued);
  const auto make = [&](const identity::Issued& with, io::WallTime when) {
    return identity::make_certificate(id("web"), *key, with, when);
  };
  const io::WallTime now = world.ring->wall_now();
  CHECK(make(*issued, now).has_value());
  CHECK(make(*issued, now - 9s).has_value());  // our clock may be a little behind
  CHECK(make(*issued, now - 1h).error().reason == Reason::kExpired);
  CHECK(make(*issued, now + 25h).error().reason == Reason::kExpired);
  identity::Issued elsewhere = *issued;
  elsewhere.roots_pem = other_root;
  CHECK(make(elsewhere, now).error().reason == Reason::kUntrusted);
}

TEST_CASE("what a CA answers is checked before anybody speaks with it", "[ca]") {
  World world;
  world.run(bad_answers_story);
}

Task<void> refusal_story(World& world) {
  world.service->refuse_with =
      grpc::Status{grpc::StatusCode::kPermissionDenied, "no such pod on this node"};
  REQUIRE(world.store->add_user(id("web")));
  const auto is_refused = [&] { return world.store->counters().failures == 1; };
  const bool refused = co_await eventually(*world.ring, is_refused);
  REQUIRE(refused);
  const auto rows = world.store->list();
  CHECK(identity::certificate_state_name(rows.at(0).state) == "Unavailable");
  CHECK(rows.at(0).last_error == "denied during certificate request");
  CHECK(world.log.at(0).find("no such pod on this node") != std::string::npos);
  const auto nothing = co_await world.view->wait(id("web"), 5ms);
  CHECK(nothing.error().reason == Reason::kNoIdentity);
  CHECK(world.view->size() == 0);

  // A second later it is tried again.
  world.service->refuse_with.reset();
  const auto got = co_await world.view->wait(id("web"), 5s);
  CHECK(got);
}

TEST_CASE("a refused identity has no certificate, and is asked for again", "[ca]") {
  World world;
  world.run(refusal_story);
}

Task<void> silent_story(World& world) {
  world.service->silent = true;
  REQUIRE(world.store->add_user(id("web")));
  const auto is_failed = [&] { return world.store->counters().failures == 1; };
  const bool failed = co_await eventually(*world.ring, is_failed);
  CHECK(failed);
  CHECK(world.store->list().at(0).last_error.starts_with("timed_out"));
}

TEST_CASE("a silent CA costs the request's deadline", "[ca]") {
  World world;
  world.run(silent_story);
}

}  // namespace
}  // namespace mesh::xds
