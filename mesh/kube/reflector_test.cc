#include "mesh/kube/reflector.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <map>

namespace mesh::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using State = Reflector::State;

struct Copy : Sink {
  std::map<std::string, std::string> staged, objects;  // name -> resourceVersion

  void begin_list() override { staged.clear(); }
  void stage(manifest::Value&& o) override { staged[name(o)] = version(o); }
  void commit_list() override { objects = std::exchange(staged, {}); }
  void put(manifest::Value&& o) override { objects[name(o)] = version(o); }
  void remove(manifest::Value&& o) override { objects.erase(name(o)); }

  static std::string name(const manifest::Value& o) { return metadata_text(o, "name"); }
  static std::string version(const manifest::Value& o) {
    return metadata_text(o, "resourceVersion");
  }
};

// A reflector, and a server that the test plays.
struct Bench {
  Copy copy;
  Reflector reflector;
  Reflector::Time now{seconds(1000)};

  explicit Bench(std::vector<std::string> paths = {"/api/v1/pods"}, bool watch_list = false)
      : reflector({.paths = std::move(paths),
                   .field_selector = {},
                   .label_selector = {},
                   .watch_list = watch_list},
                  copy) {}

  // The next request, however long it takes; how long that was.
  std::string request() {
    waited = std::chrono::ceil<milliseconds>(std::max(reflector.wake() - now, {}));
    now = std::max(now, reflector.wake());
    const auto request = reflector.next(now);
    REQUIRE(request);
    return request->target;
  }
  void list(std::string_view names, std::string_view version, std::string_view next = {}) {
    std::string items;
    for (const char name : names) {
      if (!items.empty()) items += ",";
      items += std::string(R"({"metadata":{"name":")") + name + R"(","resourceVersion":"1"}})";
    }
    const auto page = read_list_page(
        R"({"metadata":{"resourceVersion":")" + std::string(version) + R"(","continue":")" +
            std::string(next) + R"("},"items":[)" + items + "]}",
        [&](manifest::Value&& item) { reflector.item(std::move(item)); });
    REQUIRE(page);
    reflector.page(*page, now);
  }
  bool event(std::string_view type, char name, std::string_view version) {
    return reflector.frame(R"({"type":")" + std::string(type) +
                               R"(","object":{"metadata":{"name":")" + name +
                               R"(","resourceVersion":")" + std::string(version) + R"("}}})",
                           now);
  }
  void refuse(int code, std::optional<std::uint32_t> after = {}) {
    reflector.refused({.code = code, .reason = "R", .message = "m", .retry_after_seconds = after},
                      now);
  }
  std::string names() const {
    std::string names;
    for (const auto& [name, version] : copy.objects) names += name;
    return names;
  }
  bool lists() { return request().find("limit=") != std::string::npos; }
  bool watches_from(const std::string& version) {
    return request().find("resourceVersion=" + version + "&") != std::string::npos;
  }

  milliseconds waited{};
};

}  // namespace

TEST_CASE("a list comes page by page, is taken whole, and is watched from where it was") {
  Bench b;
  CHECK(b.request() == "/api/v1/pods?limit=500");
  CHECK_FALSE(b.reflector.next(b.now));  // one request at a time
  b.list("ab", "7", "t/1=");
  CHECK(b.names().empty());
  CHECK_FALSE(b.reflector.health().complete);
  CHECK(b.request() == "/api/v1/pods?limit=500&continue=t%2F1%3D");
  b.list("c", "7");
  CHECK(b.names() == "abc");
  CHECK(b.reflector.health().complete);
  CHECK(b.watches_from("7"));
  CHECK(b.event("ADDED", 'd', "8"));
  CHECK(b.event("DELETED", 'a', "9"));
  CHECK(b.event("MODIFIED", 'b', "10"));
  CHECK(b.event("BOOKMARK", 'x', "15"));
  CHECK(b.names() == "bcd");
  CHECK(b.reflector.health().resource_version == "15");
  b.reflector.ended(b.now);
  CHECK(b.watches_from("15"));
  CHECK(b.waited == milliseconds(0));
}

TEST_CASE("a watch that breaks, mid-object too, goes on from where it was; nothing is lost") {
  Bench b;
  b.request();
  b.list("a", "7");
  b.request();
  CHECK(b.event("ADDED", 'b', "8"));
  b.reflector.broken("closed in the middle of an object", b.now);
  CHECK(b.reflector.health().state == State::kFailing);
  CHECK(b.names() == "ab");
  CHECK(b.watches_from("8"));
  CHECK(b.waited >= milliseconds(100));
}

TEST_CASE(
    "an API server that is away for minutes is asked ever more rarely, and is not forgotten") {
  Bench b;
  b.request();
  b.list("a", "7");
  const auto gone = b.now;
  unsigned tries = 0;
  for (; b.now < gone + seconds(300); ++tries) {
    b.request();
    CHECK(b.waited <= seconds(30));
    b.reflector.broken("connection refused", b.now);
    CHECK(b.names() == "a");
  }
  CHECK(tries > 10);
  CHECK(tries < 40);
  b.watches_from("7");
  CHECK(b.event("ADDED", 'b', "8"));
  CHECK(b.reflector.health().state == State::kSynced);
  CHECK(b.reflector.health().problem.empty());
  b.reflector.broken("again", b.now);
  b.request();
  CHECK(b.waited <= milliseconds(200));  // patience begins anew
}

TEST_CASE("compaction: 410 as a status or as an event lists again, and the copy stays meanwhile") {
  const bool as_event = GENERATE(false, true);
  Bench b;
  b.request();
  b.list("ab", "7");
  b.request();
  if (as_event) {
    CHECK_FALSE(b.reflector.frame(
        R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}})", b.now));
  } else {
    b.refuse(410);
  }
  CHECK(b.names() == "ab");
  CHECK(b.lists());
  b.list("c", "20", "next");
  CHECK(b.names() == "ab");
  // A continue token expires too: from the first page.
  b.request();
  b.refuse(410);
  CHECK(b.request() == "/api/v1/pods?limit=500");
  b.list("bc", "21");
  CHECK(b.names() == "bc");
}

TEST_CASE("429 and 503 are waited out as the server says, within bounds") {
  Bench b;
  b.request();
  b.refuse(429, 7);
  b.request();
  CHECK(b.waited >= seconds(7));
  CHECK(b.waited <= seconds(9));
  b.refuse(503, 86400);
  b.request();
  CHECK(b.waited >= seconds(60));
  CHECK(b.waited <= seconds(75));
  b.refuse(500);
  b.request();
  b.list("a", "3");
  CHECK(b.names() == "a");
}

TEST_CASE("a server that asks to wait is no failure to speak of; one that stays behind is listed") {
  Bench b;
  b.request();
  b.list("ab", "70");
  constexpr const char* kBehind = "Timeout: Too large resource version: 70, current: 60";
  const auto refuse = [&](int code, const char* message) {
    b.reflector.refused(
        {.code = code, .reason = "Timeout", .message = message, .retry_after_seconds = 3}, b.now);
  };
  b.request();
  refuse(429, "busy");
  CHECK(b.reflector.health().asked_to_wait);
  b.request();
  refuse(504, "Timeout: request did not complete");
  CHECK_FALSE(b.reflector.health().asked_to_wait);
  for (unsigned i = 0; i < Reflector::kInsist; ++i) {
    CHECK(b.watches_from("70"));
    CHECK(b.waited >= seconds(3));
    refuse(504, kBehind);
    CHECK(b.reflector.health().asked_to_wait);
    CHECK(b.names() == "ab");
  }
  SECTION("the list is as new as it was: the server has come after") {
    CHECK(b.lists());
    b.list("abc", "71");
    CHECK(b.names() == "abc");
  }
  SECTION("it stays older: etcd was restored") {
    for (unsigned i = 0; i < Reflector::kInsist; ++i) {
      CHECK(b.names() == "ab");
      CHECK(b.lists());
      b.list("a", "60");
    }
    CHECK(b.names() == "a");
    CHECK(b.watches_from("60"));
  }
}

TEST_CASE("a server that says older versions on each watch is asked for a list") {
  Bench b;
  b.request();
  b.list("ab", "70");
  for (unsigned i = 0; i < Reflector::kInsist; ++i) {
    CHECK(b.watches_from("70"));
    CHECK_FALSE(b.event("BOOKMARK", 'x', "60"));
  }
  CHECK(b.lists());
}

TEST_CASE("what cannot be read closes the watch; when it keeps coming, the list is made anew") {
  Bench b;
  b.request();
  b.list("a", "7");
  for (const char* line : {"{", "[]", R"({"type":"ADDED"})"}) {
    CHECK(b.watches_from("7"));
    CHECK_FALSE(b.reflector.frame(line, b.now));
    CHECK_FALSE(b.event("ADDED", 'z', "9"));  // what still comes of it is dropped
  }
  CHECK(b.names() == "a");
  CHECK(b.lists());
}

TEST_CASE("an older cache does not take the copy back in time") {
  Bench b;
  b.request();
  b.list("ab", "70");
  b.request();
  CHECK_FALSE(b.event("ADDED", 'c', "69"));
  CHECK_FALSE(b.event("ADDED", 'c', "71"));
  CHECK(b.names() == "ab");
  CHECK(b.watches_from("70"));
  CHECK_FALSE(b.event("DELETED", 'a', "70"));
  b.request();
  b.refuse(410);
  // A list from another replica that is behind: not taken, until it insists.
  CHECK(b.lists());
  b.list("a", "60");
  CHECK(b.names() == "ab");
  CHECK(b.lists());
  b.list("a", "61");
  CHECK(b.names() == "ab");
  CHECK(b.reflector.health().refused_old == 4);
  CHECK(b.lists());
  b.list("a", "62");
  CHECK(b.names() == "a");
}

TEST_CASE("a kind without its CRD is empty, and is picked up when it comes") {
  Bench b({"/apis/x/v1/things", "/apis/x/v1beta1/things"});
  CHECK(b.request() == "/apis/x/v1/things?limit=500");
  b.refuse(404);
  CHECK(b.request() == "/apis/x/v1beta1/things?limit=500");
  b.refuse(404);
  CHECK(b.reflector.health().complete);
  CHECK(b.reflector.health().state == State::kAbsent);
  CHECK(b.request() == "/apis/x/v1/things?limit=500");
  CHECK(b.waited <= seconds(15));
  b.list("a", "5");
  CHECK(b.names() == "a");
  CHECK(b.reflector.health().state == State::kSynced);
  // One 404 does not empty a policy's collection; one that stays does.
  b.request();
  b.refuse(404);
  for (int look = 0; look < 2; ++look) {
    for (int version = look == 0 ? 1 : 0; version < 2; ++version) {
      b.request();
      b.refuse(404);
      CHECK(b.names() == "a");
    }
  }
  b.request();
  b.refuse(404);
  b.request();
  b.refuse(404);
  CHECK(b.names().empty());
  CHECK(b.reflector.health().state == State::kAbsent);
}

TEST_CASE("a verb that RBAC withholds is named, and asked for again") {
  Bench b;
  b.request();
  b.refuse(403);
  CHECK(b.reflector.health().state == State::kForbidden);
  CHECK_FALSE(b.reflector.health().complete);
  CHECK(b.reflector.health().problem == "403 R: m");
  b.request();
  b.list("a", "3");
  CHECK(b.reflector.health().state == State::kSynced);
}

TEST_CASE("pages that are too large are asked for in halves") {
  Bench b;
  CHECK(b.request() == "/api/v1/pods?limit=500");
  b.reflector.too_large(b.now);
  CHECK(b.request() == "/api/v1/pods?limit=250");
  for (int i = 0; i < 8; ++i) {
    b.reflector.too_large(b.now);
    b.request();
  }
  b.reflector.too_large(b.now);
  CHECK(b.reflector.health().state == State::kFailing);
  CHECK(b.request() == "/api/v1/pods?limit=1");
}

TEST_CASE("watches that end at once do not become a busy loop") {
  Bench b;
  b.request();
  b.list("a", "7");
  const auto start = b.now;
  for (int i = 0; i < 20; ++i) {
    b.request();
    b.reflector.ended(b.now);
  }
  CHECK(b.now - start > seconds(60));
}

// ---- a watch that begins with the list ----------------------------------------------------------

namespace {

struct Streamed : Bench {
  Streamed() : Bench({"/api/v1/pods"}, true) {}

  bool asks_for_a_stream() {
    const std::string target = request();
    INFO(target);
    const bool streams = target.find("sendInitialEvents=true") != std::string::npos;
    CHECK(streams == (target.find("resourceVersionMatch=NotOlderThan") != std::string::npos));
    // The newest there is: no version.
    if (streams) CHECK(target.find("resourceVersion=") == std::string::npos);
    CHECK(streams == (target.find("limit=") == std::string::npos));
    return streams;
  }
  bool end_of_list(std::string_view version, bool marked = true) {
    return reflector.frame(
        R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":")" + std::string(version) +
            R"(")" + (marked ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : "") +
            "}}}",
        now);
  }
};

}  // namespace

TEST_CASE("where the server offers it, a list is the beginning of its watch") {
  Streamed b;
  REQUIRE(b.asks_for_a_stream());
  // In any order, and older than each other.
  CHECK(b.event("ADDED", 'b', "9"));
  CHECK(b.event("ADDED", 'a', "3"));
  CHECK(b.copy.objects.empty());  // not half a list
  CHECK_FALSE(b.reflector.health().complete);
  CHECK(b.end_of_list("12"));
  CHECK(b.copy.objects.size() == 2);
  CHECK(b.reflector.health().complete);
  CHECK(b.reflector.health().resource_version == "12");
  // And the same stream goes on as a watch.
  CHECK(b.event("DELETED", 'a', "13"));
  CHECK(b.copy.objects.size() == 1);
  b.reflector.ended(b.now);
  CHECK(b.watches_from("13"));
  // What was known stays until the next list is whole.
  b.reflector.refused({.code = 410, .reason = "Expired", .message = {}, .retry_after_seconds = {}},
                      b.now);
  REQUIRE(b.asks_for_a_stream());
  CHECK(b.event("ADDED", 'c', "20"));
  CHECK(b.copy.objects.contains("b"));
  CHECK(b.end_of_list("21"));
  CHECK(b.copy.objects.size() == 1);
  CHECK(b.copy.objects.contains("c"));
}

TEST_CASE("a server without watch-lists is asked for pages, at once and from then on") {
  Streamed b;
  REQUIRE(b.asks_for_a_stream());
  SECTION("it refuses") {
    b.reflector.refused({.code = 422,
                         .reason = "Invalid",
                         .message = "sendInitialEvents",
                         .retry_after_seconds = {}},
                        b.now);
  }
  SECTION("it does not know the word, and begins an ordinary watch") {
    CHECK(b.event("ADDED", 'a', "3"));
    CHECK_FALSE(b.end_of_list("5", /*marked=*/false));
  }
  SECTION("it says what no list says") { CHECK_FALSE(b.event("MODIFIED", 'a', "3")); }
  CHECK_FALSE(b.asks_for_a_stream());
  CHECK(b.waited == milliseconds(0));
  b.list("xy", "7");
  CHECK(b.copy.objects.size() == 2);
  CHECK(b.watches_from("7"));
  b.reflector.refused({.code = 410, .reason = "Expired", .message = {}, .retry_after_seconds = {}},
                      b.now);
  CHECK_FALSE(b.asks_for_a_stream());
}

TEST_CASE(
    "a watch-list that breaks off is begun anew, and after three of them pages are asked for") {
  Streamed b;
  for (int i = 0; i < 3; ++i) {
    INFO(i);
    REQUIRE(b.asks_for_a_stream());
    CHECK(b.event("ADDED", 'a', "3"));
    if (i == 1) {
      b.reflector.ended(b.now);
    } else {
      b.reflector.broken("reset", b.now);
    }
    CHECK(b.copy.objects.empty());
  }
  CHECK_FALSE(b.asks_for_a_stream());
  b.list("ab", "7");
  CHECK(b.copy.objects.size() == 2);
}

TEST_CASE("a watch-list from an older cache is not taken") {
  Streamed b;
  REQUIRE(b.asks_for_a_stream());
  CHECK(b.event("ADDED", 'a', "3"));
  CHECK(b.end_of_list("100"));
  b.reflector.refused({.code = 410, .reason = "Expired", .message = {}, .retry_after_seconds = {}},
                      b.now);
  REQUIRE(b.asks_for_a_stream());
  CHECK(b.event("ADDED", 'b', "4"));
  CHECK_FALSE(b.end_of_list("50"));
  CHECK(b.copy.objects.contains("a"));
  CHECK(b.reflector.health().refused_old == 1);
  REQUIRE(b.asks_for_a_stream());
}

}  // namespace mesh::kube
