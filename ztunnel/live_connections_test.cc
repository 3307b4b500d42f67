#include "ztunnel/live_connections.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::ztunnel {
namespace {

TEST_CASE("connections are listed while they live") {
  LiveConnections live;
  LiveConnection a(Direction::kInbound), c(Direction::kOutbound);
  live.add(a);
  {
    LiveConnection b(Direction::kInbound);
    live.add(b);
    live.add(c);
    CHECK(live.size() == 3);
  }
  CHECK(live.size() == 2);
  int seen = 0;
  live.for_each([&](LiveConnection& one) { seen += &one == &a || &one == &c ? 1 : 100; });
  CHECK(seen == 2);
  live.remove(a);
  live.remove(a);
  CHECK(live.size() == 1);
}

TEST_CASE("a connection that is ended remembers the first reason") {
  LiveConnection one(Direction::kInbound);
  io::CancelScope scope;
  one.scope = &scope;
  one.end(Reason::kPolicyChanged, "shop/deny-web");
  one.end(Reason::kDraining);
  CHECK(scope.requested());
  CHECK(one.ended_for == Reason::kPolicyChanged);
  CHECK(one.ended_by_policy == "shop/deny-web");
}

}  // namespace
}  // namespace mesh::ztunnel
