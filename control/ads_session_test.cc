#include "control/ads_session.h"

#include <algorithm>

#include <catch2/catch_test_macros.hpp>

#include "mesh/xds/ads_codec.h"

namespace mesh::control {
namespace {

using xds::DeltaRequest;
using xds::DeltaResponse;
using xds::ResourceType;
using enum xds::ResourceType;

using Names = std::vector<std::string>;

// A world as names and contents: "web=1 cart=2".
class Worlds {
 public:
  void set(ResourceType type, const std::string& name, const std::string& content,
           std::uint8_t reach = 0) {
    auto& resources = next_.resources[static_cast<std::size_t>(type)];
    if (content.empty()) {
      resources.erase(name);
    } else {
      resources[name] =
          std::make_shared<const Resource>(Resource{name, "v" + content, content, reach});
    }
  }
  void alias(const std::string& asked, const std::string& name) {
    next_.aliases.emplace(asked, name);
  }
  void no_alias(const std::string& asked, const std::string& name) {
    next_.aliases.erase(asked, name);
  }
  std::shared_ptr<const Snapshot> publish() {
    ++next_.version;
    return std::make_shared<const Snapshot>(next_);
  }

 private:
  Snapshot next_;
};

DeltaRequest request(ResourceType type) {
  DeltaRequest request;
  request.type_url = std::string(xds::type_url(type));
  return request;
}

DeltaRequest ack(const DeltaResponse& response) {
  DeltaRequest request;
  request.type_url = response.type_url;
  request.response_nonce = response.nonce;
  return request;
}

DeltaRequest nack(const DeltaResponse& response, std::string why = "field x") {
  DeltaRequest request = ack(response);
  request.error = std::move(why);
  return request;
}

Names names(const DeltaResponse& response) {
  Names names;
  for (const auto& resource : response.resources) names.push_back(resource.name);
  return names;
}

std::optional<DeltaResponse> next_of(AdsSession& session) {
  const auto response = session.next();
  if (!response) return {};
  // What is sent is what is meant.
  std::string bytes =
      response->encoded_head() + response->delta->encoded(xds::type_url(response->type));
  const auto sent = xds::decode_response(bytes);
  REQUIRE(sent);
  CHECK(*sent == response->message());
  return response->message();
}

// Takes a message, acknowledges it.
DeltaResponse take(AdsSession& session) {
  auto response = next_of(session);
  REQUIRE(response);
  REQUIRE(session.receive(ack(*response)));
  return *response;
}

void start(AdsSession& session) {
  REQUIRE(session.receive(request(kAddress)));
  REQUIRE(session.receive(request(kAuthorization)));
}

}  // namespace

TEST_CASE("the first answer says everything, also that there is nothing") {
  Worlds worlds;
  worlds.set(kAddress, "web", "1");
  worlds.set(kAddress, "cart", "1");
  AdsSession session(worlds.publish());
  CHECK_FALSE(next_of(session));
  start(session);
  const auto policies = next_of(session);
  REQUIRE(policies);
  CHECK(policies->resources.empty());
  CHECK(policies->system_version == "1");
  const auto addresses = next_of(session);
  REQUIRE(addresses);
  CHECK(names(*addresses) == Names{"cart", "web"});
  CHECK(addresses->resources[0].version == "v1");
  CHECK(addresses->resources[0].type_url == addresses->type_url);
  CHECK_FALSE(session.is_current());
  REQUIRE(session.receive(ack(*policies)));
  CHECK(session.acked_version() == 0);
  REQUIRE(session.receive(ack(*addresses)));
  CHECK(session.is_current());
  CHECK(session.acked_version() == 1);
  CHECK_FALSE(next_of(session));
}

TEST_CASE("after a reconnect only what changed is sent, removals of the outage included") {
  Worlds worlds;
  worlds.set(kAddress, "same", "1");
  worlds.set(kAddress, "changed", "2");
  worlds.set(kAddress, "new", "1");
  AdsSession session(worlds.publish());
  DeltaRequest first = request(kAddress);
  first.initial_versions = {{"changed", "v1"}, {"gone", "v1"}, {"same", "v1"}};
  REQUIRE(session.receive(first));
  const auto response = next_of(session);
  REQUIRE(response);
  CHECK(names(*response) == Names{"changed", "new"});
  CHECK(response->removed == Names{"gone"});
}

TEST_CASE("a client that has everything is told so, and nothing more") {
  Worlds worlds;
  worlds.set(kAddress, "web", "1");
  AdsSession session(worlds.publish());
  DeltaRequest first = request(kAddress);
  first.initial_versions = {{"web", "v1"}};
  REQUIRE(session.receive(first));
  const DeltaResponse response = take(session);
  CHECK(response.resources.empty());
  CHECK(response.removed.empty());
  CHECK_FALSE(next_of(session));
}

TEST_CASE("while an answer is due nothing more is sent; then the sum of what changed") {
  Worlds worlds;
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);
  worlds.set(kAddress, "web", "1");
  session.update(worlds.publish());
  const auto waiting = next_of(session);
  REQUIRE(waiting);
  for (int i = 2; i < 10; ++i) {
    worlds.set(kAddress, "web", std::to_string(i));
    worlds.set(kAddress, "brief", i < 9 ? "1" : "");
    session.update(worlds.publish());
    CHECK_FALSE(next_of(session));
  }
  REQUIRE(session.receive(ack(*waiting)));
  const DeltaResponse sum = take(session);
  REQUIRE(names(sum) == Names{"web"});
  CHECK(sum.resources[0].version == "v9");
  CHECK(sum.removed.empty());  // what came and went meanwhile was never there for this client
  CHECK(session.is_current());
}

TEST_CASE("a snapshot without news for a type sends nothing, and counts as applied") {
  Worlds worlds;
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);
  worlds.set(kAuthorization, "deny", "1");
  session.update(worlds.publish());
  take(session);
  CHECK_FALSE(next_of(session));
  CHECK(session.acked_version() == 2);
}

TEST_CASE("a refused response is sent again with the next snapshot, not before") {
  Worlds worlds;
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);
  worlds.set(kAddress, "bad", "1");
  worlds.set(kAddress, "good", "1");
  session.update(worlds.publish());
  const auto response = next_of(session);
  REQUIRE(session.receive(nack(*response, "bad: port 70000")));
  CHECK(session.last_nack() == "bad: port 70000");
  CHECK_FALSE(next_of(session));
  CHECK_FALSE(session.is_current());
  CHECK(session.acked_version() == 1);

  worlds.set(kAddress, "bad", "2");
  session.update(worlds.publish());
  const DeltaResponse again = take(session);
  CHECK(names(again) == Names{"bad", "good"});
  CHECK(session.is_current());
  CHECK(session.last_nack().empty());
  CHECK(session.acked_version() == 3);
}

TEST_CASE("a refused resource that goes away is removed, for the client may hold an older one") {
  Worlds worlds;
  worlds.set(kAddress, "web", "1");
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);
  worlds.set(kAddress, "web", "2");
  session.update(worlds.publish());
  REQUIRE(session.receive(nack(*next_of(session))));
  worlds.set(kAddress, "web", "");
  session.update(worlds.publish());
  const DeltaResponse removal = take(session);
  CHECK(removal.removed == Names{"web"});
  CHECK(session.is_current());
}

TEST_CASE("a refused removal is asked for again") {
  Worlds worlds;
  worlds.set(kAddress, "web", "1");
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);
  worlds.set(kAddress, "web", "");
  session.update(worlds.publish());
  REQUIRE(session.receive(nack(*next_of(session))));
  CHECK_FALSE(session.is_current());
  worlds.set(kAddress, "other", "1");
  session.update(worlds.publish());
  const DeltaResponse again = take(session);
  CHECK(again.removed == Names{"web"});
  CHECK(names(again) == Names{"other"});
  CHECK(session.is_current());
}

TEST_CASE("an answer to an old nonce is about the past") {
  Worlds worlds;
  AdsSession session(worlds.publish());
  start(session);
  const DeltaResponse first = take(session);
  take(session);
  worlds.set(kAuthorization, "deny", "1");
  session.update(worlds.publish());
  const auto second = next_of(session);
  REQUIRE(second);
  REQUIRE(session.receive(nack(first)));
  CHECK(session.last_nack().empty());
  REQUIRE(session.receive(ack(first)));
  CHECK_FALSE(session.is_current());
  REQUIRE(session.receive(ack(*second)));
  CHECK(session.is_current());
}

TEST_CASE("a policy comes before the workload that names it, and goes after") {
  Worlds worlds;
  worlds.set(kAddress, "web", "1");
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);

  worlds.set(kAddress, "web", "2 names deny");
  worlds.set(kAuthorization, "deny", "1");
  session.update(worlds.publish());
  const auto policy = next_of(session);
  REQUIRE(policy);
  CHECK(names(*policy) == Names{"deny"});
  CHECK_FALSE(next_of(session));
  REQUIRE(session.receive(ack(*policy)));
  CHECK(names(take(session)) == Names{"web"});

  worlds.set(kAddress, "web", "3");
  worlds.set(kAuthorization, "deny", "");
  session.update(worlds.publish());
  const auto workload = next_of(session);
  REQUIRE(workload);
  CHECK(names(*workload) == Names{"web"});
  CHECK_FALSE(next_of(session));
  CHECK_FALSE(session.is_current());
  REQUIRE(session.receive(ack(*workload)));
  CHECK(take(session).removed == Names{"deny"});
  CHECK(session.is_current());
}

TEST_CASE("a policy that shrinks from its namespace to workloads comes after they name it") {
  Worlds worlds;
  worlds.set(kAddress, "web", "1");
  worlds.set(kAuthorization, "deny", "1", 1);
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);
  worlds.set(kAddress, "web", "2 names deny");
  worlds.set(kAuthorization, "deny", "2", 0);
  session.update(worlds.publish());
  CHECK(names(take(session)) == Names{"web"});
  CHECK_FALSE(session.is_current());
  CHECK(names(take(session)) == Names{"deny"});
  CHECK(session.is_current());

  // And when it grows again, before they stop naming it.
  worlds.set(kAddress, "web", "3");
  worlds.set(kAuthorization, "deny", "3", 1);
  session.update(worlds.publish());
  CHECK(names(take(session)) == Names{"deny"});
  CHECK(names(take(session)) == Names{"web"});
  CHECK(session.is_current());
}

TEST_CASE("a policy that is refused does not hold back the workloads for ever") {
  Worlds worlds;
  AdsSession session(worlds.publish());
  start(session);
  take(session);
  take(session);
  worlds.set(kAddress, "web", "1");
  worlds.set(kAuthorization, "deny", "1");
  session.update(worlds.publish());
  REQUIRE(session.receive(nack(*next_of(session))));
  CHECK(names(take(session)) == Names{"web"});
}

TEST_CASE("on demand: only what was asked for, by name, address or service") {
  Worlds worlds;
  worlds.set(kAddress, "uid-web", "1");
  worlds.set(kAddress, "uid-cart", "1");
  worlds.set(kAddress, "shop/cart", "1");
  worlds.alias("/10.0.0.1", "uid-web");
  worlds.alias("/10.96.0.1", "shop/cart");
  worlds.alias("shop/cart", "uid-cart");
  AdsSession session(worlds.publish());
  DeltaRequest first = request(kAddress);
  first.subscribe = {"*"};
  first.unsubscribe = {"*"};
  REQUIRE(session.receive(first));
  CHECK(take(session).resources.empty());

  const auto ask = [&](const std::string& name) {
    DeltaRequest asked = request(kAddress);
    asked.subscribe = {name};
    REQUIRE(session.receive(asked));
    return take(session);
  };
  CHECK(names(ask("/10.0.0.1")) == Names{"uid-web"});
  CHECK(names(ask("/10.96.0.1")) == Names{"shop/cart", "uid-cart"});
  const DeltaResponse nothing = ask("/192.0.2.1");
  CHECK(nothing.resources.empty());
  CHECK(nothing.removed == Names{"/192.0.2.1"});  // so that the client need not wait for it
  CHECK_FALSE(next_of(session));

  worlds.set(kAddress, "uid-late", "1");
  worlds.alias("/192.0.2.1", "uid-late");
  session.update(worlds.publish());
  CHECK(names(take(session)) == Names{"uid-late"});

  DeltaRequest leave = request(kAddress);
  leave.unsubscribe = {"/10.0.0.1"};
  REQUIRE(session.receive(leave));
  worlds.set(kAddress, "uid-web", "2");
  session.update(worlds.publish());
  CHECK_FALSE(next_of(session));
}

TEST_CASE("what was refused and is not asked for any more holds nothing up") {
  Worlds worlds;
  worlds.set(kAuthorization, "p", "1");
  worlds.set(kAddress, "uid-web", "1");
  worlds.set(kAddress, "uid-cart", "1");
  worlds.alias("/10.0.0.1", "uid-web");
  AdsSession session(worlds.publish());
  for (const auto& [type, name] : {std::pair(kAuthorization, "p"), {kAddress, "/10.0.0.1"}}) {
    DeltaRequest asked = request(type);
    asked.subscribe = {name};
    REQUIRE(session.receive(asked));
    REQUIRE(session.receive(nack(*next_of(session))));
  }
  CHECK_FALSE(session.is_current());
  DeltaRequest leave = request(kAuthorization);
  leave.unsubscribe = {"p"};
  REQUIRE(session.receive(leave));
  CHECK_FALSE(session.is_current());
  // The address passes to another workload, which is not refused.
  worlds.no_alias("/10.0.0.1", "uid-web");
  worlds.alias("/10.0.0.1", "uid-cart");
  session.update(worlds.publish());
  CHECK(names(take(session)) == Names{"uid-cart"});
  CHECK(session.is_current());
}

TEST_CASE("what is not part of the protocol ends the stream") {
  Worlds worlds;
  AdsSession session(worlds.publish());
  DeltaRequest odd;
  odd.type_url = "type.googleapis.com/envoy.config.listener.v3.Listener";
  CHECK_FALSE(session.receive(odd));
  DeltaRequest named = request(kAddress);
  named.subscribe = {std::string(1025, 'x')};
  CHECK_FALSE(session.receive(named));
  DeltaRequest many = request(kAuthorization);
  for (int i = 0; i <= 16'384; ++i) many.subscribe.push_back(std::to_string(i));
  CHECK_FALSE(session.receive(many));
}

}  // namespace mesh::control
