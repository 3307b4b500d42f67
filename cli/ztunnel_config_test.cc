#include "cli/ztunnel_config.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli {
namespace {

constexpr const char* kDump = R"({
  "workloads": [{"namespace": "shop", "name": "web", "workloadIps": ["10.0.0.1", "fd00::1"],
                 "node": "node-1", "protocol": "HBONE", "status": "Healthy"}],
  "services": [{"namespace": "shop", "name": "cart", "vips": ["/10.96.0.1"],
                "endpoints": {"a": {"status": "Healthy"}, "b": {"status": "Unhealthy"}},
                "waypoint": {"destination": "shop/wp"}}],
  "policies": [{"namespace": "shop", "name": "no-web", "action": "Deny",
                "scope": "WorkloadSelector", "rules": [[]], "dryRun": false}],
  "certificates": [{"identity": "spiffe://t/ns/shop/sa/web", "state": "Available",
                    "certChain": [{"serialNumber": "1", "validFrom": "a", "expirationTime": "b"}],
                    "rootCerts": [{"serialNumber": "2", "validFrom": "c", "expirationTime": "d"}]},
                   {"identity": "spiffe://t/ns/shop/sa/cart", "state": "Initializing",
                    "certChain": []}],
  "workloadState": {"uid": {"state": "Up", "info": {"name": "web", "namespace": "shop"},
    "connections": {"inbound": [], "outbound": [{"src": "10.0.0.1:5", "originalDst": "10.96.0.1:80",
      "actualDst": "10.0.0.2:15008", "protocol": "HBONE"}]}}}})";

}  // namespace

TEST_CASE("each part of a dump as a table") {
  struct Row {
    DumpPart part;
    std::vector<std::vector<std::string>> rows;
  };
  const std::vector<Row> cases = {
      {DumpPart::kWorkload,
       {{"shop", "web", "10.0.0.1,fd00::1", "node-1", "", "HBONE", "Healthy"}}},
      {DumpPart::kService, {{"shop", "cart", "10.96.0.1", "shop/wp", "1/2"}}},
      {DumpPart::kPolicy, {{"shop", "no-web", "Deny", "WorkloadSelector", "1", "no"}}},
      {DumpPart::kCertificate,
       {{"spiffe://t/ns/shop/sa/web", "leaf", "Available", "1", "a", "b"},
        {"spiffe://t/ns/shop/sa/web", "root", "Available", "2", "c", "d"},
        {"spiffe://t/ns/shop/sa/cart", "leaf", "Initializing", "", "", ""}}},
      {DumpPart::kConnections,
       {{"shop/web", "outbound", "10.0.0.1:5", "10.96.0.1:80", "10.0.0.2:15008", "HBONE"}}},
  };
  for (const Row& row : cases) {
    auto rows = dump_rows(row.part, kDump);
    REQUIRE(rows);
    INFO(rows->at(0).at(0));
    CHECK(rows->at(0).size() == row.rows[0].size());
    rows->erase(rows->begin());
    CHECK(*rows == row.rows);
  }
}

TEST_CASE("what is not a dump is an error, what a dump lacks is empty") {
  CHECK_FALSE(dump_rows(DumpPart::kPolicy, "<html>"));
  CHECK(dump_rows(DumpPart::kPolicy, "{}")->size() == 1);
  CHECK(dump_rows(DumpPart::kService, R"({"services": [1, {"vips": 3, "endpoints": 4}]})"));
  CHECK(dump_json(DumpPart::kPolicy, R"({"policies": []})") == "[]");
}

}  // namespace mesh::cli
