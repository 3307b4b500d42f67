#include "test/golden/ztunnel/little_mesh.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/timer.h"
#include "mesh/tls/context.h"
#include "mesh/workload/directory_builder.h"

namespace mesh::ztunnel {
namespace {

net::IpAddress ip(const char* text) { return *net::IpAddress::parse(text); }

std::shared_ptr<const net::NetworkNamespace> namespace_of(const io::sim::Host& host) {
  return {&host.netns(), [](const net::NetworkNamespace*) {}};  // owned by the world
}

std::shared_ptr<workload::Workload> workload_of(const char* ns, const std::string& name,
                                                std::vector<const char*> addresses) {
  auto made = std::make_shared<workload::Workload>();
  made->name = name + "-1";
  made->uid = "Kubernetes//Pod/" + std::string(ns) + "/" + made->name;
  made->workload_name = made->canonical_name = name;
  made->canonical_revision = "v1";
  made->ns = ns;
  made->service_account = name;
  made->trust_domain = "cluster.local";
  made->cluster_id = "Kubernetes";
  made->tunnel = workload::TunnelProtocol::kHbone;
  for (const char* address : addresses) made->addresses.push_back(ip(address));
  return made;
}

std::shared_ptr<workload::Service> service_of(const char* ns, const std::string& name,
                                              const char* vip, std::vector<std::uint16_t> ports) {
  auto made = std::make_shared<workload::Service>();
  made->key = {.ns = ns, .hostname = name + "." + ns + ".svc.cluster.local"};
  made->name = name;
  made->vips.push_back({.network = "", .block = *net::Cidr::parse(vip)});
  for (const std::uint16_t port : ports) made->ports.push_back({.service_port = port});
  return made;
}

}  // namespace

workload::DirectoryPtr recorded_world() {
  workload::DirectoryBuilder builder(nullptr);
  builder.set(workload_of("web", "client", {"10.78.0.1", "fd00:78::1"}));
  auto server = workload_of("app", "server", {"10.78.0.2", "fd00:78::2"});
  server->services.push_back({.service = {.ns = "app", .hostname = "srv.app.svc.cluster.local"},
                              .ports = {{.service_port = 80, .target_port = 7000},
                                        {.service_port = 82, .target_port = 7020}}});
  builder.set(server);
  builder.set(workload_of("web", "peer", {"10.78.0.3"}));
  auto plain = workload_of("app", "plain", {"10.78.0.4"});
  plain->tunnel = workload::TunnelProtocol::kNone;
  builder.set(plain);
  builder.set(service_of("app", "srv", "10.96.0.1", {80, 82}));
  builder.set(service_of("app", "empty", "10.96.0.5", {80}));
  auto waypointed = service_of("app", "wpsvc", "10.96.0.4", {80});
  waypointed->waypoint = {.destination = workload::NetworkAddress{.ip = ip("10.78.0.3")}};
  builder.set(waypointed);
  auto deny = std::make_shared<policy::Policy>();
  deny->key = "app/deny-7010";
  deny->ns = "app";
  deny->name = "deny-7010";
  policy::Match match;
  match.destination_ports = {7010};
  policy::Clause clause;
  clause.any_of.push_back(match);
  policy::Rule rule;
  rule.all_of.push_back(clause);
  deny->any_of.push_back(rule);
  workload::Delta delta;
  delta.policies.push_back(deny);
  delta.addresses_complete = delta.policies_complete = true;
  builder.apply(delta);
  return std::move(builder).build();
}

TestNode::TestNode(io::sim::World& world, const std::string& name, const char* address,
                   std::vector<net::IpAddress> dns_servers) {
  config.node_name = name;
  config.workers = 2;
  config.dns_proxy = !dns_servers.empty();
  config.dns_servers = std::move(dns_servers);
  config.termination_deadline = std::chrono::seconds(1);
  log_fd = memfd_create(name.c_str(), MFD_CLOEXEC);
  REQUIRE(log_fd >= 0);
  sink = std::make_unique<telemetry::LogSink>(log_fd);
  log = std::make_unique<telemetry::Log>(*sink, telemetry::LogFormat::kText, filter);
  telemetry = std::make_unique<Telemetry>(*log);
  auto made = world.add_host(name, {ip(address)}).make_ring();
  REQUIRE(made.has_value());
  ring = *std::move(made);
  stop_ = std::make_unique<io::Event>(*ring);
  node = std::make_unique<Node>(*ring, config, *telemetry, nullptr);
}

TestNode::~TestNode() {
  sink.reset();
  close(log_fd);
}

io::Task<void> TestNode::run(PodInfo pod, io::sim::Host& host) {
  // A worker belongs to the host of the ring whose turn it is: wait for one of ours.
  (void)co_await io::sleep_for(*ring, std::chrono::milliseconds(1));
  const auto started = co_await node->start();
  CHECK(started.has_value());
  std::string problem;
  const auto added = co_await node->add_pod(std::move(pod), namespace_of(host), problem);
  INFO(problem);
  CHECK(added.has_value());
  node->set_agent_ready(true);
  up = true;
  (void)co_await stop_->wait();
  co_await node->drain();
  drained = true;
}

void TestNode::publish(workload::DirectoryPtr directory) {
  node->publish(std::move(directory), [this] { ++applied; });
}

void TestNode::publish(std::shared_ptr<const identity::Certificate> certificate) {
  const net::SpiffeId id = certificate->id;
  node->publish(id, std::move(certificate));
}

std::vector<std::string> TestNode::new_lines() {
  sink->flush();
  const auto size = static_cast<std::size_t>(lseek(log_fd, 0, SEEK_END));
  std::string text(size - read_, '\0');
  REQUIRE(pread(log_fd, text.data(), text.size(), static_cast<off_t>(read_)) ==
          static_cast<ssize_t>(text.size()));
  read_ = size;
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

LittleMesh::LittleMesh(std::uint64_t seed, std::vector<net::IpAddress> dns_servers)
    : world(io::sim::Options{.seed = seed, .faults = {}}),
      client(world.add_host("client", {ip("10.78.0.1"), ip("fd00:78::1")})),
      server(world.add_host("server", {ip("10.78.0.2"), ip("fd00:78::2")})),
      peer(world.add_host("peer", {ip("10.78.0.3")})),
      plain(world.add_host("plain", {ip("10.78.0.4")})),
      outside(world.add_host("outside", {ip("10.78.0.254")})),
      one(world, "node-1", "10.0.0.1", dns_servers),
      two(world, "node-2", "10.0.0.2", dns_servers),
      directory(recorded_world()) {
  for (io::sim::Host* host : {&client, &server}) {
    host->capture({.outbound = kOutboundPort,
                   .inbound = kPlaintextPort,
                   .inbound_except = kHbonePort,
                   .dns = dns_servers.empty() ? std::uint16_t{0} : kDnsPort});
  }
  const auto ring = [](io::sim::Host& host) { return *host.make_ring(); };
  client_ring = ring(client);
  server_ring = ring(server);
  peer_ring = ring(peer);
  plain_ring = ring(plain);
  outside_ring = ring(outside);
  world.start(
      *one.ring,
      one.run({.uid = "u1", .name = "client-1", .ns = "web", .service_account = "client"}, client));
  world.start(
      *two.ring,
      two.run({.uid = "u2", .name = "server-1", .ns = "app", .service_account = "server"}, server));
  world.run_for(std::chrono::seconds(1));
  REQUIRE(one.up);
  REQUIRE(two.up);
  one.publish(certificate("spiffe://cluster.local/ns/web/sa/client", ca));
  two.publish(certificate("spiffe://cluster.local/ns/app/sa/server", ca));
  publish(directory);
  one.new_lines();
  two.new_lines();
}

LittleMesh::~LittleMesh() {
  one.drain();
  two.drain();
  world.run_for(std::chrono::seconds(30));
}

std::shared_ptr<const identity::Certificate> LittleMesh::certificate(
    const std::string& id, const test::TestCa& issuer, std::vector<std::string> names) const {
  const auto now = std::chrono::floor<std::chrono::seconds>(one.ring->wall_now());
  test::LeafOptions options;
  options.uris = {id};
  options.names = std::move(names);
  options.not_before = now - std::chrono::minutes(1);
  options.not_after = now + std::chrono::hours(24);
  const tls::Credentials credentials = issuer.issue(options);
  auto client_side = tls::Context::for_mesh(tls::Role::kClient, credentials);
  auto server_side = tls::Context::for_mesh(tls::Role::kServer, credentials);
  REQUIRE(client_side.has_value());
  REQUIRE(server_side.has_value());
  return std::make_shared<identity::Certificate>(
      identity::Certificate{.id = *net::SpiffeId::parse(id),
                            .chain = credentials.chain,
                            .roots = credentials.roots,
                            .client = *std::move(client_side),
                            .server = *std::move(server_side),
                            .not_after = options.not_after});
}

void LittleMesh::publish(workload::DirectoryPtr next) {
  directory = std::move(next);
  const unsigned before_one = one.applied, before_two = two.applied;
  one.publish(directory);
  two.publish(directory);
  world.run_for(std::chrono::milliseconds(10));
  REQUIRE(one.applied == before_one + 1);
  REQUIRE(two.applied == before_two + 1);
}

void LittleMesh::run(io::Ring& on, io::Task<void> task) {
  world.start(on, std::move(task));
  world.run_for(std::chrono::seconds(15));
}

}  // namespace mesh::ztunnel
