#include "waypoint/http/request.h"

#include <catch2/catch_test_macros.hpp>

#include "waypoint/http/dice.h"
#include "waypoint/http/xxhash.h"

namespace mesh::waypoint::http {
namespace {

TEST_CASE("a header that occurs twice is its values, joined") {
  const h2::Headers headers = {{"a", "1"}, {"b", ""}, {"a", "2"}, {"c", ""}, {"c", ""}};
  CHECK(header_text(headers, "a").text() == "1,2");
  CHECK(header_text(headers, "b").value() == "");
  CHECK(header_text(headers, "c").text() == ",");
  CHECK_FALSE(header_text(headers, "d").present());
}

TEST_CASE("pseudo-headers are looked up by their names") {
  const Request request{.method = "GET", .authority = "a:80", .path = "/x?y=1", .headers = {}};
  CHECK(header_text(request, ":method").text() == "GET");
  CHECK(header_text(request, "host").text() == "a:80");
  CHECK(header_text(request, ":path").text() == "/x?y=1");
  CHECK(header_text(request, ":scheme").text() == "http");
  CHECK(request.path_only() == "/x");
  CHECK(request.query() == "y=1");
}

TEST_CASE("the first of a query parameter counts") {
  CHECK(query_parameter("a=1&a=2", "a") == "1");
  CHECK(query_parameter("a&b=", "a") == "");
  CHECK(query_parameter("a&b=", "b") == "");
  CHECK(query_parameter("&&x=a=b", "x") == "a=b");
  CHECK(query_parameter("ab=1", "a") == std::nullopt);
  CHECK(query_parameter("", "") == std::nullopt);
}

TEST_CASE("a cookie is found among several") {
  const h2::Headers headers = {{"cookie", "a=1; b=\"two\""}, {"cookie", "c=3"}};
  CHECK(cookie(headers, "a") == "1");
  CHECK(cookie(headers, "b") == "two");
  CHECK(cookie(headers, "c") == "3");
  CHECK(cookie(headers, "d") == std::nullopt);
}

TEST_CASE("gRPC is told by its content type") {
  CHECK(is_grpc({{"content-type", "application/grpc"}}));
  CHECK(is_grpc({{"content-type", "application/grpc+proto"}}));
  CHECK_FALSE(is_grpc({{"content-type", "application/grpc-web"}}));
  CHECK_FALSE(is_grpc({}));
}

TEST_CASE("the hash is XXH64") {
  CHECK(xxhash64("") == 0xef46db3751d8e999);
  CHECK(xxhash64("a") == 0xd24ec4f1a98c6e5b);
  CHECK(xxhash64("abc") == 0x44bc2cf5ad770999);
  CHECK(xxhash64("Nobody inspects the spammish repetition") == 0xfbcea83c8a378bf1);
}

TEST_CASE("dice repeat themselves and stay in range") {
  Dice a(7);
  Dice b(7);
  for (int i = 0; i < 1000; ++i) {
    CHECK(a.below(10) == b.below(10));
    const double unit = a.unit();
    b.roll();
    REQUIRE((unit >= 0 && unit < 1));
  }
}

}  // namespace
}  // namespace mesh::waypoint::http
