#include "mesh/h2/message.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::h2 {
namespace {

TEST_CASE("what an extended CONNECT may look like") {
  const Header scheme{":scheme", "http"}, path{":path", "/"}, authority{":authority", "a"};
  const Header connect{":method", "CONNECT"}, get{":method", "GET"};
  const Header websocket{":protocol", "websocket"};
  const auto check = [](const Headers& headers, MessageKind kind) {
    return check_message(headers, kind);
  };
  using enum MessageFault;
  const Headers whole = {connect, scheme, path, authority, websocket};
  CHECK(check(whole, MessageKind::kExtendedRequest) == kNone);
  CHECK(check(whole, MessageKind::kRequest) == kBadPseudo);
  CHECK(check({connect, authority, websocket}, MessageKind::kExtendedRequest) == kBadPseudo);
  CHECK(check({get, scheme, path, authority, websocket}, MessageKind::kExtendedRequest) ==
        kBadPseudo);
  CHECK(check({connect, scheme, path, authority, {":protocol", ""}},
              MessageKind::kExtendedRequest) == kBadPseudo);
  CHECK(check({connect, authority}, MessageKind::kExtendedRequest) == kNone);
}

TEST_CASE("what a header list may look like") {
  struct Row {
    const char* what;
    MessageKind kind;
    Headers headers;
    MessageFault fault;
  };
  using enum MessageFault;
  constexpr auto kRequest = MessageKind::kRequest;
  constexpr auto kResponse = MessageKind::kResponse;
  constexpr auto kTrailers = MessageKind::kTrailers;
  const Header get{":method", "GET"};
  const Header scheme{":scheme", "http"};
  const Header path{":path", "/"};
  const Header connect{":method", "CONNECT"};
  const Header authority{":authority", "10.0.0.1:80"};
  const Header status{":status", "200"};
  const auto row = GENERATE_COPY(values<Row>({
      {"CONNECT", kRequest, {connect, authority}, kNone},
      {"CONNECT without authority", kRequest, {connect}, kNone},
      {"CONNECT with :path", kRequest, {connect, authority, {":path", "/"}}, kBadPseudo},
      {"CONNECT with :scheme", kRequest, {connect, authority, {":scheme", "https"}}, kBadPseudo},
      {"extended CONNECT", kRequest, {connect, authority, {":protocol", "websocket"}}, kBadPseudo},
      {"empty authority", kRequest, {connect, {":authority", ""}}, kBadAuthority},
      {"authority that is no host", kRequest, {connect, {":authority", "%%%:7000"}}, kBadAuthority},
      {"unbracketed IPv6", kRequest, {connect, {":authority", "fd00:78::2:7000"}}, kBadAuthority},
      {"GET", kRequest, {get, scheme, path}, kNone},
      {"GET without path", kRequest, {{":method", "GET"}, {":scheme", "http"}}, kBadPseudo},
      {"no method", kRequest, {authority}, kBadPseudo},
      {"two authorities", kRequest, {connect, authority, authority}, kBadPseudo},
      {"pseudo after regular", kRequest, {connect, {"x", "y"}, authority}, kBadName},
      {"unknown pseudo", kRequest, {connect, authority, {":x", "y"}}, kBadName},
      {"upper case", kRequest, {connect, authority, {"X-y", "z"}}, kUpperCase},
      {"connection", kRequest, {connect, authority, {"connection", "close"}}, kConnectionHeader},
      {"te: gzip", kRequest, {connect, authority, {"te", "gzip"}}, kConnectionHeader},
      {"te: trailers", kRequest, {connect, authority, {"te", "trailers"}}, kNone},
      {"content-length", kRequest, {connect, authority, {"content-length", "5"}}, kNone},
      {"space around a value", kRequest, {connect, authority, {"x", "a "}}, kBadValue},
      {"a tab before a value", kRequest, {connect, authority, {"x", "\ta"}}, kBadValue},
      {"control character", kRequest, {connect, authority, {"x", "a\nb"}}, kBadValue},
      {"a space in a name", kRequest, {connect, authority, {"x y", "z"}}, kBadName},
      {"a status in a request", kRequest, {connect, authority, status}, kBadPseudo},
      {"200", kResponse, {status}, kNone},
      {"100", kResponse, {{":status", "100"}}, kNone},
      {"101", kResponse, {{":status", "101"}}, kBadPseudo},
      {"no status", kResponse, {{"x", "y"}}, kBadPseudo},
      {"status 99", kResponse, {{":status", "099"}}, kBadPseudo},
      {"status 2000", kResponse, {{":status", "2000"}}, kBadPseudo},
      {"method in a response", kResponse, {status, connect}, kBadPseudo},
      {"trailers", kTrailers, {{"grpc-status", "0"}}, kNone},
      {"pseudo in trailers", kTrailers, {status}, kBadPseudo},
  }));
  INFO(row.what);
  CHECK(check_message(row.headers, row.kind) == row.fault);
}

TEST_CASE("a value without the space around it") {
  CHECK(without_space_around(" \ta b\t ") == "a b");
  CHECK(without_space_around("a") == "a");
  CHECK(without_space_around(" \t").empty());
  CHECK(without_space_around("\na") == "\na");
}

TEST_CASE("what an authority may look like") {
  for (const char* good : {"10.0.0.1:80", "[fd00::1]:80", "svc.ns.svc.cluster.local:80", "host",
                           "10.0.0.1:07000", "10.0.0.1:0", "svc.ns.:80"}) {
    INFO(good);
    CHECK(is_authority(good));
  }
  for (const char* bad :
       {"", ":80", "a b:80", "user@host:80", "fd00::1:80", "[fd00::1", "[]:80", "host:", "host:8x",
        "[fd00::1]80", "%%%:7000", "host:1234567890", "a/b:1"}) {
    INFO(bad);
    CHECK(!is_authority(bad));
  }
}

}  // namespace
}  // namespace mesh::h2
