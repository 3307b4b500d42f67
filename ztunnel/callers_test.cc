#include "ztunnel/callers.h"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

namespace mesh::ztunnel {
namespace {

net::SpiffeId id(const std::string& account) {
  return net::SpiffeId::make("cluster.local", "shop", account).value();
}

TEST_CASE("connections of one identity share who calls, those of another do not") {
  Callers callers;
  const auto web = callers.of(id("web"));
  CHECK(web->principal() == "cluster.local/ns/shop/sa/web");
  CHECK(callers.of(id("web")) == web);
  CHECK(callers.of(id("cart")) != web);
}

TEST_CASE("callers that are gone are forgotten, those that stay are not") {
  Callers callers;
  const auto stays = callers.of(id("web"));
  for (int i = 0; i < 10'000; ++i) (void)callers.of(id("caller-" + std::to_string(i)));
  CHECK(callers.size() <= 64);
  CHECK(callers.of(id("web")) == stays);
}

}  // namespace
}  // namespace mesh::ztunnel
