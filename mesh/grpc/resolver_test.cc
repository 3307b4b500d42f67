#include "mesh/grpc/resolver.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::grpc {
namespace {

std::string shown(const std::vector<net::IpAddress>& ips) {
  std::string text;
  for (const net::IpAddress& ip : ips) text += ip.to_string() + " ";
  return text;
}

TEST_CASE("resolv.conf: servers, the last search list, ndots") {
  const ResolvConf conf = parse_resolv_conf(
      "# a comment\nnameserver 10.96.0.10 \nnameserver fd00::10;x\nnameserver bad\n"
      "nameserver 10.0.0.3\nnameserver 10.0.0.4\nsearch old\nsearch Shop.svc.cluster.local "
      "svc.cluster.local.\noptions edns0 ndots:5\n");
  CHECK(shown(conf.servers) == "10.96.0.10 fd00::10 10.0.0.3 ");
  CHECK(conf.search == std::vector<std::string>{"shop.svc.cluster.local", "svc.cluster.local"});
  CHECK(conf.ndots == 5);
  CHECK(parse_resolv_conf("options ndots:99").ndots == 15);
  CHECK(parse_resolv_conf("").ndots == 1);
}

TEST_CASE("hosts: any alias, both families, IPv4 first") {
  constexpr std::string_view kHosts =
      "127.0.0.1 localhost\n::1 localhost ip6-localhost\n192.168.77.1\tcontrol "
      "Istiod.istio-system.svc # x\n"
      "broken line\n";
  CHECK(shown(lookup_hosts(kHosts, "LOCALHOST")) == "127.0.0.1 ::1 ");
  CHECK(shown(lookup_hosts(kHosts, "istiod.istio-system.svc.")) == "192.168.77.1 ");
  CHECK(lookup_hosts(kHosts, "x").empty());
}

TEST_CASE("the names to ask for follow the search list and ndots") {
  const ResolvConf conf = parse_resolv_conf("search a b\noptions ndots:2");
  using Names = std::vector<std::string>;
  CHECK(search_names(conf, "x") == Names{"x.a", "x.b", "x"});
  CHECK(search_names(conf, "x.y.z") == Names{"x.y.z", "x.y.z.a", "x.y.z.b"});
  CHECK(search_names(conf, "x.") == Names{"x"});
}

// A reply to `query` with the given answer section.
std::string reply_to(std::string query, unsigned answers, std::string_view records,
                     unsigned flags = 0x8180) {
  query[2] = static_cast<char>(flags >> 8);
  query[3] = static_cast<char>(flags & 0xff);
  query[7] = static_cast<char>(answers);
  return query + std::string(records);
}

using namespace std::string_literals;
// The owner is the question's name (a pointer to offset 12).
const std::string kA10 = "\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1"s;

TEST_CASE("a reply is read: addresses, and CNAMEs within it") {
  const std::string query = encode_query(7, "Control.Mesh", QueryType::kA);
  const auto one = decode_reply(reply_to(query, 1, kA10), 7, "control.mesh", QueryType::kA);
  REQUIRE(one);
  CHECK(shown(one->addresses) == "10.0.0.1 ");
  CHECK(one->ttl == std::chrono::seconds(30));

  // control.mesh CNAME real; real A 10.0.0.2; other A 10.0.0.3 is somebody else's.
  const std::string chain = "\xc0\x0c\0\5\0\1\0\0\0\x1e\0\6\4real\0"s +
                            "\4real\0\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\2"s +
                            "\5other\0\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\3"s;
  const auto two = decode_reply(reply_to(query, 3, chain), 7, "control.mesh", QueryType::kA);
  REQUIRE(two);
  CHECK(shown(two->addresses) == "10.0.0.2 ");
  CHECK(two->ttl == std::chrono::seconds(30));
}

TEST_CASE("a reply is good for the shortest time of what led to its addresses") {
  const std::string query = encode_query(7, "control.mesh", QueryType::kA);
  const struct {
    std::string records;
    std::uint16_t count;
    int seconds;
  } rows[] = {
      {"\xc0\x0c\0\5\0\1\0\0\0\x05\0\6\4real\0"s + "\4real\0\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\2"s, 2,
       5},
      {kA10 + "\xc0\x0c\0\1\0\1\0\0\0\x02\0\4\x0a\0\0\2"s, 2, 2},
      // What has nothing to do with it counts for nothing.
      {kA10 + "\5other\0\0\1\0\1\0\0\0\x01\0\4\x0a\0\0\3"s, 2, 30},
      {"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x0a\0\0\1"s, 1, 0},
      {"\xc0\x0c\0\1\0\1\x80\0\0\x1e\0\4\x0a\0\0\1"s, 1, 0},
      {"\xc0\x0c\0\1\0\1\x7f\xff\xff\xff\0\4\x0a\0\0\1"s, 1, 604'800},
  };
  for (const auto& row : rows) {
    const auto reply =
        decode_reply(reply_to(query, row.count, row.records), 7, "control.mesh", QueryType::kA);
    REQUIRE(reply);
    CHECK(reply->ttl == std::chrono::seconds(row.seconds));
  }
}

TEST_CASE("a reply that is none of ours, or broken, is refused") {
  const std::string query = encode_query(7, "control.mesh", QueryType::kA);
  const std::string reply = reply_to(query, 1, kA10);
  const auto reason = [](const std::string& packet, std::uint16_t id, const char* name,
                         QueryType type) {
    return decode_reply(packet, id, name, type).error().reason;
  };
  CHECK(reason(reply, 8, "control.mesh", QueryType::kA) == Reason::kMalformed);
  CHECK(reason(reply, 7, "other.mesh", QueryType::kA) == Reason::kMalformed);
  CHECK(reason(reply, 7, "control.mesh", QueryType::kAaaa) == Reason::kMalformed);
  CHECK(reason(query, 7, "control.mesh", QueryType::kA) == Reason::kMalformed);
  CHECK(reason(reply_to(query, 0, "", 0x8183), 7, "control.mesh", QueryType::kA) ==
        Reason::kUnreachable);
  CHECK(reason(reply_to(query, 0, "", 0x8182), 7, "control.mesh", QueryType::kA) ==
        Reason::kProtocol);
  CHECK(reason(reply_to(query, 0, ""), 7, "control.mesh", QueryType::kA) == Reason::kUnreachable);
  for (std::size_t size = 0; size < reply.size(); ++size) {
    CHECK(reason(reply.substr(0, size), 7, "control.mesh", QueryType::kA) == Reason::kMalformed);
  }
  // A name that points at itself.
  const std::string loop = "\xc0\x1e\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1"s;
  CHECK(reason(reply_to(query, 1, loop), 7, "control.mesh", QueryType::kA) == Reason::kMalformed);
}

TEST_CASE("what is no domain name is not asked for") {
  CHECK(encode_query(1, "", QueryType::kA).empty());
  CHECK(encode_query(1, "a..b", QueryType::kA).empty());
  CHECK(encode_query(1, std::string(64, 'a') + ".b", QueryType::kA).empty());
  CHECK(encode_query(1, std::string(254, 'a'), QueryType::kA).empty());
}

}  // namespace
}  // namespace mesh::grpc
