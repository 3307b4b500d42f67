#include "cli/lab/record.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli::lab {
namespace {

Record shop() {
  Record record;
  record.name = "shop";
  record.folder = "/run/weft/lab/shop";
  record.nodes.push_back(
      {.name = "node-1", .netns = "weft-shop-node-1", .addresses = {"192.168.77.1"}});
  PodRecord web;
  web.ns = "shop";
  web.name = "web";
  web.enrolled = true;
  record.pods.push_back(web);
  web.ns = "other";
  record.pods.push_back(web);
  web.name = "cart";
  record.pods.push_back(web);
  return record;
}

}  // namespace

TEST_CASE("a record comes back as it was written") {
  const Record record = shop();
  const auto again = from_json(to_json(record));
  REQUIRE(again);
  CHECK(to_json(*again) == to_json(record));
  CHECK(again->pods[0].enrolled);
  CHECK(again->node("node-1")->netns == "weft-shop-node-1");
  CHECK(again->log_of("node-1/ztunnel") == "/run/weft/lab/shop/logs/node-1.ztunnel.log");
}

TEST_CASE("a record that is none is an error") {
  CHECK_FALSE(from_json(""));
  CHECK_FALSE(from_json("[]"));
  CHECK_FALSE(from_json(R"({"nodes": 1})"));
  CHECK_FALSE(from_json(R"({"supervisor": 1e300})"));
}

TEST_CASE("a pod is found by its name when only one has it") {
  const Record record = shop();
  CHECK(find_pod(record, "cart")->key() == "other/cart");
  CHECK(find_pod(record, "shop/web")->key() == "shop/web");
  CHECK(find_pod(record, "web").error().find("several pods") == 0);
  CHECK(find_pod(record, "nobody").error().find("no pod named nobody") == 0);
}

}  // namespace mesh::cli::lab
