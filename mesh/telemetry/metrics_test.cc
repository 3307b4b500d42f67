#include "mesh/telemetry/metrics.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::telemetry {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a page prints families in the order they were registered, and ends in EOF") {
  Metrics metrics;
  const auto messages = metrics.counter("istio_xds_message", "Total number of messages received.");
  const auto bytes = metrics.counter("istio_xds_message_bytes", "Bytes received.", "bytes");
  metrics.gauge_of("process_max_fds", "Maximum number of file descriptors", [] { return 20000.0; });
  metrics.counter("never_used", "Not printed.");
  metrics.add(bytes, LabelText().add("url", "a\"b\\c\nd"), 3052);
  metrics.add(messages, "");

  CHECK(metrics.render() ==
        "# HELP istio_xds_message Total number of messages received.\n"
        "# TYPE istio_xds_message counter\n"
        "istio_xds_message_total 1\n"
        "# HELP istio_xds_message_bytes Bytes received.\n"
        "# TYPE istio_xds_message_bytes counter\n"
        "# UNIT istio_xds_message_bytes bytes\n"
        "istio_xds_message_bytes_total{url=\"a\\\"b\\\\c\\nd\"} 3052\n"
        "# HELP process_max_fds Maximum number of file descriptors\n"
        "# TYPE process_max_fds gauge\n"
        "process_max_fds 20000\n"
        "# EOF\n");
}

TEST_CASE("a histogram counts an observation in every bucket it fits") {
  Metrics metrics;
  const auto seconds = metrics.histogram("dns_seconds", "Time.", "seconds", {0.0005, 1, 5});
  metrics.observe(seconds, LabelText().add("type", "a"), 0.25);

  CHECK(metrics.render() ==
        "# HELP dns_seconds Time.\n# TYPE dns_seconds histogram\n# UNIT dns_seconds seconds\n"
        "dns_seconds_sum{type=\"a\"} 0.25\n"
        "dns_seconds_count{type=\"a\"} 1\n"
        "dns_seconds_bucket{le=\"0.0005\",type=\"a\"} 0\n"
        "dns_seconds_bucket{le=\"1.0\",type=\"a\"} 1\n"
        "dns_seconds_bucket{le=\"5.0\",type=\"a\"} 1\n"
        "dns_seconds_bucket{le=\"+Inf\",type=\"a\"} 1\n"
        "# EOF\n");
}

TEST_CASE("a counter that did not change for 15 minutes is forgotten, a busy one is not") {
  Metrics metrics;
  const auto family = metrics.counter("requests", "Requests.");
  metrics.add(family, "who=\"quiet\"");
  metrics.add(family, "who=\"busy\"");
  metrics.evict(0min);
  metrics.add(family, "who=\"busy\"");
  metrics.evict(10min);
  metrics.evict(15min);
  const std::string page = metrics.render();
  CHECK(page.find("quiet") == std::string::npos);
  CHECK(page.find("requests_total{who=\"busy\"} 2") != std::string::npos);
}

TEST_CASE("limit: series beyond kSeriesMax are refused and counted") {
  Metrics metrics;
  const auto family = metrics.counter("requests", "Requests.");
  for (std::size_t i = 0; i < kSeriesMax + 3; ++i) metrics.add(family, std::to_string(i));
  CHECK(metrics.render().find("weft_metrics_series_refused_total 3\n") != std::string::npos);
}

TEST_CASE("a process knows its descriptors") {
  Metrics metrics;
  add_process_metrics(metrics);
  const std::string page = metrics.render();
  CHECK(
      page.starts_with("# HELP process_open_fds Number of open file descriptors\n"
                       "# TYPE process_open_fds gauge\nprocess_open_fds "));
}

}  // namespace
}  // namespace mesh::telemetry
