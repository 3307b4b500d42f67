#include "waypoint/delta.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint {
namespace {

// Keeps names; refuses what is called "bad"; endpoints are wanted for every cluster.
struct Store final : ConfigStore {
  std::map<EnvoyType, std::set<std::string>> held;
  std::vector<Refused> take(EnvoyType type, std::span<const xds::RawResource> resources,
                            std::span<const std::string> removed) override {
    std::vector<Refused> refused;
    for (const std::string& name : removed) held[type].erase(name);
    for (const auto& resource : resources) {
      if (resource.name == "bad") {
        refused.push_back({"bad", "field x: not honoured"});
      } else {
        held[type].insert(resource.name);
      }
    }
    return refused;
  }
  std::set<std::string> wanted(EnvoyType type) const override {
    const auto found = held.find(EnvoyType::kCluster);
    return type == EnvoyType::kEndpoints && found != held.end() ? found->second
                                                                : std::set<std::string>{};
  }
};

xds::DeltaResponse response(EnvoyType type, std::vector<std::string> names, std::string nonce) {
  xds::DeltaResponse made{.system_version = "v-" + nonce,
                          .type_url = std::string(type_url(type)),
                          .nonce = std::move(nonce)};
  for (std::string& name : names) {
    made.resources.push_back(
        {.name = std::move(name), .version = "1", .type_url = std::string(type_url(type))});
  }
  return made;
}

std::vector<xds::DeltaRequest> requests(DeltaState& state) {
  std::vector<xds::DeltaRequest> all;
  while (auto request = state.next_request()) all.push_back(*std::move(request));
  return all;
}

TEST_CASE("clusters and listeners are asked for all, endpoints by name") {
  DeltaState state({.id = "waypoint~1"});
  Store store;
  CHECK(requests(state).empty());
  state.connected();
  auto sent = requests(state);
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].type_url == type_url(EnvoyType::kCluster));
  CHECK(sent[0].node.has_value());
  CHECK(sent[0].subscribe.empty());
  CHECK(sent[1].type_url == type_url(EnvoyType::kListener));

  const auto taken = state.receive(response(EnvoyType::kCluster, {"a", "b"}, "1"), store);
  REQUIRE(taken.has_value());
  CHECK(*taken);
  sent = requests(state);
  REQUIRE(sent.size() == 1);  // no ACK before it is applied
  CHECK(sent[0].type_url == type_url(EnvoyType::kEndpoints));
  CHECK(sent[0].subscribe == std::vector<std::string>{"a", "b"});

  state.applied(state.sequence());
  sent = requests(state);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].response_nonce == "1");
  CHECK_FALSE(sent[0].error.has_value());
  CHECK(state.version() == "v-1");

  // A cluster goes, another comes: names follow.
  auto change = response(EnvoyType::kCluster, {"c"}, "2");
  change.removed = {"a"};
  REQUIRE(state.receive(change, store).has_value());
  sent = requests(state);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].subscribe == std::vector<std::string>{"c"});
  CHECK(sent[0].unsubscribe == std::vector<std::string>{"a"});
}

TEST_CASE("a refused resource is a NACK that names it, and is asked for again elsewhere") {
  DeltaState state({.id = "waypoint~1"});
  Store store;
  state.connected();
  requests(state);
  REQUIRE(state.receive(response(EnvoyType::kCluster, {"a", "bad"}, "1"), store).has_value());
  state.applied(state.sequence());
  auto sent = requests(state);
  bool refused = false;
  for (const auto& request : sent) refused |= request.error == "bad: field x: not honoured";
  CHECK(refused);
  CHECK(store.held[EnvoyType::kCluster].contains("a"));
  CHECK(state.counts(EnvoyType::kCluster).nacks == 1);

  state.disconnected();
  state.connected();
  sent = requests(state);
  REQUIRE(sent[0].type_url == type_url(EnvoyType::kCluster));
  using Versions = std::vector<std::pair<std::string, std::string>>;
  CHECK(sent[0].initial_versions == Versions{{"a", "1"}, {"bad", ""}});
}

TEST_CASE("answers of a connection that is gone are not sent on the next") {
  DeltaState state({.id = "waypoint~1"});
  Store store;
  state.connected();
  requests(state);
  REQUIRE(state.receive(response(EnvoyType::kListener, {"l"}, "1"), store).has_value());
  state.disconnected();
  state.connected();
  requests(state);
  state.applied(state.sequence());
  CHECK(requests(state).empty());
}

TEST_CASE("what was not asked for is refused, and what cannot be answered ends the stream") {
  DeltaState state({.id = "waypoint~1"}, {.changes_max = 2, .version_bytes_max = 8});
  Store store;
  state.connected();
  requests(state);
  auto other = response(EnvoyType::kCluster, {}, "1");
  other.type_url = "type.googleapis.com/other";
  const auto taken = state.receive(other, store);
  REQUIRE(taken.has_value());
  CHECK_FALSE(*taken);
  REQUIRE(requests(state).size() == 1);
  CHECK_FALSE(state.receive(response(EnvoyType::kCluster, {}, ""), store).has_value());
  CHECK_FALSE(state.receive(response(EnvoyType::kCluster, {"1", "2", "3"}, "2"), store));
  CHECK_FALSE(state.receive(response(EnvoyType::kCluster, {}, "123456789"), store).has_value());
}

TEST_CASE("no more is read than can be applied") {
  DeltaState state({.id = "waypoint~1"}, {.unapplied_max = 2});
  Store store;
  state.connected();
  requests(state);
  for (const char* nonce : {"1", "2"}) {
    CHECK(state.can_receive());
    REQUIRE(state.receive(response(EnvoyType::kListener, {"l"}, nonce), store).has_value());
  }
  CHECK_FALSE(state.can_receive());
  state.applied(state.sequence());
  CHECK(state.can_receive());
}

}  // namespace
}  // namespace mesh::waypoint
