// Decoding, cross-checked with the protobuf library: what it encodes we understand, field by field.

#include "mesh/xds/decode.h"

#include <functional>

#include <catch2/catch_test_macros.hpp>

#include "mesh/workload/directory_builder.h"
#include "mesh/xds/proto/authorization.pb.h"
#include "mesh/xds/proto/workload.pb.h"
#include "test/support/policy_text.h"

namespace mesh::xds {
namespace {

namespace wire = istio::workload;
using policy::test::connection;
using policy::test::ip;

std::string bytes_of(std::string_view address) {
  const net::IpAddress parsed = ip(address);
  const auto bytes = parsed.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

RawResource resource(const wire::Workload& workload) {
  wire::Address address;
  *address.mutable_workload() = workload;
  return {.name = workload.uid(),
          .type_url = std::string(kAddressType),
          .bytes = address.SerializeAsString()};
}
RawResource resource(const wire::Service& service) {
  wire::Address address;
  *address.mutable_service() = service;
  return {.name = service.namespace_() + "/" + service.hostname(),
          .type_url = std::string(kAddressType),
          .bytes = address.SerializeAsString()};
}
RawResource resource(const istio::security::Authorization& policy) {
  return {.name = policy.namespace_() + "/" + policy.name(),
          .type_url = std::string(kAuthorizationType),
          .bytes = policy.SerializeAsString()};
}

Decoded decode_one(const RawResource& one) {
  return one.type_url == kAuthorizationType ? decode_authorizations({&one, 1}, {})
                                            : decode_addresses({&one, 1}, {});
}

wire::Workload web() {
  wire::Workload workload;
  workload.set_uid("K//Pod/shop/web-0");
  workload.set_name("web-0");
  workload.set_namespace_("shop");
  workload.add_addresses(bytes_of("10.0.0.2"));
  workload.set_tunnel_protocol(wire::HBONE);
  workload.set_service_account("web");
  return workload;
}

wire::Service shop() {
  wire::Service service;
  service.set_name("web");
  service.set_namespace_("shop");
  service.set_hostname("web.shop.svc");
  service.add_addresses()->set_address(bytes_of("10.96.0.1"));
  return service;
}

TEST_CASE("every field of a workload is decoded") {
  wire::Workload from = web();
  from.add_addresses(bytes_of("fd00::2"));
  from.set_network("net");
  from.set_trust_domain("example.org");
  from.mutable_waypoint()->mutable_hostname()->set_namespace_("shop");
  from.mutable_waypoint()->mutable_hostname()->set_hostname("wp.shop.svc");
  from.mutable_waypoint()->set_hbone_mtls_port(15009);
  from.set_node("node-a");
  from.set_canonical_name("web");
  from.set_canonical_revision("v1");
  from.set_workload_type(wire::POD);
  from.set_workload_name("web");
  from.set_native_tunnel(true);
  from.add_authorization_policies("shop/a");
  from.add_authorization_policies("shop/b");
  from.set_status(wire::UNHEALTHY);
  from.set_cluster_id("C");
  from.mutable_network_gateway()->mutable_address()->set_network("far");
  from.mutable_network_gateway()->mutable_address()->set_address(bytes_of("10.9.9.9"));
  from.set_hostname("vm.example");
  wire::Port* port = (*from.mutable_services())["shop/web.shop.svc"].add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  port->set_app_protocol(wire::HTTP2);
  from.mutable_application_tunnel()->set_protocol(wire::ApplicationTunnel::PROXY);
  from.mutable_application_tunnel()->set_port(15088);
  from.mutable_locality()->set_region("r");
  from.mutable_locality()->set_zone("z");
  from.mutable_locality()->set_subzone("s");
  from.set_network_mode(wire::HOST_NETWORK);
  from.mutable_capacity()->set_value(7);

  const Decoded decoded = decode_one(resource(from));
  REQUIRE(decoded.nack_message().empty());
  REQUIRE(decoded.delta.workloads.size() == 1);
  CHECK(*decoded.delta.workloads[0] ==
        workload::Workload{
            .uid = "K//Pod/shop/web-0",
            .name = "web-0",
            .ns = "shop",
            .network = "net",
            .addresses = {ip("10.0.0.2"), ip("fd00::2")},
            .hostname = "vm.example",
            .tunnel = workload::TunnelProtocol::kHbone,
            .native_tunnel = true,
            .trust_domain = "example.org",
            .service_account = "web",
            .waypoint = {{.destination = workload::ServiceKey{"shop", "wp.shop.svc"},
                          .hbone_port = 15009}},
            .network_gateway = {{.destination = workload::NetworkAddress{"far", ip("10.9.9.9")}}},
            .node = "node-a",
            .cluster_id = "C",
            .canonical_name = "web",
            .canonical_revision = "v1",
            .workload_name = "web",
            .type = workload::WorkloadType::kPod,
            .authorization_policies = {"shop/a", "shop/b"},
            .health = workload::Health::kUnhealthy,
            .services = {{.service = {"shop", "web.shop.svc"},
                          .ports = {{80, 8080, workload::AppProtocol::kHttp2}}}},
            .application_tunnel = {{.protocol = workload::ApplicationTunnel::Protocol::kProxy,
                                    .port = 15088}},
            .locality = {"r", "z", "s"},
            .network_mode = workload::NetworkMode::kHostNetwork,
            .capacity = 7});
}

TEST_CASE("what a workload leaves out has the wire's defaults") {
  wire::Workload from = web();
  from.clear_service_account();
  const Decoded decoded = decode_one(resource(from));
  REQUIRE(decoded.delta.workloads.size() == 1);
  const workload::Workload& made = *decoded.delta.workloads[0];
  CHECK(made.trust_domain == "cluster.local");
  CHECK(made.service_account == "default");
  CHECK(made.cluster_id == "Kubernetes");
  CHECK(made.capacity == 1);
  CHECK_FALSE(made.waypoint);
}

TEST_CASE("every field of a service is decoded") {
  wire::Service from = shop();
  wire::NetworkAddress* block = from.add_addresses();
  block->set_network("net");
  block->set_address(bytes_of("fd00:10::"));
  block->set_length(64);
  wire::Port* port = from.add_ports();
  port->set_service_port(80);
  from.add_subject_alt_names("spiffe://cluster.local/ns/shop/sa/web");
  from.mutable_waypoint()->mutable_address()->set_address(bytes_of("10.96.0.9"));
  from.mutable_load_balancing()->add_routing_preference(wire::LoadBalancing::NETWORK);
  from.mutable_load_balancing()->add_routing_preference(wire::LoadBalancing::REGION);
  from.mutable_load_balancing()->set_mode(wire::LoadBalancing::FAILOVER);
  from.mutable_load_balancing()->set_health_policy(wire::LoadBalancing::ALLOW_ALL);
  from.set_ip_families(wire::DUAL);
  from.set_canonical(true);
  from.set_ingress_use_waypoint(true);
  wire::WeightedWaypoint* weighted = from.add_weighted_waypoints();
  weighted->mutable_destination()->mutable_hostname()->set_namespace_("shop");
  weighted->mutable_destination()->mutable_hostname()->set_hostname("canary.shop.svc");
  weighted->set_weight(30);
  from.set_visibility(wire::Service::NAMESPACE);

  const Decoded decoded = decode_one(resource(from));
  REQUIRE(decoded.nack_message().empty());
  REQUIRE(decoded.delta.services.size() == 1);
  using workload::LoadBalancing;
  CHECK(*decoded.delta.services[0] ==
        workload::Service{
            .key = {"shop", "web.shop.svc"},
            .name = "web",
            .vips = {{"", *net::Cidr::parse("10.96.0.1")},
                     {"net", *net::Cidr::parse("fd00:10::/64")}},
            .ports = {{.service_port = 80}},
            .subject_alt_names = {"spiffe://cluster.local/ns/shop/sa/web"},
            .waypoint = {{.destination = workload::NetworkAddress{"", ip("10.96.0.9")}}},
            .weighted_waypoints = {{.gateway = {.destination = workload::ServiceKey{
                                                    "shop", "canary.shop.svc"}},
                                    .weight = 30}},
            .load_balancing = {.preference = {LoadBalancing::Scope::kNetwork,
                                              LoadBalancing::Scope::kRegion},
                               .mode = LoadBalancing::Mode::kFailover,
                               .health = LoadBalancing::HealthPolicy::kAllowAll},
            .ip_families = workload::IpFamilies::kDual,
            .canonical = true,
            .ingress_use_waypoint = true,
            .visibility = workload::Visibility::kNamespace});
}

TEST_CASE("every field of a policy is decoded") {
  istio::security::Authorization from;
  from.set_name("p");
  from.set_namespace_("app");
  from.set_scope(istio::security::WORKLOAD_SELECTOR);
  from.set_action(istio::security::DENY);
  from.set_dry_run(true);
  istio::security::Match* match = from.add_rules()->add_clauses()->add_matches();
  match->add_namespaces()->set_exact("a");
  match->add_not_namespaces()->set_prefix("b");
  match->add_principals()->set_suffix("c");
  match->add_not_principals()->mutable_presence();
  const auto block = [](istio::security::Address* to, std::string_view text) {
    const net::Cidr parsed = *net::Cidr::parse(text);
    to->set_address(bytes_of(parsed.base().to_string()));
    to->set_length(parsed.length());
  };
  block(match->add_source_ips(), "10.0.0.0/8");
  block(match->add_not_source_ips(), "10.1.0.0/16");
  block(match->add_destination_ips(), "fd00::/16");
  block(match->add_not_destination_ips(), "fd00::1/128");
  match->add_destination_ports(80);
  match->add_destination_ports(443);
  match->add_not_destination_ports(22);
  match->add_service_accounts()->set_namespace_("web");
  match->mutable_service_accounts(0)->set_service_account("peer");
  match->add_not_service_accounts()->set_namespace_("web");
  match->mutable_not_service_accounts(0)->set_service_account("job");

  const Decoded decoded = decode_one(resource(from));
  REQUIRE(decoded.nack_message().empty());
  REQUIRE(decoded.delta.policies.size() == 1);
  const policy::Policy expected = policy::compile(policy::test::draft(
      "app/p: deny workload dry-run ns=a !ns=b* principal=*c !principal=* from=10.0.0.0/8 "
      "!from=10.1.0.0/16 at=fd00::/16 !at=fd00::1/128 port=80,443 !port=22 sa=web/peer "
      "!sa=web/job"));
  CHECK(*decoded.delta.policies[0] == expected);
}

// A row of what makes a resource bad: what is appended to the message, and what is said of it.
struct Bad {
  std::string bytes;
  std::string_view problem;
};
void put(std::string& to, std::size_t value) {
  for (; value > 0x7f; value >>= 7) to += static_cast<char>((value & 0x7f) | 0x80);
  to += static_cast<char>(value);
}
std::string field(unsigned number, std::string_view bytes) {
  std::string result;
  put(result, number << 3 | 2);
  put(result, bytes.size());
  return result + std::string(bytes);
}
std::string varint(unsigned number, unsigned value) {
  std::string result;
  put(result, number << 3);
  put(result, value);
  return result;
}

TEST_CASE("a workload with anything that is not understood is refused, and its address with it") {
  const std::vector<Bad> rows = {
      {field(28, "x"), "field 28 is unknown"},
      {field(15, "x"), "field 15 is unknown"},
      {varint(1, 7), "name: not a text"},
      {field(2, "\xff"), "namespace: not UTF-8"},
      {field(3, "abc"), "addresses[1]: an address of 3 bytes"},
      {field(3, bytes_of("::ffff:10.0.0.9")), "addresses[1]: an IPv4-mapped address"},
      {varint(5, 2), "tunnel_protocol: LEGACY_ISTIO_MTLS is not spoken"},
      {varint(5, 3), "tunnel_protocol: value 3 is unknown"},
      {field(7, "a/b"), "service_account: namespace and service account do not make an identity"},
      {field(8, ""), "waypoint: neither a hostname nor an address"},
      {field(8, field(1, field(1, "shop"))), "waypoint.hostname: not a namespace and a hostname"},
      {field(8, field(2, field(2, "ab"))), "waypoint.address.address: an address of 2 bytes"},
      {field(8, varint(3, 70'000)), "waypoint.hbone_mtls_port: port 70000"},
      {field(8, field(5, "x")), "waypoint: field 5 is unknown"},
      {varint(12, 4), "workload_type: value 4 is unknown"},
      {varint(17, 2), "status: value 2 is unknown"},
      {field(22, field(1, "nokey")), "services[\"nokey\"]: not namespace/hostname"},
      {field(22, field(1, "a/b") + field(2, field(1, varint(1, 70'000)))),
       "services[\"a/b\"].ports[0].service_port: port 70000"},
      {field(22, field(1, "a/b") + field(2, field(1, varint(2, 80)))),
       "services[\"a/b\"].ports[0].service_port: port 0"},
      {field(23, varint(1, 2)), "application_tunnel.protocol: value 2 is unknown"},
      {varint(25, 2), "network_mode: value 2 is unknown"},
      {field(26, field(1, "future")), "extensions: an extension, and none is known"},
      {field(27, varint(2, 1)), "capacity: field 2 is unknown"},
      {"\x0b", "not a protobuf message"},
      {field(1, "ab").substr(0, 3), "not a protobuf message"},
  };
  for (const Bad& row : rows) {
    INFO(row.problem);
    RawResource one = resource(web());
    one.bytes = field(1, web().SerializeAsString() + row.bytes);
    const Decoded decoded = decode_one(one);
    CHECK(decoded.nack_message() == "K//Pod/shop/web-0: " + std::string(row.problem));
    CHECK(decoded.delta.workloads.empty());
    REQUIRE(decoded.delta.rejected.size() == 1);
    const workload::Refused& refused = *decoded.delta.rejected[0];
    CHECK(refused.resource == "K//Pod/shop/web-0");
    REQUIRE_FALSE(refused.addresses.empty());
    CHECK(refused.addresses[0].ip == ip("10.0.0.2"));
  }
}

TEST_CASE("a service with anything that is not understood is refused, and its addresses with it") {
  const std::vector<Bad> rows = {
      {field(15, "x"), "field 15 is unknown"},
      {field(3, std::string(100, 'h') + std::string(20, '/')),
       "hostname: namespace and hostname do not make a key"},
      {field(4, field(2, "abcd") + varint(3, 33)), "addresses[1].length: a prefix length of 33"},
      {field(4, field(2, "abc")), "addresses[1].address: an address of 3 bytes"},
      {field(5, ""), "ports[0].service_port: port 0"},
      {field(5, varint(1, 80) + varint(3, 6)), "ports[0].app_protocol: value 6 is unknown"},
      {field(8, field(1, std::string("\x01\x07"))),
       "load_balancing.routing_preference[1]: value 7"},
      {field(8, varint(1, 0)), "load_balancing.routing_preference[0]: value 0"},
      {field(8, varint(2, 4)), "load_balancing.mode: value 4 is unknown"},
      {varint(9, 4), "ip_families: value 4 is unknown"},
      {field(10, ""), "extensions: an extension, and none is known"},
      {field(13, varint(2, 1)), "weighted_waypoints[0].destination: empty"},
      {varint(14, 2), "visibility: value 2 is unknown"},
  };
  for (const Bad& row : rows) {
    INFO(row.problem);
    RawResource one = resource(shop());
    one.bytes = field(2, shop().SerializeAsString() + row.bytes);
    const Decoded decoded = decode_one(one);
    CHECK(decoded.nack_message() == "shop/web.shop.svc: " + std::string(row.problem));
    REQUIRE(decoded.delta.rejected.size() == 1);
    REQUIRE_FALSE(decoded.delta.rejected[0]->vips.empty());
    CHECK(decoded.delta.rejected[0]->vips[0].block == *net::Cidr::parse("10.96.0.1"));
  }
}

TEST_CASE("what is wrong with an envelope is said before it is opened") {
  const RawResource good = resource(web());
  const auto problem = [&](const std::function<void(RawResource&)>& spoil) {
    RawResource one = good;
    spoil(one);
    const Decoded decoded = decode_addresses({&one, 1}, {});
    CHECK(decoded.delta.workloads.empty());
    return decoded.complaints.empty() ? "good" : decoded.complaints[0].problem;
  };
  CHECK(problem([](RawResource& one) { one.type_url = "other"; }) == "of type \"other\"");
  CHECK(problem([](RawResource& one) { one.name = "other"; }) ==
        "the resource is of K//Pod/shop/web-0");
  CHECK(problem([](RawResource& one) { one.bytes.clear(); }) ==
        "neither a workload nor a service");
  CHECK(problem([](RawResource& one) { one.bytes += one.bytes; }) ==
        "more than one workload or service");
  CHECK(problem([](RawResource& one) { one.bytes = field(3, "x"); }) == "field 3 is unknown");
  CHECK(problem([](RawResource& one) { one.bytes.resize((1 << 20) + 1); }) ==
        "larger than 1 MiB");
  CHECK(problem([](RawResource& one) { one.has_ttl = true; }) ==
        "ttl: nothing is forgotten after a time");
}

TEST_CASE("the good resources of a response are taken whatever the others are") {
  RawResource bad = resource(shop());
  bad.bytes = "\xff\xff";
  const std::vector<RawResource> both = {bad, resource(web())};
  const std::vector<std::string> removed = {"K//Pod/shop/old"};
  const Decoded decoded = decode_addresses(both, removed);
  CHECK(decoded.nack_message() == "shop/web.shop.svc: not a protobuf message");
  CHECK(decoded.delta.workloads.size() == 1);
  CHECK(decoded.delta.rejected.size() == 1);
  CHECK(decoded.delta.removed == removed);
}

TEST_CASE("a workload may also come without the envelope of an Address") {
  RawResource one = resource(web());
  one.type_url = kWorkloadType;
  one.bytes = web().SerializeAsString();
  CHECK(decode_addresses({&one, 1}, {}).delta.workloads.size() == 1);
}

TEST_CASE("a policy that is not understood knows its scope, and denies everybody in it") {
  istio::security::Authorization from;
  from.set_name("p");
  from.set_namespace_("app");
  from.set_action(istio::security::ALLOW);
  from.add_rules();
  const auto who_is_denied = [&](const std::string& name,
                                 const std::string& bytes) -> std::string {
    const RawResource one{
        .name = name, .type_url = std::string(kAuthorizationType), .bytes = bytes};
    const Decoded decoded = decode_authorizations({&one, 1}, {});
    CHECK(decoded.complaints.size() == 1);
    const policy::Catalog catalog = policy::Catalog().with(decoded.delta.policies, {});
    const std::vector<std::string> listed = {name};
    const auto allowed = [&](std::string_view ns, std::span<const std::string> lists) {
      return authorize(catalog.select(ns, lists), connection("web/peer to 80")).allowed();
    };
    CHECK_FALSE(allowed("other", listed));
    if (!allowed("other", {})) return "everybody";
    return allowed("app", {}) ? "who lists it" : "its namespace";
  };
  const std::string unknown = field(99, "x");
  from.set_scope(istio::security::GLOBAL);
  CHECK(who_is_denied("app/p", from.SerializeAsString() + unknown) == "everybody");
  from.set_scope(istio::security::NAMESPACE);
  CHECK(who_is_denied("app/p", from.SerializeAsString() + unknown) == "its namespace");
  CHECK(who_is_denied("app/p", unknown + from.SerializeAsString()) == "its namespace");
  from.set_scope(istio::security::WORKLOAD_SELECTOR);
  CHECK(who_is_denied("app/p", from.SerializeAsString() + unknown) == "who lists it");
  CHECK(who_is_denied("app/p", "\xff") == "its namespace");
  CHECK(who_is_denied("istio-system/p", "\xff") == "everybody");
}

TEST_CASE("a NACK is printable and at most 4 KiB") {
  std::vector<RawResource> many;
  for (int i = 0; i < 500; ++i) {
    many.push_back(
        {.name = "bad\xff\n" + std::to_string(i), .type_url = std::string(kAddressType)});
  }
  const std::string message = decode_addresses(many, {}).nack_message();
  CHECK(message.size() == 4'096);
  CHECK(message.starts_with("bad??0: neither a workload nor a service; bad??1"));
  CHECK(message.ends_with("..."));
}

TEST_CASE("the limits of a workload are reached") {
  const auto complains = [](const wire::Workload& from) {
    return !decode_one(resource(from)).complaints.empty();
  };
  wire::Workload from = web();
  for (int i = 1; i < 1'024; ++i) from.add_addresses(bytes_of("10.0.0.2"));
  CHECK_FALSE(complains(from));
  from.add_addresses(bytes_of("10.0.0.2"));
  CHECK(complains(from));

  from = web();
  for (int i = 0; i < 1'024; ++i) from.add_authorization_policies("a/b");
  CHECK_FALSE(complains(from));
  from.add_authorization_policies("a/b");
  CHECK(complains(from));

  from = web();
  for (int i = 0; i < 4'096; ++i) (*from.mutable_services())["a/" + std::to_string(i)];
  CHECK_FALSE(complains(from));
  (*from.mutable_services())["a/more"];
  CHECK(complains(from));

  from = web();
  from.set_node(std::string(2'048, 'n'));
  CHECK_FALSE(complains(from));
  from.set_node(std::string(2'049, 'n'));
  CHECK(complains(from));
}

}  // namespace
}  // namespace mesh::xds
