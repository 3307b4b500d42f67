#include "waypoint/lane.h"

#include "mesh/io/timer.h"
#include "waypoint/dump.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

// A lane in the place of the world's own waypoint. What is for kTcpService it passes to `far`.
struct LaneBench {
  LaneBench() {
    auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
    endpoints->all.front().address = far.local_address();
    endpoints->all.front().transport = config::Endpoint::Transport::kPlain;
    world.cluster.inline_endpoints = std::move(endpoints);
    world.use();
    settings.pod_name = "waypoint-1";
    settings.pod_namespace = "shop";
    settings.service_account = "waypoint";
    settings.hbone = {far.local_address().ip, 0};
    lane.emplace(*world.ring, settings, world.kept, world.limiters, world.breakers, world.health,
                 Lane::Checks::kYes);
    REQUIRE(lane->listen());
    lane->use(world.context.snapshot);
    lane->use(hbone::test::id(kWaypoint), world.certificate);
  }

  World world;
  io::Listener far = io::test::make_listener(*world.ring);
  Settings settings;
  std::optional<Lane> lane;
  bool ended = false;
};

io::Task<void> serve(LaneBench& bench) {
  co_await bench.lane->run();
  bench.ended = true;
}

// A connection through the lane that neither side ends, and a lane that is to end.
io::Task<void> drain(LaneBench& bench, io::Duration grace) {
  io::Ring& ring = *bench.world.ring;
  io::TaskScope serving;
  serving.spawn(serve(bench));
  auto wire = co_await bench.world.call(kTcpService, bench.lane->address());
  REQUIRE(wire);
  const auto sent = co_await (*wire)->send_all(bytes("PING"));
  REQUIRE(sent);
  auto application = co_await bench.far.accept();
  REQUIRE(application);

  const io::TimePoint stopped = ring.now();
  bench.lane->stop(grace);
  const auto cut = co_await io::with_deadline(ring, 20s, "the end", (*wire)->recv());
  REQUIRE_FALSE(cut);
  CHECK(cut.error().reason != Reason::kTimedOut);
  CHECK(ring.now() - stopped >= grace);
  (*wire)->reset();
  const auto ended = [&] { return bench.ended; };
  co_await until(ring, ended);
  CHECK(bench.ended);
  serving.cancel();
  co_await serving.join();
}

TEST_CASE("a drain ends at its deadline what has not ended by itself") {
  LaneBench bench;
  bench.world.run(drain(bench, 200ms));
}

// Policies that are only tried, each for one path.
config::RbacFilter tried(const char* path, const char* prefix) {
  config::RbacNode to{.kind = config::RbacNode::Kind::kUrlPath};
  to.text = config::StringMatch::exact(path);
  config::RbacPolicy policy{
      .name = "tried", .permissions = {to}, .principals = {{.kind = config::RbacNode::Kind::kAny}}};
  config::RbacFilter filter;
  filter.shadow =
      config::RbacRules{.action = config::RbacRules::Action::kAllow, .policies = {policy}};
  filter.shadow_prefix = prefix;
  return filter;
}

io::Task<void> expect_served(World& world) {
  for (const char* path : {"/a", "/x"}) {
    const Answer answer = co_await ask(world, {.method = "GET", .path = path, .headers = {}});
    CHECK(answer.status == 200);
  }
}

TEST_CASE("a policy that is only tried decides nothing, and what it would have said is counted") {
  World world;
  world.application.handler.serve = wire::test::echo;
  for (const auto& filter :
       {tried("/a", "istio_dry_run_allow_"), tried("/b", "istio_dry_run_allow_"),
        tried("/c", "istio_ext_authz_")}) {
    world.chain.filters.push_back({.name = "rbac", .settings = filter});
  }
  world.use();
  world.run(expect_served(world));
  std::vector<Lane::Report> reports(2);
  for (Lane::Report& report : reports) report.dry_runs = world.context.dry_runs;
  const std::string lines = dump_stats(reports, *world.context.snapshot, true);
  CHECK(lines.contains("rbac.shadow_allowed: 2\n"));
  CHECK(lines.contains("rbac.shadow_denied: 6\n"));
}

}  // namespace
}  // namespace mesh::waypoint::test
