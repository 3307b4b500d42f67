// Requests that are copied to mirrors.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "waypoint/mirrors.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

// Keeps what was asked: "METHOD authority path body".
struct Copied {
  World world;
  std::vector<std::string> seen;
  io::Event never{*world.ring};
  bool shadows_hang = false;

  Copied() {
    world.application.handler.serve = [this](wire::ServerStream& stream) -> io::Task<void> {
      const http::Request request = stream.take_request();
      const std::string body = co_await wire::test::read_all(stream);
      seen.push_back(request.method + " " + request.authority + " " + request.path + " " +
                     std::to_string(body.size()));
      if (shadows_hang && request.authority.contains("shadow")) (void)co_await never.wait();
      (void)co_await stream.respond({.status = 200, .headers = {}}, true);
    };
    world.forward.mirrors = {{.cluster = "cart"}};
  }
  // One request, and then whatever else comes of it.
  io::Task<void> story(std::string body, std::size_t expected, Answer& answer) {
    answer = co_await ask(world, {.method = "POST", .authority = "cart:80", .path = "/a"},
                          std::move(body));
    const auto all = [&] { return seen.size() >= expected; };
    co_await until(*world.ring, all);
  }
  Answer run(std::string body, std::size_t expected) {
    world.use();
    Answer answer;
    world.run(story(std::move(body), expected, answer));
    std::ranges::sort(seen);
    return answer;
  }
  const Mirrors::Counts& counts() { return world.mirrors.counts(); }
};

TEST_CASE("a mirror gets a copy under another name, and the answer is the endpoint's") {
  Copied copied;
  CHECK(copied.run("hello", 2).status == 200);
  CHECK(copied.seen == std::vector<std::string>{"POST cart-shadow:80 /a 5", "POST cart:80 /a 5"});
  CHECK(copied.world.kept.records.size() == 1);
}

TEST_CASE("a mirror's name is as the route wants it, and its path as the endpoint sees it") {
  Copied copied;
  copied.world.forward.mirrors = {{.cluster = "cart", .append_shadow = false},
                                  {.cluster = "cart", .host_rewrite = "other"}};
  copied.world.forward.prefix_rewrite = "/new/";
  CHECK(copied.run("", 3).status == 200);
  CHECK(copied.seen == std::vector<std::string>{"POST cart:80 /new/a 0", "POST cart:80 /new/a 0",
                                                "POST other /new/a 0"});
}

TEST_CASE("a mirror that fails, hangs, or gets too much changes nothing") {
  const struct {
    const char* what;
    void (*change)(Copied&);
    std::size_t body, seen, dropped, failed;
  } rows[] = {
      {"no such cluster", [](Copied& c) { c.world.forward.mirrors[0].cluster = "nobody"; }, 5, 1, 0,
       1},
      {"never answers", [](Copied& c) { c.shadows_hang = true; }, 5, 2, 0, 1},
      {"a body that is not kept", [](Copied&) {}, 70'000, 1, 1, 0},
      {"none asked for", [](Copied& c) { c.world.forward.mirrors[0].fraction.numerator = 0; }, 5, 1,
       0, 0},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    Copied copied;
    row.change(copied);
    CHECK(copied.run(std::string(row.body, 'x'), row.seen).status == 200);
    CHECK(copied.seen.size() == row.seen);
    CHECK(copied.counts().dropped == row.dropped);
    CHECK(copied.counts().failed == row.failed);
  }
}

TEST_CASE("copies under way are limited") {
  Copied copied;
  copied.shadows_hang = true;
  copied.world.use();
  struct Story {
    static io::Task<void> tell(Copied& copied) {
      for (std::size_t i = 0; i < Mirrors::kUnderWayMax + 3; ++i) {
        const Answer answer = co_await ask(copied.world, {});
        CHECK(answer.status == 200);
      }
    }
  };
  copied.world.run(Story::tell(copied));
  CHECK(copied.counts().dropped == 3);
}

TEST_CASE("a shadow's name keeps its port") {
  CHECK(shadow_of("a.b") == "a.b-shadow");
  CHECK(shadow_of("a.b:80") == "a.b-shadow:80");
  CHECK(shadow_of("[fd00::1]") == "[fd00::1]-shadow");
  CHECK(shadow_of("[fd00::1]:80") == "[fd00::1]-shadow:80");
}

}  // namespace
}  // namespace mesh::waypoint::test
