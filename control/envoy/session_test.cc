#include "control/envoy/session.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

using Strings = std::vector<std::string>;

// "name:version" of each type.
std::shared_ptr<const WaypointSnapshot> snapshot(std::uint64_t version, Strings clusters,
                                                 Strings endpoints, Strings listeners) {
  auto to = std::make_shared<WaypointSnapshot>();
  to->version = version;
  const auto add = [&](EnvoyType type, const Strings& texts) {
    for (const std::string& text : texts) {
      const auto colon = text.find(':');
      const std::string name = text.substr(0, colon);
      to->resources[static_cast<std::size_t>(type)][name] =
          std::make_shared<const Resource>(name, text.substr(colon + 1), text);
    }
  };
  add(EnvoyType::kCluster, clusters);
  add(EnvoyType::kEndpoint, endpoints);
  add(EnvoyType::kListener, listeners);
  return to;
}

EnvoyRequest ask(EnvoyType type) { return {.type_url = std::string(type_url(type))}; }

EnvoyRequest ack(const EnvoyResponse& response) {
  return {.type_url = response.type_url, .nonce = response.nonce};
}

// "cluster a:1 -b" for the next message; "" for none. Acknowledges it unless told otherwise.
std::string step(WaypointSession& session, const Strings& names = {}, bool answer = true) {
  const auto response = session.next();
  if (!response) return "";
  std::string text = response->type_url.find("Listener") != std::string::npos ? "listener"
                     : response->type_url.find("Cluster") != std::string::npos &&
                             response->type_url.find("LoadAssignment") == std::string::npos
                         ? "cluster"
                     : response->type_url.find("Route") != std::string::npos ? "route"
                                                                             : "endpoint";
  for (const auto& resource : response->resources) text += " " + resource->bytes;
  for (const std::string& name : response->removed) text += " -" + name;
  if (answer) {
    EnvoyRequest back = ack(*response);
    back.names = names;
    REQUIRE(session.receive(back));
  }
  return text;
}

WaypointSession started(bool delta) {
  WaypointSession session(delta);
  REQUIRE(session.receive(ask(EnvoyType::kCluster)));
  REQUIRE(session.receive(ask(EnvoyType::kListener)));
  return session;
}

TEST_CASE("nothing is sent before there is a configuration") {
  WaypointSession session = started(true);
  CHECK(step(session).empty());
  CHECK_FALSE(session.is_current());
}

TEST_CASE("delta: clusters, then endpoints that are subscribed, then listeners") {
  WaypointSession session = started(true);
  session.update(snapshot(1, {"a:1", "b:1"}, {"a:1", "b:1"}, {"l:1"}));
  CHECK(step(session) == "cluster a:1 b:1");
  EnvoyRequest endpoints = ask(EnvoyType::kEndpoint);
  endpoints.subscribe = {"a", "b", "gone"};
  REQUIRE(session.receive(endpoints));
  CHECK(step(session) == "endpoint a:1 b:1 -gone");
  CHECK(step(session) == "listener l:1");
  CHECK(step(session).empty());
  CHECK(session.is_current());
}

TEST_CASE("listeners wait until the clusters that they name have arrived") {
  WaypointSession session = started(true);
  session.update(snapshot(1, {"a:1"}, {}, {"l:1"}));
  const auto clusters = session.next();
  REQUIRE(clusters);
  CHECK_FALSE(session.next());
  REQUIRE(session.receive(ack(*clusters)));
  CHECK(step(session) == "listener l:1");
}

TEST_CASE("endpoints do not wait for the clusters' acknowledgement, which waits for them") {
  for (const bool delta : {true, false}) {
    WaypointSession session = started(delta);
    EnvoyRequest endpoints = ask(EnvoyType::kEndpoint);
    (delta ? endpoints.subscribe : endpoints.names) = {"a"};
    REQUIRE(session.receive(endpoints));
    session.update(snapshot(1, {"a:1"}, {"a:1"}, {"l:1"}));
    const auto clusters = session.next();
    REQUIRE(clusters);
    CHECK(step(session, {"a"}) == "endpoint a:1");
    CHECK_FALSE(session.next());
    REQUIRE(session.receive(ack(*clusters)));
    CHECK(step(session) == "listener l:1");
  }
}

TEST_CASE("delta: a cluster goes after the listeners that named it") {
  WaypointSession session = started(true);
  session.update(snapshot(1, {"a:1", "b:1"}, {}, {"l:1"}));
  step(session);
  step(session);
  session.update(snapshot(2, {"a:1"}, {}, {"l:2"}));
  CHECK(step(session, {}, false) == "listener l:2");
  CHECK_FALSE(session.next());  // not before it is acknowledged
  EnvoyRequest back = ask(EnvoyType::kListener);
  back.nonce = "3";
  REQUIRE(session.receive(back));
  CHECK(step(session) == "cluster -b");
  CHECK(session.is_current());
}

TEST_CASE("a cluster that changed is followed by its endpoints, though they did not") {
  WaypointSession session = started(true);
  EnvoyRequest endpoints = ask(EnvoyType::kEndpoint);
  endpoints.subscribe = {"a", "b"};
  REQUIRE(session.receive(endpoints));
  session.update(snapshot(1, {"a:1", "b:1"}, {"a:1", "b:1"}, {"l:1"}));
  while (!step(session).empty()) {
  }
  session.update(snapshot(2, {"a:2", "b:1"}, {"a:1", "b:1"}, {"l:1"}));
  CHECK(step(session) == "cluster a:2");
  CHECK(step(session) == "endpoint a:1");
  CHECK(step(session).empty());
}

TEST_CASE("a slow client gets one message with everything that changed since") {
  WaypointSession session = started(true);
  session.update(snapshot(1, {"a:1"}, {}, {"l:1"}));
  step(session);
  const auto listeners = session.next();
  REQUIRE(listeners);
  session.update(snapshot(2, {"a:1"}, {}, {"l:2"}));
  session.update(snapshot(3, {"a:1"}, {}, {"l:3"}));
  CHECK_FALSE(session.next());
  REQUIRE(session.receive(ack(*listeners)));
  CHECK(step(session) == "listener l:3");
}

TEST_CASE("what was refused is not sent again until it is another") {
  for (const bool delta : {true, false}) {
    WaypointSession session = started(delta);
    session.update(snapshot(1, {"a:1"}, {}, {"l:1"}));
    step(session);
    const auto listeners = session.next();
    REQUIRE(listeners);
    EnvoyRequest nack = ack(*listeners);
    nack.error = "no such extension";
    REQUIRE(session.receive(nack));
    CHECK(session.last_nack() == "no such extension");
    CHECK_FALSE(session.is_current());
    CHECK(step(session).empty());
    session.update(snapshot(2, {"a:1"}, {}, {"l:2"}));
    CHECK(step(session) == "listener l:2");
    CHECK(session.is_current());
    CHECK(session.last_nack().empty());
  }
}

TEST_CASE("delta: while listeners are refused the clusters of the older ones stay") {
  WaypointSession session = started(true);
  session.update(snapshot(1, {"a:1", "b:1"}, {}, {"l:1"}));
  step(session);
  step(session);
  session.update(snapshot(2, {"a:1"}, {}, {"l:2"}));
  const auto listeners = session.next();
  REQUIRE(listeners);
  EnvoyRequest nack = ack(*listeners);
  nack.error = "no";
  REQUIRE(session.receive(nack));
  CHECK(step(session).empty());
}

TEST_CASE("delta: what a client had before the stream is not sent again, and removed when gone") {
  WaypointSession session(true);
  EnvoyRequest clusters = ask(EnvoyType::kCluster);
  clusters.initial_versions = {{"a", "1"}, {"b", "0"}, {"old", "1"}};
  REQUIRE(session.receive(clusters));
  REQUIRE(session.receive(ask(EnvoyType::kListener)));
  session.update(snapshot(1, {"a:1", "b:1"}, {}, {"l:1"}));
  CHECK(step(session) == "cluster b:1");
  CHECK(step(session) == "listener l:1");
  CHECK(step(session) == "cluster -old");
}

TEST_CASE("state of the world: every message is whole, and what is in use leaves last") {
  WaypointSession session = started(false);
  session.update(snapshot(1, {"a:1", "b:1"}, {"a:1", "b:1"}, {"l:1"}));
  CHECK(step(session) == "cluster a:1 b:1");
  EnvoyRequest endpoints = ask(EnvoyType::kEndpoint);
  endpoints.names = {"a"};
  REQUIRE(session.receive(endpoints));
  CHECK(step(session, {"a"}) == "endpoint a:1");
  CHECK(step(session) == "listener l:1");
  CHECK(session.is_current());
  session.update(snapshot(2, {"a:1", "c:1"}, {"a:1", "c:1"}, {"l:2"}));
  CHECK(step(session) == "cluster a:1 b:1 c:1");
  CHECK(step(session) == "listener l:2");
  CHECK(step(session) == "cluster a:1 c:1");
  CHECK(session.is_current());
}

TEST_CASE("state of the world: a name more asks again, a name without a resource waits") {
  WaypointSession session = started(false);
  session.update(snapshot(1, {"a:1"}, {"a:1"}, {"l:1"}));
  step(session);
  EnvoyRequest endpoints = ask(EnvoyType::kEndpoint);
  endpoints.names = {"gone"};
  REQUIRE(session.receive(endpoints));
  CHECK(step(session) == "listener l:1");
  CHECK(step(session).empty());
  endpoints.names = {"gone", "a"};
  REQUIRE(session.receive(endpoints));
  CHECK(step(session, {"gone", "a"}) == "endpoint a:1");
  CHECK(step(session).empty());
}

TEST_CASE("an old nonce says nothing, and a type that is not served is passed over") {
  WaypointSession session = started(true);
  session.update(snapshot(1, {"a:1"}, {}, {"l:1"}));
  const auto clusters = session.next();
  REQUIRE(clusters);
  EnvoyRequest old = ack(*clusters);
  old.nonce = "0";
  REQUIRE(session.receive(old));
  CHECK_FALSE(session.next());
  REQUIRE(session.receive({.type_url = "type.googleapis.com/a.B"}));
  CHECK_FALSE(session.next());
}

TEST_CASE("what a client may subscribe to is bounded") {
  WaypointSession session(true);
  EnvoyRequest many = ask(EnvoyType::kEndpoint);
  many.subscribe.assign(16'385, "x");
  CHECK_FALSE(session.receive(many));
  EnvoyRequest endless = ask(EnvoyType::kEndpoint);
  endless.subscribe = {std::string(1025, 'x')};
  CHECK_FALSE(session.receive(endless));
}

}  // namespace
}  // namespace mesh::control
