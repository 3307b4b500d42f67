// Active health checks through real tunnels: who is asked, what an answer changes, and who gets
// requests then.

#include "waypoint/health/checks.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "mesh/grpc/framing.h"
#include "waypoint/health/message.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;
using Kind = config::HealthCheck::Kind;

config::HealthCheck quick(Kind kind) {
  config::HealthCheck check;
  check.kind = kind;
  check.path = "/healthz";
  check.timeout = 500ms;
  check.interval = check.unhealthy_interval = check.no_traffic_interval = 20ms;
  check.unhealthy_edge_interval = check.healthy_edge_interval = 20ms;
  check.no_traffic_healthy_interval = 20ms;
  check.healthy_threshold = check.unhealthy_threshold = 2;
  return check;
}

// Answers checks with `health`, and everything else with 200.
struct Pulse {
  int health = 200;
  h2::Headers headers = {};
  std::string service = {}, user_agent = {}, authority = {}, path = {};
  std::size_t checks = 0, others = 0;

  io::Task<void> serve(wire::ServerStream& stream) {
    const http::Request request = stream.take_request();
    if (request.path != "/healthz") {
      ++others;
      (void)co_await stream.respond({.status = 200, .headers = {}}, true);
      co_return;
    }
    ++checks;
    path = request.path;
    authority = request.authority;
    user_agent = http::header_text(request.headers, "user-agent").text();
    (void)co_await stream.respond({.status = health, .headers = headers}, true);
  }
};

struct Checked {
  World world;
  HealthChecks checks{world.context, world.health};
  std::map<std::uint16_t, Pulse> pulses;

  Checked(config::HealthCheck how, std::vector<std::uint16_t> ports) {
    world.cluster.health_check = std::move(how);
    world.cluster.balancing.panic_threshold = 0;
    have(std::move(ports));
  }
  void have(std::vector<std::uint16_t> ports) {
    for (const std::uint16_t port : ports) {
      Pulse& pulse = pulses[port];
      world.application.at[port] = [&pulse](wire::ServerStream& stream) {
        return pulse.serve(stream);
      };
    }
    world.cluster.inline_endpoints = world.endpoints({{.ports = std::move(ports)}});
    use();
  }
  void use() {
    world.use();
    checks.prepare(*world.context.snapshot);
  }
  balance::Standing standing(std::uint16_t port) {
    const auto& cluster = *world.context.snapshot->cluster("cart");
    (void)world.fleet.pick(*world.context.snapshot, cluster, {});
    for (const Fleet::Row& row : world.fleet.rows()) {
      for (std::uint32_t host = 0; host < row.hosts->size(); ++host) {
        if (row.hosts->endpoint(host).address.port == port) return row.hosts->standing(host);
      }
    }
    return balance::Standing::kUnhealthy;
  }
  io::Task<bool> becomes(std::uint16_t port, balance::Standing wanted) {
    const auto is_so = [&] { return standing(port) == wanted; };
    co_await until(*world.ring, is_so);
    co_return is_so();
  }
  void run(std::function<io::Task<void>(Checked&)> story) { world.run(tell(std::move(story))); }
  io::Task<void> tell(std::function<io::Task<void>(Checked&)> story) {
    co_await story(*this);
    co_await checks.close();
  }
};

using balance::Standing;

// Ten requests; who answered them.
io::Task<std::map<std::uint16_t, int>> ten(Checked& it) {
  it.world.application.requests.clear();
  for (auto& [port, pulse] : it.pulses) pulse.others = 0;
  for (int i = 0; i < 10; ++i) (void)co_await ask(it.world, {});
  std::map<std::uint16_t, int> by;
  for (const auto& [port, pulse] : it.pulses) {
    if (pulse.others > 0) by[port] = static_cast<int>(pulse.others);
  }
  co_return by;
}

TEST_CASE("a host that fails its checks gets no requests, and gets them again when it passes") {
  Checked checked(quick(Kind::kHttp), {9001, 9002});
  checked.run([](Checked& it) -> io::Task<void> {
    // Before anybody was checked there is somebody to ask.
    const Answer first = co_await ask(it.world, {});
    CHECK(first.status == 200);
    for (const std::uint16_t port : {9001, 9002}) {
      const bool well = co_await it.becomes(port, Standing::kHealthy);
      CHECK(well);
    }
    CHECK(it.pulses[9001].user_agent == "Envoy/HC");
    CHECK(it.pulses[9001].authority == "cart");
    it.pulses[9001].health = 503;
    bool now = co_await it.becomes(9001, Standing::kUnhealthy);
    CHECK(now);
    auto by = co_await ten(it);
    CHECK(by == std::map<std::uint16_t, int>{{9002, 10}});
    it.pulses[9001].health = 200;
    now = co_await it.becomes(9001, Standing::kHealthy);
    CHECK(now);
    by = co_await ten(it);
    CHECK(by.size() == 2);
  });
  CHECK(checked.checks.counts().passed > 0);
  CHECK(checked.checks.counts().failed > 0);
}

TEST_CASE("a host that comes later counts once it has passed") {
  Checked checked(quick(Kind::kHttp), {9001});
  checked.run([](Checked& it) -> io::Task<void> {
    bool now = co_await it.becomes(9001, Standing::kHealthy);
    it.pulses[9002].health = 500;
    it.have({9001, 9002});
    CHECK(it.standing(9002) == Standing::kUnhealthy);
    const auto checked_twice = [&] { return it.pulses[9002].checks >= 2; };
    co_await until(*it.world.ring, checked_twice);
    CHECK(it.standing(9002) == Standing::kUnhealthy);
    it.pulses[9002].health = 200;
    now = co_await it.becomes(9002, Standing::kHealthy);
    CHECK(now);
    // And who goes is asked no more.
    it.have({9002});
    const std::size_t before = it.pulses[9001].checks;
    const std::size_t others = it.pulses[9002].checks;
    const auto others_went_on = [&] { return it.pulses[9002].checks >= others + 3; };
    co_await until(*it.world.ring, others_went_on);
    CHECK(it.pulses[9001].checks <= before + 1);
  });
}

TEST_CASE("nobody answers: nobody is asked, and when checks are turned off everybody is") {
  Checked checked(quick(Kind::kHttp), {9001});
  checked.world.application.down = {9001};
  checked.run([](Checked& it) -> io::Task<void> {
    bool now = co_await it.becomes(9001, Standing::kUnhealthy);
    CHECK(now);
    it.world.application.down.clear();
    it.pulses[9001].health = 500;
    const Answer none = co_await ask(it.world, {});
    CHECK(none.status == 503);
    CHECK(it.world.kept.last().flags.to_string() == "UH");
    it.world.cluster.health_check.reset();
    it.use();
    const Answer one = co_await ask(it.world, {});
    CHECK(one.status == 200);
    CHECK(it.checks.counts().hosts == 0);
  });
}

TEST_CASE("a host that would rather not is asked after the others") {
  Checked checked(quick(Kind::kHttp), {9001, 9002});
  checked.pulses[9001].headers = {{"x-envoy-degraded", "1"}};
  checked.run([](Checked& it) -> io::Task<void> {
    bool now = co_await it.becomes(9001, Standing::kDegraded);
    CHECK(now);
    now = co_await it.becomes(9002, Standing::kHealthy);
    CHECK(now);
    it.pulses[9001].headers = {{"x-envoy-immediate-health-check-fail", "1"}};
    now = co_await it.becomes(9001, Standing::kUnhealthy);
    CHECK(now);
  });
}

TEST_CASE("what is asked is what the configuration says, over HTTP/2 too") {
  for (const bool http2 : {false, true}) {
    config::HealthCheck how = quick(Kind::kHttp);
    how.http2 = http2;
    how.host = "check.example";
    how.headers = {{"x-check", "1"}};
    how.removed_headers = {"user-agent"};
    how.expected = {{204, 205}};
    Checked checked(how, {9001});
    checked.world.application.version = http2 ? wire::Version::kHttp2 : wire::Version::kHttp1;
    checked.pulses[9001].health = 204;
    checked.run([](Checked& it) -> io::Task<void> {
      const auto asked = [&] { return it.pulses[9001].checks >= 2; };
      co_await until(*it.world.ring, asked);
      CHECK(it.standing(9001) == Standing::kHealthy);
      CHECK(it.pulses[9001].authority == "check.example");
      CHECK(it.pulses[9001].user_agent.empty());
      it.pulses[9001].health = 200;
      const bool now = co_await it.becomes(9001, Standing::kUnhealthy);
      CHECK(now);
    });
  }
}

TEST_CASE("checks keep to connections of their own, or take a new one each") {
  for (const bool reuse : {true, false}) {
    config::HealthCheck how = quick(Kind::kHttp);
    how.reuse_connection = reuse;
    Checked checked(how, {9001});
    checked.run([](Checked& it) -> io::Task<void> {
      const auto asked = [&] { return it.pulses[9001].checks >= 4; };
      co_await until(*it.world.ring, asked);
    });
    const std::size_t connections = checked.world.application.asked.size();
    if (reuse) CHECK(connections == 1);
    if (!reuse) CHECK(connections >= 4);
  }
}

// ---- gRPC ----

struct Health {
  int serving = 1, grpc_status = 0;
  std::string asked;
  io::Task<void> serve(wire::ServerStream& stream) {
    const http::Request request = stream.take_request();
    const std::string body = co_await wire::test::read_all(stream);
    if (request.path != "/grpc.health.v1.Health/Check") {
      (void)co_await stream.respond({.status = 404, .headers = {}}, true);
      co_return;
    }
    asked = body.size() > 5 ? body.substr(5) : "";
    wire::Response response{.status = 200, .headers = {{"content-type", "application/grpc"}}};
    const auto answered = co_await stream.respond(std::move(response), false);
    if (!answered) co_return;
    if (grpc_status == 0) {
      const std::string message =
          grpc::frame_message({"\x08" + std::string(1, static_cast<char>(serving))});
      (void)co_await stream.write(bytes(message));
    }
    (void)co_await stream.finish({{"grpc-status", std::to_string(grpc_status)}});
  }
};

TEST_CASE(
    "gRPC: a service that serves is well; one that does not, or knows no such service, is not") {
  config::HealthCheck how = quick(Kind::kGrpc);
  how.grpc_service = "cart.Cart";
  Health health;
  Checked checked(how, {9001});
  checked.world.application.version = wire::Version::kHttp2;
  checked.world.application.at[9001] = [&](wire::ServerStream& stream) {
    return health.serve(stream);
  };
  checked.run([&health](Checked& it) -> io::Task<void> {
    const auto asked = [&] { return !health.asked.empty(); };
    co_await until(*it.world.ring, asked);
    CHECK(health.asked == health::encode_check("cart.Cart"));
    bool now = co_await it.becomes(9001, Standing::kHealthy);
    CHECK(now);
    health.serving = 2;
    now = co_await it.becomes(9001, Standing::kUnhealthy);
    CHECK(now);
    health.serving = 1;
    now = co_await it.becomes(9001, Standing::kHealthy);
    CHECK(now);
    health.grpc_status = 5;
    now = co_await it.becomes(9001, Standing::kUnhealthy);
    CHECK(now);
  });
}

// ---- TCP ----

TEST_CASE("TCP: who listens is well; who is asked must say what it should, in that order") {
  const struct {
    std::string send;
    std::vector<std::string> receive;
    std::string says;
    bool well;
  } rows[] = {
      {"", {}, "", true},
      {"PING", {"PONG"}, "+PONG\r\n", true},
      {"PING", {"PONG"}, "+PANG\r\n", false},
      {"PING", {"a", "b"}, "xaxbx", true},
      {"PING", {"a", "b"}, "ba", false},
      {"PING", {"PONG"}, "", false},
  };
  for (const auto& row : rows) {
    config::HealthCheck how = quick(Kind::kTcp);
    how.send = row.send;
    how.receive = row.receive;
    Checked checked(how, {9001});
    std::string heard;
    checked.world.application.raw = [&](wire::Wire& wire) -> io::Task<void> {
      const auto got = co_await wire.recv();
      if (got) heard = text(got->bytes());
      if (!row.says.empty()) (void)co_await wire.send_all(bytes(row.says));
      (void)wire.finish_sending();
      (void)co_await wire.recv();  // the other end has heard it
    };
    INFO(row.send << " " << row.says);
    const std::uint64_t& wanted =
        row.well ? checked.checks.counts().passed : checked.checks.counts().failed;
    checked.run([&](Checked& it) -> io::Task<void> {
      const auto told = [&] { return wanted >= 2; };
      co_await until(*it.world.ring, told);
      CHECK(it.standing(9001) == (row.well ? Standing::kHealthy : Standing::kUnhealthy));
    });
    CHECK((row.well ? checked.checks.counts().failed : checked.checks.counts().passed) == 0);
    CHECK(heard == row.send);
  }
}

TEST_CASE("TCP: nobody listens, or nobody answers in time") {
  for (const bool refused : {true, false}) {
    config::HealthCheck how = quick(Kind::kTcp);
    how.timeout = 50ms;
    how.send = "PING";
    how.receive = {"PONG"};
    Checked checked(how, {9001});
    if (refused) checked.world.application.down = {9001};
    checked.world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
      while (true) {
        const auto got = co_await wire.recv();
        if (!got || got->empty()) co_return;
      }
    };
    checked.run([](Checked& it) -> io::Task<void> {
      const bool now = co_await it.becomes(9001, Standing::kUnhealthy);
      CHECK(now);
    });
  }
}

// ---- together with outlier detection ----

TEST_CASE("an outlier that passes a check comes back before its time") {
  Checked checked(quick(Kind::kHttp), {9001, 9002});
  config::OutlierDetection outlier;
  outlier.consecutive_5xx = 1;
  outlier.base_ejection = std::chrono::hours(1);
  outlier.max_ejection_percent = 100;
  checked.world.cluster.outlier = outlier;
  checked.use();
  checked.run([](Checked& it) -> io::Task<void> {
    bool now = co_await it.becomes(9001, Standing::kHealthy);
    now = co_await it.becomes(9002, Standing::kHealthy);
    const auto& cluster = *it.world.context.snapshot->cluster("cart");
    auto picked = it.world.fleet.pick(*it.world.context.snapshot, cluster, {});
    REQUIRE(picked.has_value());
    const std::uint16_t port = picked->endpoint.address.port;
    it.world.fleet.finished(cluster, *picked, balance::HostResult::kServerError, std::nullopt);
    CHECK(it.world.fleet.ejections() == 1);
    CHECK(it.standing(port) == Standing::kUnhealthy);
    now = co_await it.becomes(port, Standing::kHealthy);
    CHECK(now);
  });
}

TEST_CASE("more hosts than may be checked are used unchecked, and counted") {
  World world;
  HealthChecks checks(world.context, world.health);
  world.cluster.health_check = quick(Kind::kHttp);
  world.cluster.health_check->initial_jitter = std::chrono::hours(1);
  auto many = std::make_shared<config::Endpoints>();
  for (std::size_t i = 0; i < HealthChecks::kHostsMax + 5; ++i) {
    config::Endpoint one;
    one.hostname = "host-" + std::to_string(i);
    one.health = config::Endpoint::Health::kHealthy;
    many->all.push_back(one);
  }
  many->groups.push_back({.count = static_cast<std::uint32_t>(many->all.size())});
  many->priorities = 1;
  world.cluster.inline_endpoints = many;
  world.use();
  world.run([](World& of, HealthChecks& those) -> io::Task<void> {
    those.prepare(*of.context.snapshot);
    CHECK(those.counts().hosts == HealthChecks::kHostsMax);
    CHECK(those.counts().unchecked == 5);
    co_await those.close();
  }(world, checks));
}

}  // namespace
}  // namespace mesh::waypoint::test
