#include "mesh/net/address.h"

#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::net {
namespace {

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

TEST_CASE("an address reads back as it was written") {
  const auto text =
      GENERATE(values<std::string>({"0.0.0.0", "10.244.1.9", "255.255.255.255", "::", "::1",
                                    "fd00:10:244::9", "::ffff:10.0.0.1"}));
  CHECK(ip(text).to_string() == text);
}

TEST_CASE("what is not an address is none") {
  const auto text =
      GENERATE(values<std::string>({"", "10", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ",
                                    " 10.0.0.1", "10.0.0.1/32", "[::1]", "::1%eth0", "fe80::1::2",
                                    "g::1", std::string(64, '1'), std::string("10.0.0.1\0", 9)}));
  INFO(text);
  CHECK(!IpAddress::parse(text));
}

TEST_CASE("bytes of a length that no family has are none") {
  for (const std::size_t size : {0u, 1u, 3u, 5u, 15u, 17u, 1000u}) {
    CHECK(!IpAddress::from_bytes(std::string(size, 'a')));
  }
  CHECK(IpAddress::from_bytes(std::string_view("\x0a\x00\x00\x01", 4)) == ip("10.0.0.1"));
}

TEST_CASE("a mapped address stays IPv6 in configuration and is IPv4 from the kernel") {
  CHECK(ip("::ffff:10.0.0.1").is_v6());
  sockaddr_storage storage{};
  SocketAddress{ip("::ffff:10.0.0.1"), 80}.to_sockaddr(storage);
  CHECK(SocketAddress::from_sockaddr(storage) == SocketAddress{ip("10.0.0.1"), 80});
  CHECK(!Cidr::parse("::ffff:10.0.0.0/104")->contains(ip("10.0.0.1")));
}

TEST_CASE("loopback and unspecified are known in both families") {
  CHECK(ip("127.9.9.9").is_loopback());
  CHECK(ip("::1").is_loopback());
  CHECK(ip("::ffff:127.0.0.1").is_loopback());
  CHECK(!ip("128.0.0.1").is_loopback());
  CHECK(!ip("::2").is_loopback());
  CHECK(ip("0.0.0.0").is_unspecified());
  CHECK(ip("::").is_unspecified());
}

TEST_CASE("socket addresses: brackets exactly where IPv6 is") {
  const auto text = GENERATE(values<std::string>({"10.0.0.1:80", "[fd00::1]:15008", "0.0.0.0:0"}));
  CHECK(SocketAddress::parse(text)->to_string() == text);
}

TEST_CASE("what is not a socket address is none") {
  const auto text = GENERATE(values<std::string>(
      {"", ":80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:080", "10.0.0.1:-1",
       "10.0.0.1:+1", "fd00::1:80x", "[10.0.0.1]:80", "[fd00::1]", "::1:80"}));
  INFO(text);
  CHECK(!SocketAddress::parse(text));
}

TEST_CASE("a block clears host bits and contains its own family only") {
  struct Row {
    const char* block;
    const char* address;
    bool contained;
  };
  const auto row = GENERATE(values<Row>({
      {"10.1.2.3/8", "10.255.0.1", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.0.0.128/25", "10.0.0.129", true},
      {"10.0.0.128/25", "10.0.0.127", false},
      {"10.0.0.7", "10.0.0.7", true},
      {"10.0.0.7", "10.0.0.6", false},
      {"0.0.0.0/0", "255.1.1.1", true},
      {"0.0.0.0/0", "::1", false},
      {"::/0", "fd00::1", true},
      {"::/0", "10.0.0.1", false},
      {"fd00:10::/33", "fd00:10:7fff::1", true},
      {"fd00:10::/33", "fd00:10:8000::1", false},
  }));
  INFO(row.block << " " << row.address);
  CHECK(Cidr::parse(row.block)->contains(ip(row.address)) == row.contained);
  CHECK(Cidr::parse("10.1.2.3/8")->to_string() == "10.0.0.0/8");
}

TEST_CASE("what is not a block is none") {
  const auto text = GENERATE(values<std::string>({"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129",
                                                  "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8/8"}));
  INFO(text);
  CHECK(!Cidr::parse(text));
}

TEST_CASE("a port is decimal, from 1 to 65535") {
  CHECK(parse_port("1") == 1);
  CHECK(parse_port("65535") == 65535);
  for (const char* text : {"", "0", "65536", "080", "+80", "80 ", "0x50", "999999999999"}) {
    INFO(text);
    CHECK(!parse_port(text));
  }
}

}  // namespace
}  // namespace mesh::net
