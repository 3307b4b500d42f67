// The small pure parts: what is spoken, answers of our own, flags, lines of the log, settings.

#include <catch2/catch_test_macros.hpp>

#include "waypoint/flags.h"
#include "waypoint/local_reply.h"
#include "waypoint/settings.h"
#include "waypoint/sniff.h"
#include "waypoint/stats.h"

namespace mesh::waypoint {
namespace {

TEST_CASE("what the first bytes speak") {
  const struct {
    std::string_view bytes;
    Spoken spoken;
  } rows[] = {
      {"", Spoken::kMore},
      {"G", Spoken::kMore},
      {"GET", Spoken::kMore},
      {"GET ", Spoken::kMore},
      {"GET /", Spoken::kHttp1},
      {"GET http://a/", Spoken::kHttp1},
      {"OPTIONS *", Spoken::kHttp1},
      {"GET \x01", Spoken::kOther},
      {"GETX /", Spoken::kOther},
      {"get /", Spoken::kOther},
      {"P", Spoken::kMore},
      {"PR", Spoken::kMore},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Spoken::kHttp2},
      {"PRI * HTTP/2.0\r\n\r\nSM", Spoken::kMore},
      {"PRI / ", Spoken::kOther},
      {"PATCH /x", Spoken::kHttp1},
      {"\x16\x03\x01", Spoken::kOther},
      {"*1\r\n$4\r\nPING\r\n", Spoken::kOther},
      {"SSH-2.0-x", Spoken::kOther},
      {"EHLO x", Spoken::kOther},
  };
  for (const auto& row : rows) {
    INFO(row.bytes);
    CHECK(sniff(std::as_bytes(std::span(row.bytes))) == row.spoken);
  }
}

TEST_CASE("gRPC callers get the mapped status") {
  const struct {
    int http, grpc;
  } rows[] = {{400, 13}, {401, 16}, {403, 7},  {404, 12}, {429, 14},
              {502, 14}, {503, 14}, {504, 14}, {500, 2},  {418, 2}};
  for (const auto& row : rows) {
    const FormedReply formed = form({.status = row.http, .body = "a%b\nc"}, true);
    CHECK(formed.response.status == 200);
    CHECK(formed.grpc_status == row.grpc);
    CHECK(h2::find_header(formed.response.headers, "grpc-message") == "a%25b%0Ac");
    CHECK(formed.body.empty());
  }
  CHECK(form({.status = 429, .grpc_resource_exhausted = true}, true).grpc_status == 8);
  CHECK(form({.status = 403, .body = "no"}, false).response.status == 403);
}

TEST_CASE("flags print in one order") {
  Flags flags = Flag::kURX;
  flags.add(Flag::kUF);
  CHECK(flags.to_string() == "UF,URX");
  CHECK(Flags().to_string() == "-");
}

TEST_CASE("nothing that a client says ends a field or a line of the log") {
  Record record;
  record.method = "GET";
  record.path = "/\"\n200 -";
  record.user_agent = "x\r\ny";
  std::string text;
  append_access_text(text, {}, record, io::Duration::zero());
  CHECK(text.find('\n') == text.size() - 1);
  CHECK(text.contains("\"GET /\\x22\\x0a200 - HTTP/1.1\""));
  std::string json;
  append_access_json(json, {}, record, io::Duration::zero());
  CHECK(json.find('\n') == json.size() - 1);
}

TEST_CASE("labels in Istio's order") {
  Caller caller;
  caller.principal = "spiffe://cluster.local/ns/shop/sa/web";
  caller.ns = "shop";
  caller.labels = {.workload = "web", .service = "web", .revision = "v1"};
  Record record;
  record.status = 200;
  record.service_host = "cart.shop.svc.cluster.local";
  record.upstream_workload = "cart;shop;cart;v2;Kubernetes";
  std::string labels;
  append_labels(labels, caller, record);
  CHECK(labels.starts_with("reporter=\"waypoint\",source_workload=\"web\""));
  CHECK(labels.contains("destination_workload=\"cart\""));
  CHECK(labels.contains("response_code=\"200\""));
}

TEST_CASE("settings: flags win, and mistakes are told in one line") {
  const auto none = [](const char* name) -> const char* {
    return std::string_view(name) == "POD_NAMESPACE" ? "from-env" : nullptr;
  };
  const auto parsed =
      parse_settings({"--namespace", "shop", "--service-account", "waypoint"}, none, 8);
  REQUIRE(parsed.settings.has_value());
  CHECK(parsed.settings->identity() == "spiffe://cluster.local/ns/shop/sa/waypoint");
  CHECK(parsed.settings->workers == 1);
  CHECK(parse_settings({}, none, 8).text == "weft-waypoint: --service-account is needed\n");
  CHECK(parse_settings({"--service-account", "a", "--admin", "0.0.0.0:1"}, none, 8).text ==
        "weft-waypoint: --admin must be a loopback address\n");
  CHECK(parse_settings({"--help"}, none, 8).status == 0);
  const std::vector<std::string> needed = {"--namespace", "shop", "--service-account", "waypoint"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), needed.begin(), needed.end());
    return parse_settings(std::move(more), none, 8);
  };
  CHECK(with({}).settings->drain_delay == std::chrono::seconds(1));
  CHECK(with({"--drain-delay", "0s"}).settings->drain_delay == std::chrono::seconds(0));
  CHECK(with({"--drain-delay", "soon"}).text ==
        "weft-waypoint: --drain-delay: cannot read 'soon'\n");
}

}  // namespace
}  // namespace mesh::waypoint
