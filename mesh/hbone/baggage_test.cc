#include "mesh/hbone/baggage.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::hbone {
namespace {

TEST_CASE("baggage names its members in the wire's order and leaves out what is empty") {
  const Baggage baggage{.cluster = "Kubernetes",
                        .ns = "web",
                        .workload_type = "deployment",
                        .workload = "peer",
                        .service = "peer",
                        .revision = "v1",
                        .region = "r",
                        .zone = "z"};
  CHECK(to_header(baggage) ==
        "k8s.cluster.name=Kubernetes,k8s.namespace.name=web,k8s.deployment.name=peer,"
        "service.name=peer,service.version=v1,cloud.region=r,cloud.availability_zone=z");
  CHECK(parse_baggage(to_header(baggage)) == baggage);
  CHECK(to_header(Baggage{}).empty());
  CHECK(to_header(Baggage{.cluster = "c", .workload = "no type"}) == "k8s.cluster.name=c");
}

TEST_CASE("baggage is read as far as it is understood, and within bounds") {
  const auto parsed = parse_baggage(
      "=,;;,k8s.cluster.name,a=b=c, service.name = x%20y ;p=1,"
      "k8s.node.name=n,cloud.region=a%0ab,service.name=z");
  REQUIRE(parsed.has_value());
  CHECK(*parsed == Baggage{.service = "z"});
  CHECK(!parse_baggage(std::string(kBaggageBytesMax + 1, 'x')).has_value());
  std::string many;
  for (std::size_t i = 0; i <= kBaggageMembersMax; ++i) many += "a=b,";
  CHECK(!parse_baggage(many).has_value());
}

TEST_CASE("forwarded carries the client and the service it addressed") {
  const Forwarded forwarded{.client = net::SocketAddress::parse("10.0.0.1:4000"),
                            .host = "srv.app.svc.cluster.local"};
  CHECK(to_header(forwarded) == "for=\"10.0.0.1:4000\";host=srv.app.svc.cluster.local");
  const auto back = parse_forwarded(to_header(forwarded));
  REQUIRE(back.has_value());
  CHECK(back->client == forwarded.client);
  CHECK(back->host == forwarded.host);
  CHECK(to_header(Forwarded{.client = net::SocketAddress::parse("[fd00::1]:1"), .host = {}}) ==
        "for=\"[fd00::1]:1\"");
  CHECK(parse_forwarded("host=\"a b\"")->host.empty());
  CHECK(!parse_forwarded(std::string(2000, 'x')).has_value());
}

TEST_CASE("traceparent is written without the sampled flag and read strictly") {
  const TraceParent trace{.trace_high = 0x0af7651916cd43dd,
                          .trace_low = 0x8448eb211c80319c,
                          .span = 0xb7ad6b7169203331};
  CHECK(to_header(trace) == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
  CHECK(parse_traceparent(to_header(trace))->span == trace.span);
  CHECK(!parse_traceparent("zzz").has_value());
  CHECK(!parse_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-00").has_value());
  CHECK(!parse_traceparent("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").has_value());
}

}  // namespace
}  // namespace mesh::hbone
