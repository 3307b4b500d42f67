#include "control/kubernetes/address_plan.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "mesh/manifest/parse.h"

namespace mesh::control::kubernetes {
namespace {

using nlohmann::json;

std::string entry(const std::string& name, const std::string& hosts, const std::string& more = {},
                  const std::string& status = "[]") {
  return R"({"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":")" +
         name + R"(","namespace":"shop","labels":{"x":"y"}},"spec":{"hosts":)" + hosts +
         R"(,"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}])" + more +
         R"(},"status":{"addresses":)" + status + "}}";
}

World world_of(const std::vector<std::string>& texts) {
  Objects objects;
  for (const std::string& text : texts) {
    manifest::Parsed parsed = manifest::parse("test.json", text);
    REQUIRE_FALSE(parsed.has_errors());
    for (auto& one : parsed.objects) {
      auto key = manifest::key_of(one.object);
      objects[key] = std::make_shared<const manifest::Object>(std::move(one.object));
    }
  }
  return World(std::move(objects));
}

// By object, the addresses that are written.
std::map<std::string, json> plan(const std::vector<std::string>& texts) {
  std::map<std::string, json> written;
  for (const Write& write : plan_addresses(world_of(texts))) {
    written[write.target.name] = json::parse(write.request.body)["status"]["addresses"];
  }
  return written;
}

}  // namespace

TEST_CASE("a host without an address gets one of each family, and keeps it") {
  const auto first = plan({entry("a", R"(["a.example","b.example"])")});
  const json addresses = first.at("a");
  REQUIRE(addresses.size() == 4);
  CHECK(addresses[0]["host"] == "a.example");
  CHECK(addresses[0]["value"].get<std::string>().starts_with("240.240."));
  CHECK(addresses[1]["value"].get<std::string>().starts_with("2001:2::"));
  CHECK(addresses[0]["value"] != addresses[2]["value"]);
  CHECK(plan({entry("a", R"(["a.example","b.example"])", {}, addresses.dump())}).empty());
  // Lost, it comes back the same.
  CHECK(plan({entry("a", R"(["a.example","b.example"])")}).at("a") == addresses);
  // One host less: the other's stays.
  const json one = plan({entry("a", R"(["b.example"])", {}, addresses.dump())}).at("a");
  CHECK(one == json::array({addresses[2], addresses[3]}));
}

TEST_CASE("two hosts never have one address, and a newcomer takes nobody's") {
  const json taken = plan({entry("a", R"(["a.example"])")}).at("a");
  // The same namespace and host: the same place to begin with.
  const auto both =
      plan({entry("a", R"(["a.example"])", {}, taken.dump()), entry("b", R"(["a.example"])")});
  REQUIRE(both.size() == 1);
  CHECK(both.at("b")[0]["value"] != taken[0]["value"]);
  // Both have it: one gives way.
  const auto clash = plan({entry("a", R"(["a.example"])", {}, taken.dump()),
                           entry("b", R"(["a.example"])", {}, taken.dump())});
  CHECK(clash.size() == 1);
}

TEST_CASE("no address where one would be wrong") {
  CHECK(plan({entry("a", R"(["*.example"])")}).empty());
  CHECK(plan({entry("a", R"(["a.example"])", R"(,"addresses":["10.1.2.3"])")}).empty());
  std::string none = entry("a", R"(["a.example"])");
  none.replace(none.find("DNS"), 3, "NONE");
  CHECK(plan({none}).empty());
  std::string off = entry("a", R"(["a.example"])");
  off.replace(off.find(R"("x":"y")"), 7, R"("networking.istio.io/enable-autoallocate-ip":"false")");
  CHECK(plan({off}).empty());
}

TEST_CASE("what was allocated goes when the entry has addresses of its own") {
  const json taken = plan({entry("a", R"(["a.example"])")}).at("a");
  CHECK(plan({entry("a", R"(["a.example"])", R"(,"addresses":["10.1.2.3"])", taken.dump())})
            .at("a")
            .empty());
}

TEST_CASE("an address that is none of ours is not kept") {
  const auto written = plan({entry("a", R"(["a.example"])", {},
                                   R"([{"host":"a.example","value":"10.96.0.1"},{"value":7}])")});
  CHECK(written.at("a")[0]["value"].get<std::string>().starts_with("240.240."));
}

}  // namespace mesh::control::kubernetes
