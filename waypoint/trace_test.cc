// Spans, from a request to a collector.

#include <catch2/catch_test_macros.hpp>

#include "waypoint/test_world.h"
#include "waypoint/tracer.h"

namespace mesh::waypoint::test {
namespace {

// An application that is a collector too, by path.
struct Traced {
  World world;
  std::vector<std::string> exported;      // bodies
  std::vector<std::string> traceparents;  // as the application saw them
  int collector_status = 200;

  explicit Traced(bool http) {
    config::Tracing tracing{.random_sampling = 100, .cluster = "cart", .service_name = "waypoint"};
    tracing.http = http;
    tracing.http_path = "http://collector:4318/v1/traces";
    tracing.literal_tags = {{"istio.mesh_id", "cluster.local"}};
    tracing.header_tags = {
        {"tenant", "x-tenant"}, {"plan", "x-plan", "by-default"}, {"place", ":path", "nowhere"}};
    world.chain.tracing = tracing;
    world.route.operation = "web.shop:80/*";
    if (!http) {
      world.application.version = wire::Version::kHttp2;
      world.cluster.http.version = config::Http::Version::kHttp2;
    }
    world.application.handler.serve = [this](wire::ServerStream& stream) -> io::Task<void> {
      const http::Request request = stream.take_request();
      const std::string body = co_await wire::test::read_all(stream);
      if (request.path == "/v1/traces" || request.path.ends_with("TraceService/Export")) {
        exported.push_back(body);
        co_await answer_export(stream, request.path.ends_with("Export"));
      } else {
        traceparents.emplace_back(http::header_text(request.headers, "traceparent").text());
        (void)co_await stream.respond({.status = 200, .headers = {}}, true);
      }
    };
    world.use();
  }
  io::Task<void> answer_export(wire::ServerStream& stream, bool grpc) {
    if (!grpc) {
      (void)co_await stream.respond({.status = collector_status, .headers = {}}, true);
      co_return;
    }
    const auto done = co_await stream.respond(
        {.status = 200, .headers = {{"content-type", "application/grpc"}}}, false);
    if (done) (void)co_await stream.write(bytes(std::string("\0\0\0\0\0", 5)));
    (void)co_await stream.finish({{"grpc-status", "0"}});
  }
  io::Task<void> story(http::Request request, int count, Answer& answer) {
    for (int i = 0; i < count; ++i) answer = co_await ask(world, request);
    co_await world.tracer.flush(std::chrono::seconds(5));
  }
  Answer run(http::Request request, int count = 1) {
    Answer answer;
    world.run(story(std::move(request), count, answer));
    return answer;
  }
};

constexpr const char* kTrace = "0af7651916cd43dd8448eb211c80319c";

TEST_CASE("a request is a span of its caller's trace, and the application's parent") {
  for (const bool http : {true, false}) {
    Traced traced(http);
    const Answer answer = traced.run(
        {.path = "/a",
         .headers = {{"b3", std::string(kTrace) + "-b7ad6b7169203331-1"}, {"x-tenant", "blue"}}});
    CHECK(answer.status == 200);
    REQUIRE(traced.traceparents.size() == 1);
    const auto seen = tracing::parse_traceparent(traced.traceparents[0]);
    REQUIRE(seen.has_value());
    CHECK(seen->trace.text() == kTrace);
    CHECK(seen->span != 0xb7ad6b7169203331);
    CHECK(seen->sampled == true);
    REQUIRE(traced.exported.size() == 1);
    for (const char* said :
         {"web.shop:80/*", "http.method", "istio.mesh_id", "cluster.local", "tenant", "blue",
          "istio.source_namespace", "istio.destination_workload", "cart-1", "weft-waypoint", "plan",
          "by-default"}) {
      INFO(said);
      CHECK(traced.exported[0].contains(said));
    }
    CHECK_FALSE(traced.exported[0].contains("nowhere"));
    CHECK(traced.world.tracer.counts().exported == 1);
    CHECK(traced.world.tracer.counts().dropped == 0);
  }
}

TEST_CASE("a span has as much of a path as is asked for") {
  Traced traced(true);
  traced.world.chain.tracing->header_tags.clear();
  traced.world.chain.tracing->max_path = 3;
  traced.world.use();
  CHECK(traced.run({.path = "/abcdef"}).status == 200);
  REQUIRE(traced.exported.size() == 1);
  CHECK(traced.exported[0].contains("/ab"));
  CHECK_FALSE(traced.exported[0].contains("/abc"));
}

TEST_CASE("what is not sampled is passed on and not exported") {
  Traced traced(true);
  const std::string parent = std::string("00-") + kTrace + "-b7ad6b7169203331-00";
  CHECK(traced.run({.headers = {{"traceparent", parent}}}).status == 200);
  REQUIRE(traced.traceparents.size() == 1);
  CHECK(traced.traceparents[0].starts_with(std::string("00-") + kTrace));
  CHECK(traced.traceparents[0].ends_with("-00"));
  CHECK(traced.exported.empty());
}

TEST_CASE("without a collector headers pass as they are") {
  Traced traced(true);
  traced.world.chain.tracing->cluster.clear();
  traced.world.use();
  CHECK(traced.run({.headers = {{"traceparent", "whatever"}}}).status == 200);
  CHECK(traced.traceparents == std::vector<std::string>{"whatever"});
}

TEST_CASE("a collector that refuses, or is not there, costs spans and no request") {
  for (const bool there : {true, false}) {
    Traced traced(true);
    traced.collector_status = 503;
    if (!there) traced.world.chain.tracing->cluster = "nobody";
    traced.world.use();
    CHECK(traced.run({}, 3).status == 200);
    CHECK(traced.exported.size() == (there ? 1 : 0));
    CHECK(traced.world.tracer.counts().dropped == 3);
  }
}

TEST_CASE("spans go in batches, and what does not fit is dropped and counted") {
  Traced traced(true);
  auto chain = std::make_shared<config::Chain>();
  chain->http = traced.world.chain;
  struct Story {
    static io::Task<void> tell(Traced& traced, config::ChainPtr chain) {
      for (std::size_t i = 0; i < Tracer::kQueueMax + 5; ++i) {
        traced.world.tracer.finished(chain, {.span = {.trace = {.low = 1}, .id = i + 1}});
      }
      CHECK(traced.world.tracer.counts().dropped == 5);
      co_await traced.world.tracer.flush(std::chrono::seconds(10));
    }
  };
  traced.world.run(Story::tell(traced, chain));
  CHECK(traced.exported.size() == Tracer::kQueueMax / Tracer::kBatchMax);
  CHECK(traced.world.tracer.counts().exported == Tracer::kQueueMax);
  traced.world.tracer.finished(chain, {.name = std::string(Tracer::kQueueBytesMax, 'x')});
  CHECK(traced.world.tracer.counts().dropped == 6);
}

TEST_CASE("spans do not wait for long", "[time]") {
  Traced traced(true);
  struct Story {
    static io::Task<void> tell(Traced& traced) {
      io::TaskScope running;
      running.spawn(traced.world.tracer.run());
      const Answer answer = co_await ask(traced.world, {});
      CHECK(answer.status == 200);
      const io::TimePoint begun = traced.world.ring->now();
      const auto exported = [&] { return traced.exported.size() == 1; };
      co_await until(*traced.world.ring, exported);
      CHECK(traced.exported.size() == 1);
      CHECK(traced.world.ring->now() - begun <= 2 * Tracer::kFlushEvery);
      running.cancel();
      co_await running.join();
    }
  };
  traced.world.run(Story::tell(traced));
}

}  // namespace
}  // namespace mesh::waypoint::test
