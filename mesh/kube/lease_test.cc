#include "mesh/kube/lease.h"

#include <catch2/catch_test_macros.hpp>

#include <map>

namespace mesh::kube {
namespace {

using std::chrono::seconds;

// An API server with one Lease in it, as much of it as matters here.
struct Server {
  bool there = false;
  std::string holder;
  unsigned version = 0, duration = 15, transitions = 0;
  int fail = 0;  // answer with this status instead

  std::expected<std::string, Status> answer(const HttpRequest& request) {
    if (fail != 0) return refuse(fail, "Failing");
    if (request.method == "GET" && !there) return refuse(404, "NotFound");
    if (request.method == "GET") return text();
    if (request.method == "POST" && there) return refuse(409, "AlreadyExists");
    const std::string precondition = "\"resourceVersion\":\"" + std::to_string(version) + "\"";
    if (request.method == "PATCH" && request.body.find(precondition) == std::string::npos) {
      return refuse(409, "Conflict");
    }
    there = true;
    ++version;
    holder = after(request.body, "\"holderIdentity\":\"");
    duration = request.body.find("\"leaseDurationSeconds\":15") != std::string::npos ? 15 : 1;
    if (request.body.find("leaseTransitions") != std::string::npos) ++transitions;
    return text();
  }
  std::string text() const {
    return R"({"metadata":{"resourceVersion":")" + std::to_string(version) +
           R"("},"spec":{"holderIdentity":")" + holder + R"(","leaseDurationSeconds":)" +
           std::to_string(duration) + R"(,"renewTime":"1999-01-01T00:00:00.000000Z"}})";
  }
  static std::string after(const std::string& body, const std::string& key) {
    const auto at = body.find(key) + key.size();
    return body.substr(at, body.find('"', at) - at);
  }
  static std::unexpected<Status> refuse(int code, const char* reason) {
    return std::unexpected(
        Status{.code = code, .reason = reason, .message = "no", .retry_after_seconds = {}});
  }
};

struct Replica {
  Server& server;
  Lease lease;
  explicit Replica(Server& to, const char* name)
      : server(to), lease({.ns = "weft-system", .name = "weft-control", .identity = name}) {}

  // Everything that it asks at `now`, answered at once.
  void turn(Lease::Time now) {
    for (int i = 0; i < 10; ++i) {
      const auto request = lease.next(now, 0);
      if (!request) return;
      lease.answer(server.answer(*request), now);
    }
    FAIL("asks without end");
  }
};

const Lease::Time kStart{seconds(1000)};

TEST_CASE("one of two replicas gets the lease, and keeps it by renewing") {
  Server server;
  Replica a(server, "a"), b(server, "b");
  for (int second = 0; second < 120; ++second) {
    const Lease::Time now = kStart + seconds(second);
    a.turn(now);
    b.turn(now);
    CHECK(a.lease.held(now));
    CHECK_FALSE(b.lease.held(now));
  }
  CHECK(b.lease.holder() == "a");
  CHECK(server.transitions == 1);
}

TEST_CASE("a lease that is not renewed is taken over, never held by two at once") {
  Server server;
  Replica a(server, "a"), b(server, "b");
  a.turn(kStart);
  int taken_at = -1;
  for (int second = 0; second < 60; ++second) {
    const Lease::Time now = kStart + seconds(second);
    b.turn(now);
    CHECK_FALSE((a.lease.held(now) && b.lease.held(now)));
    if (b.lease.held(now) && taken_at < 0) taken_at = second;
  }
  CHECK(taken_at >= 15);
  CHECK(taken_at <= 18);
  // The first one comes back, and sees it.
  a.turn(kStart + seconds(60));
  CHECK_FALSE(a.lease.held(kStart + seconds(60)));
}

TEST_CASE("the clock of who wrote a lease does not matter") {
  Server server;
  server.there = true;
  server.holder = "dead";
  server.version = 7;  // its renewTime is years ago
  Replica a(server, "a");
  a.turn(kStart);
  a.turn(kStart + seconds(14));
  CHECK_FALSE(a.lease.held(kStart + seconds(14)));
  a.turn(kStart + seconds(16));
  CHECK(a.lease.held(kStart + seconds(16)));
}

TEST_CASE("a holder that cannot reach the server counts itself out before others may take it") {
  Server server;
  Replica a(server, "a");
  a.turn(kStart);
  server.fail = 500;
  for (int second = 1; second < 20; ++second) {
    const Lease::Time now = kStart + seconds(second);
    a.turn(now);
    CHECK(a.lease.held(now) == (second < 10));
  }
  CHECK(a.lease.problem().find("leases.coordination.k8s.io weft-system/weft-control") !=
        std::string::npos);
  CHECK(a.lease.failures() > 3);
}

TEST_CASE("what counts is when it was asked, not when the answer came") {
  Server server;
  Replica a(server, "a");
  a.turn(kStart);
  const auto request = a.lease.next(kStart + seconds(2), 0);
  REQUIRE(request);
  CHECK(request->timeout == seconds(10));
  a.lease.answer(server.answer(*request), kStart + seconds(9));
  CHECK(a.lease.held(kStart + seconds(11)));
  CHECK_FALSE(a.lease.held(kStart + seconds(12)));
}

TEST_CASE("a lease that was given back is taken at the next look") {
  Server server;
  Replica a(server, "a"), b(server, "b");
  a.turn(kStart);
  b.turn(kStart);
  const auto release = a.lease.release();
  REQUIRE(release);
  CHECK_FALSE(a.lease.held(kStart));
  REQUIRE(server.answer(*release));
  b.turn(kStart + seconds(2));
  CHECK(b.lease.held(kStart + seconds(2)));
  CHECK_FALSE(a.lease.next(kStart + seconds(60), 0));
}

TEST_CASE("a verb that RBAC withholds is named, and asked for no oftener than the retry") {
  Server server;
  server.fail = 403;
  Replica a(server, "a");
  a.turn(kStart);
  CHECK_FALSE(a.lease.held(kStart));
  CHECK(a.lease.problem().starts_with("get leases"));
  CHECK_FALSE(a.lease.next(kStart + seconds(1), 0));
  CHECK(a.lease.next(kStart + seconds(2), 0));
}

TEST_CASE("an answer that is no Lease gives nothing") {
  Server server;
  Replica a(server, "a");
  REQUIRE(a.lease.next(kStart, 0));
  a.lease.answer("[]", kStart);
  CHECK_FALSE(a.lease.held(kStart));
  CHECK(a.lease.problem().find("not a Lease") != std::string::npos);
}

}  // namespace
}  // namespace mesh::kube
