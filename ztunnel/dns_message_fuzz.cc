#include <cstddef>
#include <cstdint>
#include <span>

#include "mesh/base/check.h"
#include "ztunnel/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::ztunnel;
  const auto bytes = std::as_bytes(std::span(data, size));
  const DnsParsed parsed = parse_dns(bytes);
  if (const auto* query = std::get_if<DnsQuery>(&parsed)) {
    MESH_CHECK(query->name.size() <= kDnsNameMax);
    DnsAddresses answer{.cname = "a.example"};
    for (int i = 0; i < 100; ++i)
      answer.addresses.push_back(mesh::net::IpAddress::v4({10, 0, 0, 1}));
    for (const std::size_t limit : {kDnsUdpPlainMax, query->udp_size, kDnsMessageMax}) {
      const std::string response = build_dns_answer(*query, answer, limit);
      MESH_CHECK(response.size() <= limit);
      const auto response_bytes = std::as_bytes(std::span(response));
      MESH_CHECK(answers_dns(response_bytes, *query, query->id));
    }
  }
  if (const auto* reject = std::get_if<DnsReject>(&parsed)) {
    MESH_CHECK(reject->response.size() >= 12);
    const auto again = parse_dns(std::as_bytes(std::span(reject->response)));
    MESH_CHECK(std::holds_alternative<DnsDrop>(again));
  }
  return 0;
}
