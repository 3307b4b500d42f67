#include "mesh/net/spiffe_id.h"

#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::net {
namespace {

TEST_CASE("an identity is its three parts") {
  const auto id = SpiffeId::parse("spiffe://cluster.local/ns/shop/sa/web");
  REQUIRE(id);
  CHECK(id->trust_domain() == "cluster.local");
  CHECK(id->ns() == "shop");
  CHECK(id->service_account() == "web");
  CHECK(id->principal() == "cluster.local/ns/shop/sa/web");
  CHECK(SpiffeId::parse(id->to_string()) == id);
  CHECK(id == SpiffeId::make("cluster.local", "shop", "web"));
}

TEST_CASE("anything but exactly that shape is no identity") {
  const auto text = GENERATE(values<std::string>({
      "",
      "spiffe://",
      "http://cluster.local/ns/shop/sa/web",
      "SPIFFE://cluster.local/ns/shop/sa/web",
      "spiffe://cluster.local/ns//sa/web",
      "spiffe://cluster.local/ns/shop/sa/",
      "spiffe:///ns/shop/sa/web",
      "spiffe://cluster.local/ns/shop/sa/web/",
      "spiffe://cluster.local/ns/shop/sa/web/extra",
      "spiffe://cluster.local/ns/shop/sa/web?q",
      "spiffe://cluster.local/ns/shop/sa/web#f",
      "spiffe://cluster.local:443/ns/shop/sa/web",
      "spiffe://user@cluster.local/ns/shop/sa/web",
      "spiffe://Cluster.local/ns/shop/sa/web",
      "spiffe://cluster.local/NS/shop/sa/web",
      "spiffe://cluster.local/sa/web/ns/shop",
      "spiffe://cluster.local/ns/../sa/web",
      "spiffe://cluster.local/ns/shop/sa/w%65b",
      "spiffe://cluster.local/ns/shop/sa/web ",
  }));
  INFO(text);
  CHECK(!SpiffeId::parse(text));
}

TEST_CASE("an identity beyond its limits is none") {
  const auto with = [](std::size_t domain, std::size_t name) {
    return SpiffeId::make(std::string(domain, 'a'), "shop", std::string(name, 'b'));
  };
  CHECK(with(255, 253));
  CHECK(!with(256, 1));
  CHECK(!with(1, 254));
  CHECK(!SpiffeId::parse("spiffe://" + std::string(100'000, 'a') + "/ns/a/sa/b"));
  CHECK(!SpiffeId::parse(std::string("spiffe://a/ns/b/sa/c\0d", 22)));
}

}  // namespace
}  // namespace mesh::net
