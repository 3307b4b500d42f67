#include "mesh/telemetry/tcp_metrics.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::telemetry {
namespace {

using namespace std::chrono_literals;

constexpr TcpEnd kClient{.workload = "client",
                         .canonical_service = "client",
                         .canonical_revision = "v1",
                         .workload_namespace = "web",
                         .principal = "spiffe://cluster.local/ns/web/sa/client",
                         .cluster = "Kubernetes",
                         .region = "r1",
                         .zone = "z1"};
constexpr TcpEnd kServer{.workload = "server",
                         .canonical_service = "server",
                         .canonical_revision = "v1",
                         .workload_namespace = "app",
                         .principal = "spiffe://cluster.local/ns/app/sa/server",
                         .cluster = "Kubernetes",
                         .region = "r2",
                         .zone = "z2"};

TcpLabels to_service() {
  return {.reporter = Reporter::kSource,
          .source = kClient,
          .destination = kServer,
          .service = "srv.app.svc.cluster.local",
          .service_namespace = "app",
          .service_name = "srv",
          .response_flags = "-",
          .mutual_tls = true};
}

TEST_CASE("golden: labels have Istio's names and order") {
  std::string text;
  append_tcp_labels(text, to_service());
  CHECK(text ==
        R"(reporter="source",source_workload="client",source_canonical_service="client",)"
        R"(source_canonical_revision="v1",source_workload_namespace="web",)"
        R"(source_principal="spiffe://cluster.local/ns/web/sa/client",source_app="client",)"
        R"(source_version="v1",source_cluster="Kubernetes",)"
        R"(destination_service="srv.app.svc.cluster.local",destination_service_namespace="app",)"
        R"(destination_service_name="srv",destination_workload="server",)"
        R"(destination_canonical_service="server",destination_canonical_revision="v1",)"
        R"(destination_workload_namespace="app",)"
        R"(destination_principal="spiffe://cluster.local/ns/app/sa/server",)"
        R"(destination_app="server",destination_version="v1",destination_cluster="Kubernetes",)"
        R"(request_protocol="tcp",response_flags="-",connection_security_policy="mutual_tls",)"
        R"(source_region="r1",source_zone="z1",destination_region="r2",destination_zone="z2")");

  std::string unknown;
  append_tcp_labels(unknown, {.reporter = Reporter::kDestination});
  CHECK(unknown.starts_with(R"(reporter="destination",source_workload="unknown",)"));
  CHECK(unknown.ends_with(R"(source_zone="unknown",destination_region="unknown",)"
                          R"(destination_zone="unknown")"));
}

struct Page {
  Metrics metrics;
  TcpMetrics tcp{metrics};
  bool has(const std::string& text) { return metrics.render().find(text) != std::string::npos; }
};

TEST_CASE("a refused connection is opened with -, closed and failed with its flag") {
  Page page;
  TcpMetrics::Shard& shard = page.tcp.add_shard();
  TcpSeriesRef series = shard.find(to_service());
  series->opened();
  TcpSeriesRef refused = shard.with_flags(series, "CONNECT");
  refused->closed();
  refused->failed();
  shard.socket_opened(Reporter::kSource);
  shard.socket_closed(Reporter::kSource);

  std::string open_labels, refused_labels;
  append_tcp_labels(open_labels, to_service());
  TcpLabels flagged = to_service();
  flagged.response_flags = "CONNECT";
  append_tcp_labels(refused_labels, flagged);
  CHECK(page.has("istio_tcp_connections_opened_total{" + open_labels + "} 1\n"));
  CHECK(page.has("istio_tcp_received_bytes_total{" + open_labels + "} 0\n"));
  CHECK(page.has("istio_tcp_connections_closed_total{" + refused_labels + "} 1\n"));
  CHECK(page.has("istio_tcp_connections_failed_total{" + refused_labels + "} 1\n"));
  CHECK(!page.has("istio_tcp_connections_opened_total{" + refused_labels));
  CHECK(page.has("istio_tcp_sockets_open{reporter=\"source\"} 0\n# EOF\n"));
}

TEST_CASE("what two rings counted is summed when read") {
  Page page;
  TcpMetrics::Shard& one = page.tcp.add_shard();
  TcpMetrics::Shard& two = page.tcp.add_shard();
  for (TcpMetrics::Shard* shard : {&one, &two}) {
    TcpSeriesRef series = shard->find(to_service());
    series->opened();
    series->received(1000);
    series->sent(21);
  }
  std::string labels;
  append_tcp_labels(labels, to_service());
  CHECK(page.has("istio_tcp_connections_opened_total{" + labels + "} 2\n"));
  CHECK(page.has("istio_tcp_received_bytes_total{" + labels + "} 2000\n"));
  CHECK(page.has("istio_tcp_sent_bytes_total{" + labels + "} 42\n"));
}

TEST_CASE("series idle for 15 minutes go, those with an open connection stay") {
  Page page;
  TcpMetrics::Shard& one = page.tcp.add_shard();
  TcpMetrics::Shard& two = page.tcp.add_shard();
  one.find(to_service())->opened();
  TcpSeriesRef held = two.find({.reporter = Reporter::kDestination, .source = kClient});
  held->opened();

  page.tcp.evict(0min);
  page.tcp.evict(14min);
  CHECK(page.has("reporter=\"source\""));
  page.tcp.evict(15min);
  CHECK(!page.has("reporter=\"source\""));
  CHECK(page.has("reporter=\"destination\""));

  held = TcpSeriesRef();
  page.tcp.evict(16min);
  page.tcp.evict(29min);
  CHECK(page.has("reporter=\"destination\""));
  page.tcp.evict(31min);
  CHECK(page.metrics.render() == "# EOF\n");
}

TEST_CASE("activity on one ring keeps the sum of the others") {
  Page page;
  TcpMetrics::Shard& one = page.tcp.add_shard();
  TcpMetrics::Shard& two = page.tcp.add_shard();
  one.find(to_service())->opened();
  for (int minute = 0; minute < 60; ++minute) {
    two.find(to_service())->opened();
    page.tcp.evict(std::chrono::minutes(minute));
  }
  CHECK(page.has("} 61\n"));
}

TEST_CASE("limit: label sets beyond the limit share one") {
  Page page;
  TcpMetrics::Shard& shard = page.tcp.add_shard();
  for (std::size_t i = 0; i < kSeriesMax + 5; ++i) {
    const std::string workload = "w" + std::to_string(i);
    TcpLabels labels = to_service();
    labels.source.workload = workload;
    shard.find(labels)->opened();
  }
  CHECK(page.has("source_workload=\"other\""));
}

}  // namespace
}  // namespace mesh::telemetry
