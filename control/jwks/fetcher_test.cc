#include "control/jwks/fetcher.h"

#include <unistd.h>

#include <atomic>
#include <semaphore>

#include <catch2/catch_test_macros.hpp>

#include "control/http_server.h"

namespace mesh::control::jwks {
namespace {

const std::string kSet = R"({"keys":[{"kty":"EC"}]})";

// An issuer whose answer the test chooses.
struct Issuer {
  std::mutex mutex;
  HttpResponse response;
  std::atomic<int> asked{0};
  std::counting_semaphore<> heard{0};
  std::unique_ptr<HttpServer> server;

  Issuer() {
    auto started =
        HttpServer::start(*net::SocketAddress::parse("127.0.0.1:0"), [this](const admin::Request&) {
          ++asked;
          heard.release();
          const std::lock_guard lock(mutex);
          return response;
        });
    REQUIRE(started);
    server = *std::move(started);
  }
  void answer(HttpResponse now) {
    const std::lock_guard lock(mutex);
    response = std::move(now);
  }
  std::shared_ptr<const World> world() const {
    manifest::RequestAuthentication object;
    object.metadata.ns = "shop";
    object.metadata.name = "jwt";
    object.rules.emplace_back().jwks_uri =
        "http://127.0.0.1:" + std::to_string(server->port()) + "/keys";
    return std::make_shared<const World>(
        Objects{{manifest::ObjectKey{manifest::Kind::kRequestAuthentication, "shop", "jwt"},
                 std::make_shared<const manifest::Object>(std::move(object))}});
  }
};

struct Bench {
  telemetry::LogFilter filter;
  telemetry::LogSink sink{STDERR_FILENO};
  telemetry::Log log{sink, {}, filter};
  std::counting_semaphore<> news{0};
  Fetcher fetcher{log, [this] { news.release(); }};
};

}  // namespace

TEST_CASE("keys are fetched from where they are said to be") {
  Issuer issuer;
  issuer.answer({.body = kSet});
  Bench bench;
  const auto asked = issuer.world();
  CHECK(bench.fetcher.fill(asked) == asked);
  REQUIRE(bench.news.try_acquire_for(std::chrono::seconds(20)));
  const auto filled = bench.fetcher.fill(asked);
  CHECK(filled->find<manifest::RequestAuthentication>("shop", "jwt")->rules[0].jwks == kSet);
  CHECK(bench.fetcher.statuses()[0].known);
  CHECK(issuer.asked == 1);
}

TEST_CASE("what is not a good answer is asked for again, and is never taken") {
  Issuer issuer;
  SECTION("not 200") { issuer.answer({.status = 404, .body = kSet}); }
  SECTION("too long") { issuer.answer({.body = kSet + std::string(300 << 10, ' ')}); }
  SECTION("nothing of the kind") { issuer.answer({.body = "<html>"}); }
  Bench bench;
  const auto asked = issuer.world();
  (void)bench.fetcher.fill(asked);
  REQUIRE(issuer.heard.try_acquire_for(std::chrono::seconds(20)));
  issuer.answer({.body = kSet});
  REQUIRE(bench.news.try_acquire_for(std::chrono::seconds(20)));
  CHECK(issuer.asked == 2);
  CHECK(bench.fetcher.statuses()[0].problem.empty());
}

}  // namespace mesh::control::jwks
