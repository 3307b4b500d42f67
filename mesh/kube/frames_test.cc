#include "mesh/kube/frames.h"

#include <catch2/catch_test_macros.hpp>

#include <vector>

#include "mesh/kube/resource.h"

namespace mesh::kube {

TEST_CASE("lines come out the same however the bytes are cut") {
  const std::string text = "one\n\ntwo\nthree";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    LineSplitter splitter;
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size(); at += step) {
      REQUIRE(splitter.feed(text.substr(at, step), [&](std::string_view line) {
        lines.emplace_back(line);
        return true;
      }));
    }
    CHECK(lines == std::vector<std::string>{"one", "two"});
    CHECK(splitter.pending() == 5);
  }
}

TEST_CASE("a line over the limit is refused before it is held") {
  LineSplitter splitter;
  const std::string piece(kMaxLineBytes / 2, 'x');
  const auto ignore = [](std::string_view) { return true; };
  CHECK(splitter.feed(piece, ignore));
  CHECK(splitter.feed(piece, ignore));
  CHECK(splitter.feed("x", ignore).error().reason == Reason::kTooLarge);
}

TEST_CASE("a watch's frames") {
  const auto added =
      read_watch_frame(R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"5"}}})");
  REQUIRE(added);
  CHECK(added->type == WatchFrame::Type::kAdded);
  CHECK(added->resource_version == "5");
  const auto end = read_watch_frame(
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"6",
          "annotations":{"k8s.io/initial-events-end":"true"}}}})");
  REQUIRE(end);
  CHECK(end->initial_events_end);
  const auto error = read_watch_frame(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}})");
  REQUIRE(error);
  CHECK(error->status.code == 410);
  CHECK(error->status.message == "too old");
  for (const char* bad :
       {"", "{}", "[]", R"({"type":"ADDED"})", R"({"type":"ADDED","object":3})",
        R"({"type":"NEW","object":{}})", R"({"type":"ADDED","object":{"metadata":{}}})"}) {
    CHECK_FALSE(read_watch_frame(bad));
  }
}

TEST_CASE("a refusal in the server's words, or in whatever it said") {
  const auto status = read_status(429, R"({"kind":"Status","code":429,"reason":"TooManyRequests",
      "message":"slow","details":{"retryAfterSeconds":3}})");
  CHECK(status.code == 429);
  CHECK(status.reason == "TooManyRequests");
  CHECK(status.retry_after_seconds == 3);
  CHECK(read_status(502, "<html>\n").message == "<html> ");
}

TEST_CASE("paths of collections and objects") {
  using manifest::Kind;
  CHECK(types_of(Kind::kPod)[0].path() == "/api/v1/pods");
  CHECK(types_of(Kind::kPod)[0].path("shop", "web", "status") ==
        "/api/v1/namespaces/shop/pods/web/status");
  CHECK(types_of(Kind::kNamespace)[0].path("", "shop") == "/api/v1/namespaces/shop");
  const auto path = [](Kind kind) { return types_of(kind)[0].path(); };
  CHECK(path(Kind::kAuthorizationPolicy) == "/apis/security.istio.io/v1/authorizationpolicies");
  CHECK(path(Kind::kServiceEntry) == "/apis/networking.istio.io/v1/serviceentries");
  CHECK(path(Kind::kGateway) == "/apis/gateway.networking.k8s.io/v1/gateways");
  CHECK(path(Kind::kEndpointSlice) == "/apis/discovery.k8s.io/v1/endpointslices");
  CHECK(types_of(Kind::kGateway)[1].version == "v1beta1");
  CHECK(types_of(Kind::kPod)[0].path("../x") == "/api/v1/namespaces/..%2Fx/pods");
}

}  // namespace mesh::kube
