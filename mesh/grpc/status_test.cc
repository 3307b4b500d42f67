#include "mesh/grpc/status.h"

#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::grpc {
namespace {

TEST_CASE("the end of a call is read from its trailers") {
  struct Row {
    const char* what;
    std::vector<HeaderView> trailers;
    unsigned http_status;
    Status status;
  };
  const auto row = GENERATE(values<Row>({
      {"ok", {{"grpc-status", "0"}}, 200, {StatusCode::kOk, ""}},
      {"a text",
       {{"grpc-status", "7"}, {"grpc-message", "no%20pod%20here"}},
       200,
       {StatusCode::kPermissionDenied, "no pod here"}},
      {"a code we do not know", {{"grpc-status", "99"}}, 200, {StatusCode::kUnknown, ""}},
      {"a huge code", {{"grpc-status", "99999999999999999999"}}, 200, {StatusCode::kUnknown, ""}},
      {"no number", {{"grpc-status", "ok"}}, 200, {StatusCode::kUnknown, ""}},
      {"empty", {{"grpc-status", ""}}, 200, {StatusCode::kUnknown, ""}},
      {"negative", {{"grpc-status", "-0"}}, 200, {StatusCode::kUnknown, ""}},
      {"two endings",
       {{"grpc-status", "13"}, {"grpc-status", "0"}},
       200,
       {StatusCode::kUnknown, ""}},
      {"none", {}, 200, {StatusCode::kUnknown, "the response ended without grpc-status"}},
      {"a proxy's 503", {}, 503, {StatusCode::kUnavailable, "http status 503"}},
      {"a proxy's 401", {}, 401, {StatusCode::kUnauthenticated, "http status 401"}},
      {"not found", {}, 404, {StatusCode::kUnimplemented, "http status 404"}},
      {"a code wins over HTTP", {{"grpc-status", "5"}}, 404, {StatusCode::kNotFound, ""}},
  }));
  INFO(row.what);
  const Status status = status_of_trailers(row.trailers, row.http_status);
  CHECK(status.code == row.status.code);
  CHECK(status.message == row.status.message);
}

TEST_CASE("grpc-message is percent-decoded, and can forge no log line") {
  CHECK(decode_message("100%25 of it") == "100% of it");
  CHECK(decode_message("%e2%82%AC") == "€");
  CHECK(decode_message("a%0Ab%00c\rd") == "a?b?c?d");
  CHECK(decode_message("%zz%2") == "%zz%2");
  CHECK(decode_message(std::string(5000, 'x')).size() == kStatusMessageMax);
}

TEST_CASE("a reset stream has a status too") {
  CHECK(status_of_reset(7).code == StatusCode::kUnavailable);
  CHECK(status_of_reset(8).code == StatusCode::kCancelled);
  CHECK(status_of_reset(0).code == StatusCode::kInternal);
  CHECK(status_code_name(StatusCode::kUnauthenticated) == "UNAUTHENTICATED");
}

}  // namespace
}  // namespace mesh::grpc
