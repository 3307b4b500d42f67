#include "ztunnel/labels.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/workload/directory_builder.h"

namespace mesh::ztunnel {
namespace {

struct World {
  World() {
    workload::DirectoryBuilder builder(nullptr);
    auto peer = std::make_shared<workload::Workload>();
    peer->uid = "Kubernetes//Pod/web/peer-1";
    peer->name = "peer-1";
    peer->workload_name = "peer";
    peer->ns = "web";
    peer->service_account = "peer";
    peer->trust_domain = "cluster.local";
    peer->cluster_id = "Kubernetes";
    peer->addresses = {*net::IpAddress::parse("10.78.0.3")};
    builder.set(peer);
    server->uid = "Kubernetes//Pod/app/server-1";
    server->ns = "app";
    for (const char* name : {"two", "one", "elsewhere"}) {
      auto service = std::make_shared<workload::Service>();
      service->key = {.ns = "app", .hostname = std::string(name) + ".app.svc.cluster.local"};
      service->name = name;
      builder.set(service);
      const std::uint16_t target = std::string_view(name) == "elsewhere" ? 9 : 7000;
      server->services.push_back(
          {.service = service->key, .ports = {{.service_port = 80, .target_port = target}}});
    }
    directory = std::move(builder).build();
  }
  std::shared_ptr<workload::Workload> server = std::make_shared<workload::Workload>();
  workload::DirectoryPtr directory;
  net::SocketAddress known = *net::SocketAddress::parse("10.78.0.3:4000");
  net::SocketAddress unknown = *net::SocketAddress::parse("10.78.5.3:4000");
  net::SpiffeId peer = *net::SpiffeId::parse("spiffe://cluster.local/ns/web/sa/peer");
  net::SpiffeId other = *net::SpiffeId::parse("spiffe://cluster.local/ns/far/sa/other");
};

const std::optional<std::string> kFar =
    "k8s.cluster.name=c2,k8s.namespace.name=far,k8s.deployment.name=faraway,service.name=fa,"
    "service.version=v9,cloud.region=r9,cloud.availability_zone=z9";

TEST_CASE("a known caller is called by its workload, whatever its baggage says") {
  World world;
  const auto caller = caller_for_labels(*world.directory, "", world.known, &world.peer, kFar);
  REQUIRE(caller != nullptr);
  CHECK(caller->name == "peer-1");
}

TEST_CASE("do better 8: baggage cannot rename a caller into another namespace") {
  World world;
  // The same baggage from an unknown address: believed when the handshake proved that namespace,
  CHECK(caller_for_labels(*world.directory, "", world.unknown, &world.other, kFar)->workload_name ==
        "faraway");
  // and not when it proved another one.
  CHECK(caller_for_labels(*world.directory, "", world.unknown, &world.peer, kFar) == nullptr);
  // An address that belongs to somebody else's workload lends no name either.
  const auto moved = caller_for_labels(*world.directory, "", world.known, &world.other, kFar);
  REQUIRE(moved != nullptr);
  CHECK(moved->ns == "far");
}

TEST_CASE("golden: the service an inbound connection counts under") {
  World world;
  const auto name = [&](std::uint16_t port, std::optional<std::string> forwarded) {
    const auto found = service_for_labels(*world.directory, *world.server, port, forwarded);
    return found == nullptr ? std::string("none") : found->name;
  };
  CHECK(name(7000, "for=\"10.78.0.3:1\";host=two.app.svc.cluster.local") == "two");
  CHECK(name(7000, "for=\"10.78.0.3:1\";host=one.app.svc.cluster.local") == "one");
  CHECK(name(7000, "host=nope.example") == "one");
  CHECK(name(7000, std::nullopt) == "one");
  // Named, but not on this port.
  CHECK(name(7000, "host=elsewhere.app.svc.cluster.local") == "one");
  CHECK(name(7777, std::nullopt) == "none");
}

TEST_CASE("what we tell of a workload") {
  World world;
  workload::Workload own = *world.directory->find_workload("Kubernetes//Pod/web/peer-1");
  own.canonical_name = "peer";
  own.canonical_revision = "v1";
  own.type = workload::WorkloadType::kDeployment;
  CHECK(hbone::to_header(baggage_of(own)) ==
        "k8s.cluster.name=Kubernetes,k8s.namespace.name=web,k8s.deployment.name=peer,"
        "service.name=peer,service.version=v1");
}

TEST_CASE("a pod that control has not told of has the names of the agent's event") {
  const auto made = stand_in_for(
      {.uid = "u", .name = "web-1", .ns = "shop", .service_account = "web"}, "td", "c1");
  CHECK(made->identity()->to_string() == "spiffe://td/ns/shop/sa/web");
  CHECK(tcp_end(made.get(), "x").workload_namespace == "shop");
  CHECK(tcp_end(nullptr, "").workload.empty());
}

}  // namespace
}  // namespace mesh::ztunnel
