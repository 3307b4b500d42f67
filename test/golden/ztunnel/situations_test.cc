// The recorded situations, played to our proxies in a simulated network: equal access-log records
// and metric effects, except for what test/golden/README.md lists. Those in which the far end is at
// fault, or the proxies themselves end, are in far_ends_test.cc.

#include <catch2/catch_test_macros.hpp>

#include "test/golden/ztunnel/bench.h"

namespace mesh::ztunnel {
namespace {

struct Row {
  const char* situation;
  const char* to;
  Dial how;
  std::size_t received;
  bool reset;
};

TEST_CASE("golden: situations of the outbound side, equal in log and metrics") {
  Bench bench;
  Application echo_outside(bench.mesh.world, *bench.mesh.outside_ring, {{9000, Serve::kEcho}});
  for (const Row& row : std::initializer_list<Row>{
           {"hbone-service-success", "10.96.0.1:80", Dial::kHundred, 100, false},
           {"hbone-pod-success", "10.78.0.2:7000", Dial::kHundred, 100, false},
           {"hbone-ipv6-success", "[fd00:78::2]:7000", Dial::kHundred, 100, false},
           {"hbone-no-data", "10.78.0.2:7000", Dial::kNothing, 0, false},
           {"hbone-policy-denied", "10.78.0.2:7010", Dial::kNothing, 0, true},
           {"hbone-app-refused", "10.78.0.2:7009", Dial::kNothing, 0, true},
           {"hbone-server-half-close", "10.78.0.2:7003", Dial::kHundred, 5, false},
           {"hbone-sized", "10.96.0.1:82", Dial::kThousand, 500, false},
           {"hbone-refused-15008", "10.78.0.3:7000", Dial::kNothing, 0, true},
           {"passthrough-unknown-success", "10.78.0.254:9000", Dial::kHundred, 100, false},
           {"passthrough-unknown-refused", "10.78.0.254:9001", Dial::kNothing, 0, true},
           {"passthrough-tcp-workload", "10.78.0.4:7000", Dial::kHundred, 100, false}}) {
    INFO(row.situation);
    Dialled seen;
    const auto told = bench.play_dial(row.to, row.how, seen);
    CHECK(seen.received == row.received);
    CHECK(seen.reset == row.reset);
    bench.expect_recorded(row.situation, told);
  }
}

TEST_CASE("golden: situations of the plaintext side, equal in log and metrics") {
  Bench bench;
  struct From {
    const char* situation;
    io::Ring& ring;
    const char* to;
    Dial how;
    bool reset;
  };
  for (const From& row :
       std::initializer_list<From>{{"plaintext-inbound-success", *bench.mesh.peer_ring,
                                    "10.78.0.2:7000", Dial::kHundred, false},
                                   {"plaintext-inbound-denied", *bench.mesh.peer_ring,
                                    "10.78.0.2:7010", Dial::kNothing, true},
                                   {"plaintext-inbound-refused", *bench.mesh.peer_ring,
                                    "10.78.0.2:7009", Dial::kNothing, true},
                                   {"plaintext-inbound-unknown-source", *bench.mesh.outside_ring,
                                    "10.78.0.2:7000", Dial::kHundred, false}}) {
    INFO(row.situation);
    Dialled seen;
    const auto told =
        bench.play([&] { bench.mesh.run(row.ring, dial(row.ring, at(row.to), row.how, seen)); });
    CHECK(seen.reset == row.reset);
    bench.expect_recorded(row.situation, told);
  }
}

TEST_CASE("do better 11: refusals that left no trace in the metrics now do") {
  Bench bench;
  const auto failed_total = [&](TestNode& node) {
    double sum = 0;
    for (const auto& [key, value] : counters(node.metrics())) {
      if (key.starts_with("istio_tcp_connections_failed_total")) sum += value;
    }
    return sum;
  };
  for (const char* situation : {"service-no-endpoints", "service-unknown-port"}) {
    INFO(situation);
    const bool empty = std::string_view(situation) == "service-no-endpoints";
    const double before = failed_total(bench.mesh.one);
    Dialled seen;
    const auto told =
        bench.play_dial(empty ? "10.96.0.5:80" : "10.96.0.1:9999", Dial::kNothing, seen);
    CHECK(seen.reset);
    CHECK(told.client == recorded_lines(situation, "client"));
    CHECK(failed_total(bench.mesh.one) == before + 1);
    CHECK(bench.mesh.one.metrics().find("weft_connections_refused_total{reporter=\"source\","
                                        "reason=\"no_endpoint\"}") != std::string::npos);
  }
}

TEST_CASE("an application's reset is a reset for the far application, and no success in any log") {
  Bench bench;
  Dialled seen;
  auto told = bench.play_dial("10.78.0.2:7000", Dial::kResetAfterHundred, seen);
  REQUIRE(told.client.size() == 1);
  CHECK(told.client[0].starts_with("error complete "));
  REQUIRE(told.server.size() == 1);
  CHECK(told.server[0].starts_with("error complete "));

  told = bench.play_dial("10.78.0.2:7004", Dial::kHundred, seen);
  CHECK(seen.reset);
  CHECK(told.client.at(0).starts_with("error complete "));
}

TEST_CASE("golden: situations of the HBONE side, equal in log; do better 7 and 11") {
  Bench bench;
  struct Asked {
    const char* situation;
    const char* authority;
    int status;
  };
  for (const Asked& row : std::initializer_list<Asked>{
           {"server-hostname-success", "srv.app.svc.cluster.local:80", 200},
           {"server-dst-mismatch", "10.78.0.4:7000", 400},
           {"server-unknown-host", "nope.app.svc.cluster.local:80", 503},
           {"server-illegal-port", "10.78.0.2:15001", 503}}) {
    INFO(row.situation);
    Tunnelled seen;
    const auto told = bench.play([&] {
      bench.mesh.run(*bench.mesh.peer_ring, ask(bench.mesh, kPeer, row.authority, seen));
    });
    CHECK(seen.status == row.status);
    CHECK(told.server == recorded_lines(row.situation, "server"));
    if (row.status == 200) {
      CHECK(told.server_metrics == recorded_changes(row.situation, "server"));
    } else {
      CHECK(told.server_metrics.size() == 1);  // recorded: nothing at all
    }
  }
}

TEST_CASE("do better 7: a pod refuses the host name of a service it does not back") {
  Bench bench;
  for (const char* authority :
       {"empty.app.svc.cluster.local:80", "wpsvc.app.svc.cluster.local:80"}) {
    Tunnelled seen;
    bench.mesh.run(*bench.mesh.peer_ring, ask(bench.mesh, kPeer, authority, seen));
    CHECK(seen.status == 503);
  }
  // And every port on which the proxy itself listens in a pod.
  for (const char* authority :
       {"10.78.0.2:15001", "10.78.0.2:15006", "10.78.0.2:15008", "10.78.0.2:15053"}) {
    Tunnelled seen;
    bench.mesh.run(*bench.mesh.peer_ring, ask(bench.mesh, kPeer, authority, seen));
    CHECK(seen.status == 503);
  }
}

TEST_CASE("do better 11: a handshake that fails is counted by its reason") {
  Bench bench;
  Tunnelled seen;
  bench.mesh.run(*bench.mesh.peer_ring,
                 ask(bench.mesh, "spiffe://other.example/ns/web/sa/peer", "10.78.0.2:7000", seen));
  CHECK(seen.status == 0);
  const std::string page = bench.mesh.two.metrics();
  CHECK(page.find("response_flags=\"TLS_FAILURE\"") != std::string::npos);
  const auto lines = access_lines(bench.mesh.two);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with("warn failed "));
  CHECK(lines[0].find("error=tls handshake error: ") != std::string::npos);
}

}  // namespace
}  // namespace mesh::ztunnel
