#include "mesh/xds/ads_state.h"

#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::xds {
namespace {

const std::string kAddress(type_url(ResourceType::kAddress));
const std::string kAuthorization(type_url(ResourceType::kAuthorization));

// Writes down what it is told; refuses resources whose bytes begin with "bad".
class Book final : public ResourceSink {
 public:
  std::vector<Rejection> take(ResourceType type, std::span<const RawResource> resources,
                              std::span<const std::string> removed) override {
    std::vector<Rejection> rejections;
    for (const std::string& name : removed) said += "-" + name + " ";
    for (const RawResource& resource : resources) {
      const bool bad = resource.bytes.starts_with("bad");
      if (bad) rejections.push_back({type, resource.name, "field name: " + resource.bytes});
      said += (bad ? "!" : "+") + resource.name + " ";
    }
    return rejections;
  }
  std::string said;
};

// "web=1" is resource web at version 1; "web=1:bad" has the bytes "bad".
DeltaResponse response(const std::string& url, const std::string& nonce,
                       std::vector<std::string> resources, std::vector<std::string> removed = {}) {
  DeltaResponse message{.system_version = "7", .type_url = url, .nonce = nonce};
  for (const std::string& text : resources) {
    const std::size_t equals = text.find('=');
    const std::size_t colon = text.find(':');
    message.resources.push_back(
        {.name = text.substr(0, equals),
         .version = text.substr(equals + 1, colon == text.npos ? colon : colon - equals - 1),
         .type_url = url,
         .bytes = colon == text.npos ? "good" : text.substr(colon + 1)});
  }
  message.removed = std::move(removed);
  return message;
}

struct World {
  explicit World(AdsMode mode = AdsMode::kWildcard, AdsLimits limits = {})
      : state({.node = {.id = "ztunnel~10.0.0.1~a.b~b.svc", .metadata = {{"NODE_NAME", "n1"}}},
               .mode = mode,
               .limits = limits}) {}

  // Connects and swallows the first requests.
  void connect() {
    state.connected();
    REQUIRE(state.next_request());
    REQUIRE(state.next_request());
    REQUIRE(!state.next_request());
  }
  Update receive(const DeltaResponse& message) {
    auto update = state.receive(message, book);
    REQUIRE(update);
    REQUIRE(*update);
    return **update;
  }
  // Receives and applies; the answer.
  DeltaRequest exchange(const DeltaResponse& message) {
    state.applied(receive(message).sequence);
    auto answer = state.next_request();
    REQUIRE(answer);
    return *answer;
  }

  AdsState state;
  Book book;
};

TEST_CASE("the first request of each type says who we are and asks for everything") {
  World world;
  CHECK(!world.state.next_request());
  world.state.connected();
  for (const std::string& url : {kAddress, kAuthorization}) {
    const auto request = world.state.next_request();
    REQUIRE(request);
    REQUIRE(request->node);
    CHECK(request->node->metadata.at("NODE_NAME") == "n1");
    CHECK(request->type_url == url);
    CHECK(request->subscribe.empty());
    CHECK(request->initial_versions.empty());
    CHECK(request->response_nonce.empty());
  }
  CHECK(!world.state.next_request());
}

TEST_CASE("an ACK is sent only after every worker has applied the response") {
  World world;
  world.connect();
  const Update first = world.receive(response(kAddress, "n1", {"web=1"}));
  const Update second = world.receive(response(kAddress, "n2", {"cart=1"}));
  CHECK(!world.state.next_request());

  world.state.applied(first.sequence);
  const auto answer = world.state.next_request();
  REQUIRE(answer);
  CHECK(*answer == DeltaRequest{.type_url = kAddress, .response_nonce = "n1"});
  CHECK(!world.state.next_request());

  world.state.applied(second.sequence);
  CHECK(world.state.next_request()->response_nonce == "n2");
  CHECK(world.book.said == "+web +cart ");
}

TEST_CASE("the node is complete when both types were applied, also an empty one") {
  World world;
  world.connect();
  const Update address = world.receive(response(kAddress, "n1", {"web=1"}));
  CHECK(!address.complete);
  const Update policy = world.receive(response(kAuthorization, "n2", {}));
  CHECK(policy.complete);
  CHECK(!world.state.complete());
  world.state.applied(address.sequence);
  CHECK(!world.state.complete());
  world.state.applied(policy.sequence);
  CHECK(world.state.complete());
  CHECK(world.state.control_version() == "7");

  world.state.disconnected();
  CHECK(world.state.complete());
}

TEST_CASE(
    "the good resources of a response are taken, the bad ones refused and named in the NACK") {
  World world;
  world.connect();
  const DeltaRequest answer =
      world.exchange(response(kAuthorization, "n1", {"app/a=1:bad port", "app/b=1"}));
  CHECK(world.book.said == "!app/a +app/b ");
  CHECK(answer.response_nonce == "n1");
  REQUIRE(answer.error);
  CHECK(*answer.error == "app/a: field name: bad port");
  CHECK(world.state.last_nack() == *answer.error);
}

TEST_CASE("after a reconnect the server hears what we have, and about what we refused") {
  World world;
  world.connect();
  world.exchange(response(kAddress, "n1", {"web=5", "cart=2", "old=1"}));
  world.exchange(response(kAddress, "n2", {"cart=3:bad"}, {"old"}));
  world.state.disconnected();
  CHECK(!world.state.next_request());

  world.state.connected();
  const auto request = world.state.next_request();
  REQUIRE(request);
  using Versions = std::vector<std::pair<std::string, std::string>>;
  // An empty version fits nothing: cart is sent again, or reported as removed.
  CHECK(request->initial_versions == Versions{{"cart", ""}, {"web", "5"}});
  CHECK(request->node);
}

TEST_CASE("a nonce is not answered on another stream") {
  World world;
  world.connect();
  const Update update = world.receive(response(kAddress, "n1", {"web=1"}));
  world.state.disconnected();
  world.connect();
  world.state.applied(update.sequence);
  CHECK(!world.state.next_request());
  CHECK(world.state.control_version() == "7");
}

TEST_CASE("removals come before additions, and a removal of something unknown is harmless") {
  World world;
  world.connect();
  world.exchange(response(kAddress, "n1", {"web-1=1"}));
  world.book.said.clear();
  const DeltaRequest answer =
      world.exchange(response(kAddress, "n2", {"web-2=1"}, {"web-1", "never-seen", ""}));
  CHECK(world.book.said == "-web-1 -never-seen - +web-2 ");
  CHECK(!answer.error);
  CHECK(world.state.resource_count(ResourceType::kAddress) == 1);
}

TEST_CASE("control plane sending garbage: NACK or reconnect, and nothing is removed") {
  World world(AdsMode::kWildcard,
              {.resources_max = 4, .changes_max = 6, .name_bytes_max = 64, .version_bytes_max = 8});
  world.connect();
  world.exchange(response(kAddress, "n1", {"web=1", "cart=1"}));
  world.book.said.clear();
  DeltaResponse message = response(kAddress, "n2", {"new=1"});

  SECTION("no nonce: leave the stream") {
    message.nonce.clear();
    CHECK(world.state.receive(message, world.book).error().reason == Reason::kProtocol);
  }
  SECTION("an endless nonce: leave the stream") {
    message.nonce.assign(9, 'n');
    CHECK(world.state.receive(message, world.book).error().reason == Reason::kTooLarge);
  }
  SECTION("more resources than we hold: leave the stream") {
    message = response(kAddress, "n2", {"a=1", "b=1", "c=1"});
    CHECK(world.state.receive(message, world.book).error().reason == Reason::kTooLarge);
  }
  SECTION("more changes than one response may have: leave the stream") {
    message = response(kAddress, "n2", {}, {"a", "b", "c", "d", "e", "f", "g"});
    CHECK(world.state.receive(message, world.book).error().reason == Reason::kTooLarge);
  }
  SECTION("a type that nobody asked for: NACK") {
    message.type_url = "type.googleapis.com/envoy.config.listener.v3.Listener";
    const auto update = world.state.receive(message, world.book);
    REQUIRE(update);
    CHECK(!*update);
    const auto answer = world.state.next_request();
    REQUIRE(answer);
    CHECK(answer->type_url == message.type_url);
    CHECK(answer->response_nonce == "n2");
    CHECK(answer->error);
  }
  SECTION("an endless name: leave the stream") {
    message.resources[0].name.assign(65, 'x');
    CHECK(world.state.receive(message, world.book).error().reason == Reason::kTooLarge);
  }
  SECTION("an endless version: leave the stream") {
    message.resources[0].version.assign(9, 'v');
    CHECK(world.state.receive(message, world.book).error().reason == Reason::kTooLarge);
  }
  SECTION("every resource undecodable: NACK") {
    message = response(kAddress, "n2", {"web=2:bad", "cart=2:bad"});
    CHECK(world.exchange(message).error == "web: field name: bad; cart: field name: bad");
    CHECK(world.book.said == "!web !cart ");
  }
  CHECK(world.book.said.find('-') == std::string::npos);
  CHECK(world.state.resource_count(ResourceType::kAddress) >= 2);
}

TEST_CASE("sent and removed in one response: it is there afterwards") {
  World world;
  world.connect();
  world.exchange(response(kAddress, "n1", {"web=1"}));
  CHECK(!world.exchange(response(kAddress, "n2", {"web=2"}, {"web"})).error);
  CHECK(world.state.resource_count(ResourceType::kAddress) == 1);
}

TEST_CASE("the text of a NACK is bounded and printable") {
  World world(AdsMode::kWildcard, {.error_bytes_max = 100, .rejections_max = 3});
  world.connect();
  std::vector<std::string> resources{"evil\n\x80=1:bad"};
  for (int i = 0; i < 50; ++i) resources.push_back("r" + std::to_string(i) + "=1:bad");
  const Update update = world.receive(response(kAddress, "n1", resources));
  CHECK(update.rejections.size() == 3);
  world.state.applied(update.sequence);
  const DeltaRequest answer = *world.state.next_request();
  CHECK(answer.error->starts_with("evil??: field name: bad; r0: "));
  CHECK(answer.error->ends_with(" more"));
  CHECK(answer.error->size() <= 120);
}

TEST_CASE("with too many responses not applied, reading stops") {
  World world(AdsMode::kWildcard, {.unapplied_max = 2});
  world.connect();
  CHECK(world.state.can_receive());
  const Update first = world.receive(response(kAddress, "n1", {}));
  world.receive(response(kAddress, "n2", {}));
  CHECK(!world.state.can_receive());
  CHECK(!world.state.receive(response(kAddress, "n3", {}), world.book));
  world.state.applied(first.sequence);
  REQUIRE(world.state.next_request());
  CHECK(world.state.can_receive());
}

TEST_CASE("on demand: leave wildcard in the first message, then ask by name") {
  World world(AdsMode::kOnDemand, {.name_bytes_max = 8, .subscriptions_max = 2});
  REQUIRE(world.state.subscribe(ResourceType::kAddress, "a"));
  world.state.connected();
  const auto first = world.state.next_request();
  REQUIRE(first);
  CHECK(first->subscribe == std::vector<std::string>{"*", "a"});
  CHECK(first->unsubscribe == std::vector<std::string>{"*"});
  REQUIRE(world.state.next_request());

  REQUIRE(world.state.subscribe(ResourceType::kAddress, "b"));
  REQUIRE(world.state.subscribe(ResourceType::kAddress, "b"));
  CHECK(world.state.subscribe(ResourceType::kAddress, "c").error().reason == Reason::kExhausted);
  CHECK(world.state.subscribe(ResourceType::kAddress, "too long a name").error().reason ==
        Reason::kTooLarge);
  world.state.unsubscribe(ResourceType::kAddress, "a");
  const auto next = world.state.next_request();
  REQUIRE(next);
  CHECK(!next->node);
  CHECK(next->subscribe == std::vector<std::string>{"b"});
  CHECK(next->unsubscribe == std::vector<std::string>{"a"});
  CHECK(!world.state.next_request());
}

TEST_CASE("in wildcard mode there is nothing to subscribe to") {
  World world;
  world.connect();
  REQUIRE(world.state.subscribe(ResourceType::kAddress, "a"));
  CHECK(!world.state.next_request());
}

}  // namespace
}  // namespace mesh::xds
