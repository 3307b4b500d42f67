#include "ztunnel/dump.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/workload/directory_builder.h"
#include "ztunnel/json.h"

namespace mesh::ztunnel {
namespace {

TEST_CASE("JSON: nesting, commas and escapes") {
  JsonWriter json;
  json.object();
  json.field("a", "x\"y");
  json.key("b").array();
  json.number(1);
  json.boolean(false);
  json.null();
  json.end();
  json.key("c").object();
  json.end();
  json.end();
  CHECK(json.take() ==
        "{\n  \"a\": \"x\\\"y\",\n  \"b\": [\n    1,\n    false,\n    null\n  ],\n  \"c\": {}\n}");
}

TEST_CASE("base64 and RFC 3339") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(rfc3339(std::chrono::sys_seconds(std::chrono::seconds(1795250347))) ==
        "2026-11-21T08:39:07Z");
}

std::string dump_of_little_world() {
  workload::DirectoryBuilder builder(nullptr);
  auto server = std::make_shared<workload::Workload>();
  server->uid = "Kubernetes//Pod/app/server-1";
  server->name = "server-1";
  server->ns = "app";
  server->trust_domain = "cluster.local";
  server->service_account = "server";
  server->tunnel = workload::TunnelProtocol::kHbone;
  server->addresses = {*net::IpAddress::parse("10.78.0.2"), *net::IpAddress::parse("fd00:78::2")};
  server->authorization_policies = {"other/w"};
  server->capacity = 5;
  server->services.push_back({.service = {.ns = "app", .hostname = "srv.app.svc.cluster.local"},
                              .ports = {{.service_port = 81, .target_port = 7001},
                                        {.service_port = 80, .target_port = 7000}}});
  builder.set(server);
  auto service = std::make_shared<workload::Service>();
  service->key = {.ns = "app", .hostname = "srv.app.svc.cluster.local"};
  service->name = "srv";
  service->vips = {{.network = "", .block = *net::Cidr::parse("10.96.0.1")},
                   {.network = "", .block = *net::Cidr::parse("10.100.0.0/24")}};
  service->waypoint = {.destination =
                           workload::NetworkAddress{.ip = *net::IpAddress::parse("10.78.0.3")}};
  builder.set(service);
  workload::Delta delta;
  auto policy = std::make_shared<policy::Policy>();
  policy->key = "app/deny-7010";
  policy->ns = "app";
  policy->name = "deny-7010";
  policy->any_of.push_back({.all_of = {{.any_of = {{.destination_ports = {7010}}}}}});
  delta.policies.push_back(policy);
  builder.apply(delta);
  const auto directory = std::move(builder).build();
  const Config config;
  const std::map<std::string, PodEntry> pods = {
      {"uid-1", PodEntry{.spec = {.info = {.uid = "uid-1",
                                           .name = "server-1",
                                           .ns = "app",
                                           .service_account = "server"},
                                  .id = *net::SpiffeId::make("cluster.local", "app", "server")},
                         .state = PodState::kUp}}};
  return dump({.config = config,
               .directory = *directory,
               .certificates = {},
               .pods = pods,
               .connections = {{.pod_uid = "uid-1",
                                .direction = Direction::kInbound,
                                .hbone = true,
                                .source = *net::SocketAddress::parse("10.78.0.1:32896"),
                                .dialled = *net::SocketAddress::parse("10.78.0.2:7000"),
                                .actual = *net::SocketAddress::parse("10.78.0.2:7000")}},
               .control_version = "7"});
}

TEST_CASE("golden: the dump has Istio's keys and spellings") {
  const std::string text = dump_of_little_world();
  for (const char* part :
       {"\"protocol\": \"HBONE\"", "\"uid\": \"Kubernetes//Pod/app/server-1\"",
        "\"authorizationPolicies\": [\n        \"other/w\"\n      ]", "\"capacity\": 5",
        "\"app/srv.app.svc.cluster.local\": {\n          \"80\": 7000,\n          \"81\": 7001",
        "\"vips\": [\n        \"/10.96.0.1\"\n      ]", "\"cidr\": \"10.100.0.0/24\"",
        "\"destination\": \"/10.78.0.3\",\n        \"hboneMtlsPort\": 15008",
        "\"action\": \"Deny\"", "\"destinationPorts\": [\n                7010\n",
        "\"scope\": \"Namespace\"", "\"state\": \"Up\"", "\"src\": \"10.78.0.1:32896\"",
        "\"originalDst\": null", "\"actualDst\": \"10.78.0.2:7000\"", "\"status\": \"Healthy\"",
        "\"controlVersion\": \"7\"", "\"workloadType\": \"deployment\""}) {
    INFO(part);
    CHECK(text.find(part) != std::string::npos);
  }
  // Top level keys of the recording.
  for (const char* key : {"certificates", "config", "policies", "services", "stagedServices",
                          "version", "workloadState", "workloads"}) {
    CHECK(text.find("\n  \"" + std::string(key) + "\": ") != std::string::npos);
  }
}

}  // namespace
}  // namespace mesh::ztunnel
