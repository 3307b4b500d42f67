#include "ztunnel/route.h"

#include <functional>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "mesh/workload/directory_builder.h"

namespace mesh::ztunnel {
namespace {

using workload::Workload;

net::IpAddress ip(std::string_view text) { return *net::IpAddress::parse(text); }

std::shared_ptr<Workload> pod(const std::string& ns, const std::string& name,
                              std::vector<std::string> addresses) {
  auto made = std::make_shared<Workload>();
  made->uid = "Kubernetes//Pod/" + ns + "/" + name;
  made->name = name;
  made->ns = ns;
  made->service_account = name;
  made->trust_domain = "cluster.local";
  made->tunnel = workload::TunnelProtocol::kHbone;
  for (const std::string& address : addresses) made->addresses.push_back(ip(address));
  return made;
}

void serves(Workload& member, const std::string& ns, const std::string& name, std::uint16_t port,
            std::uint16_t target) {
  member.services.push_back(
      {.service = {.ns = ns, .hostname = name + "." + ns + ".svc.cluster.local"},
       .ports = {{.service_port = port, .target_port = target}}});
}

std::shared_ptr<workload::Service> service(const std::string& ns, const std::string& name,
                                           const std::string& vip, std::uint16_t port) {
  auto made = std::make_shared<workload::Service>();
  made->key = {.ns = ns, .hostname = name + "." + ns + ".svc.cluster.local"};
  made->name = name;
  made->vips.push_back({.network = "", .block = *net::Cidr::parse(vip)});
  made->ports.push_back({.service_port = port, .target_port = 0});
  return made;
}

// shop: cart (service and pod), lonely (no member), guarded (service waypoint), legacy (plaintext),
// fenced (workload waypoint), far (another network), split (weighted waypoints), broken (rejected).
workload::DirectoryPtr world() {
  workload::DirectoryBuilder builder(nullptr);
  builder.set(pod("shop", "web", {"10.0.1.1", "fd00:1::1"}));
  auto cart = pod("shop", "cart", {"10.0.2.1", "fd00:2::1"});
  serves(*cart, "shop", "cart", 80, 8080);
  builder.set(cart);
  builder.set(service("shop", "cart", "10.96.0.1", 80));
  builder.set(service("shop", "lonely", "10.96.0.2", 80));

  auto waypoint = pod("shop", "waypoint", {"10.0.3.1"});
  waypoint->tunnel = workload::TunnelProtocol::kNone;  // no ztunnel is in front of it
  serves(*waypoint, "shop", "waypoint", 15008, 15008);
  builder.set(waypoint);
  auto waypoint_service = service("shop", "waypoint", "10.96.0.9", 15008);
  builder.set(waypoint_service);
  const workload::GatewayAddress gateway{.destination = waypoint_service->key};

  auto guarded = service("shop", "guarded", "10.96.0.3", 80);
  guarded->waypoint = gateway;
  builder.set(guarded);
  auto missing = service("shop", "missing", "10.96.0.4", 80);
  missing->waypoint = {.destination = workload::ServiceKey{.ns = "shop", .hostname = "nope"}};
  builder.set(missing);
  auto split = service("shop", "split", "10.96.0.5", 80);
  split->weighted_waypoints = {{.gateway = gateway, .weight = 1}};
  builder.set(split);

  auto legacy = pod("shop", "legacy", {"10.0.4.1"});
  legacy->tunnel = workload::TunnelProtocol::kNone;
  builder.set(legacy);
  auto fenced = pod("shop", "fenced", {"10.0.5.1"});
  fenced->waypoint =
      workload::GatewayAddress{.destination = workload::NetworkAddress{.ip = ip("10.0.3.1")}};
  serves(*fenced, "shop", "open", 80, 8080);
  builder.set(fenced);
  builder.set(service("shop", "open", "10.96.0.6", 80));
  auto far = pod("shop", "far", {"10.0.6.1"});
  far->network = "net2";
  serves(*far, "shop", "distant", 80, 8080);
  builder.set(far);
  builder.set(service("shop", "distant", "10.96.0.7", 80));
  auto broken = std::make_shared<workload::Refused>();
  broken->resource = "Kubernetes//Pod/shop/broken";
  broken->problem = "workload: address of 3 bytes";
  broken->addresses.push_back({.ip = ip("10.0.7.1")});
  builder.reject(broken);
  workload::Delta all;
  all.addresses_complete = all.policies_complete = true;
  builder.apply(all);
  return std::move(builder).build();
}

Route from(const workload::Directory& directory, std::string_view source, std::string_view dialled,
           UnknownDestinations unknown = UnknownDestinations::kPassthrough) {
  const Workload* who = directory.find_workload("Kubernetes//Pod/shop/" + std::string(source));
  return route(directory,
               {.dialled = *net::SocketAddress::parse(dialled),
                .ns = "shop",
                .source = who,
                .own_addresses = who != nullptr ? std::span<const net::IpAddress>(who->addresses)
                                                : std::span<const net::IpAddress>(),
                .unknown = unknown,
                .random = 1});
}

// tunnel ADDRESS AUTHORITY IDENTITY [waypoint] | plain ADDRESS | refuse REASON
std::string text_of(const Route& way) {
  switch (way.way) {
    case Route::Way::kRefuse:
      return "refuse " + std::string(reason_name(way.reason));
    case Route::Way::kPassthrough:
      return "plain " + way.address.to_string();
    case Route::Way::kTunnel:
      return "tunnel " + way.address.to_string() + " " + way.authority + " " +
             way.accepted.at(0).service_account() + (way.through_waypoint ? " waypoint" : "");
  }
  return "";
}

TEST_CASE("route: one row a destination") {
  const auto directory = world();
  struct Row {
    const char* source;
    const char* dialled;
    const char* way;
  };
  const auto row = GENERATE(values<Row>({
      // services and pods, both families
      {"web", "10.96.0.1:80", "tunnel 10.0.2.1:15008 10.0.2.1:8080 cart"},
      {"web", "10.0.2.1:8080", "tunnel 10.0.2.1:15008 10.0.2.1:8080 cart"},
      {"web", "10.0.2.1:9999", "tunnel 10.0.2.1:15008 10.0.2.1:9999 cart"},
      {"web", "[fd00:2::1]:8080", "tunnel [fd00:2::1]:15008 [fd00:2::1]:8080 cart"},
      {"nobody", "10.96.0.1:80", "tunnel 10.0.2.1:15008 10.0.2.1:8080 cart"},
      {"web", "10.96.0.1:81", "refuse no_endpoint"},
      {"web", "10.96.0.2:80", "refuse no_endpoint"},
      // waypoints: the authority is what was dialled
      {"web", "10.96.0.3:80", "tunnel 10.0.3.1:15008 10.96.0.3:80 waypoint waypoint"},
      {"web", "10.96.0.5:80", "tunnel 10.0.3.1:15008 10.96.0.5:80 waypoint waypoint"},
      {"web", "10.96.0.4:80", "refuse waypoint_missing"},
      {"waypoint", "10.96.0.3:80", "refuse no_endpoint"},
      {"web", "10.0.5.1:8080", "tunnel 10.0.3.1:15008 10.0.5.1:8080 waypoint waypoint"},
      {"waypoint", "10.0.5.1:8080", "tunnel 10.0.5.1:15008 10.0.5.1:8080 fenced"},
      // a workload's waypoint does not count when a service was dialled
      {"web", "10.96.0.6:80", "tunnel 10.0.5.1:15008 10.0.5.1:8080 fenced"},
      // plaintext workloads, and what is off the mesh
      {"web", "10.0.4.1:80", "plain 10.0.4.1:80"},
      {"web", "203.0.113.7:443", "plain 203.0.113.7:443"},
      {"web", "[2001:db8::1]:443", "plain [2001:db8::1]:443"},
      // never guessed
      {"web", "10.0.7.1:80", "refuse rejected_resource"},
      {"web", "10.96.0.7:80", "refuse unreachable"},
      // the proxy's own ports, on the pod itself
      {"web", "127.0.0.1:15001", "refuse loop"},
      {"web", "10.0.1.1:15006", "refuse loop"},
      {"web", "10.0.1.1:15008", "refuse loop"},
      {"web", "[::1]:15053", "refuse loop"},
      {"web", "0.0.0.0:15001", "refuse loop"},
      // on another pod they are decided there
      {"web", "10.0.2.1:15008", "tunnel 10.0.2.1:15008 10.0.2.1:15008 cart"},
  }));
  INFO(row.source << " dials " << row.dialled);
  CHECK(text_of(from(*directory, row.source, row.dialled)) == row.way);
}

TEST_CASE("a setting refuses what is off the mesh, and only that") {
  const auto directory = world();
  const auto strict = UnknownDestinations::kRefuse;
  CHECK(text_of(from(*directory, "web", "203.0.113.7:443", strict)) ==
        "refuse passthrough_refused");
  CHECK(text_of(from(*directory, "web", "10.0.4.1:80", strict)) == "plain 10.0.4.1:80");
}

TEST_CASE("a service's further names may answer for its members") {
  workload::DirectoryBuilder builder(world());
  auto cart = service("shop", "cart", "10.96.0.1", 80);
  cart->subject_alt_names = {"spiffe://cluster.local/ns/shop/sa/other", "not-an-id"};
  builder.set(cart);
  const auto directory = std::move(builder).build();
  const Route way = from(*directory, "web", "10.96.0.1:80");
  REQUIRE(way.accepted.size() == 2);
  CHECK(way.accepted[1].service_account() == "other");
  REQUIRE(way.service != nullptr);
  CHECK(way.service->name == "cart");
}

TEST_CASE("a service in passthrough mode is dialled as it is") {
  workload::DirectoryBuilder builder(world());
  auto block = service("shop", "block", "10.200.0.0/16", 80);
  block->load_balancing.mode = workload::LoadBalancing::Mode::kPassthrough;
  builder.set(block);
  const auto directory = std::move(builder).build();
  CHECK(text_of(from(*directory, "web", "10.200.3.4:80")) == "plain 10.200.3.4:80");
}

}  // namespace
}  // namespace mesh::ztunnel
