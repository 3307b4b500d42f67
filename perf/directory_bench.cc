// A mesh of 100 000 workloads and 10 000 services: lookups, endpoints, and the next snapshot.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mesh/workload/directory_builder.h"
#include "mesh/workload/load_balance.h"
#include "test/support/directory_text.h"

namespace mesh::workload {
namespace {

constexpr std::uint32_t kWorkloads = 100'000;
constexpr std::uint32_t kServices = 10'000;

net::IpAddress ip_of(std::uint32_t base, std::uint32_t number) {
  const std::uint32_t ip = base + number;
  return net::IpAddress::v4({static_cast<std::uint8_t>(ip >> 24),
                             static_cast<std::uint8_t>(ip >> 16),
                             static_cast<std::uint8_t>(ip >> 8), static_cast<std::uint8_t>(ip)});
}
net::IpAddress pod_ip(std::uint32_t number) { return ip_of(0x0a000000, number); }
net::IpAddress service_ip(std::uint32_t number) { return ip_of(0x0b000000, number); }

ServiceKey service_key(std::uint32_t number) {
  return {.ns = "ns" + std::to_string(number % 100),
          .hostname = "service" + std::to_string(number) + ".example.svc.cluster.local"};
}

WorkloadPtr pod(std::uint32_t number, std::string_view node = "") {
  const ServiceKey service = service_key(number % kServices);
  Workload made{.uid = "Kubernetes//Pod/" + service.ns + "/pod" + std::to_string(number),
                .name = "pod" + std::to_string(number),
                .ns = service.ns,
                .addresses = {pod_ip(number)},
                .tunnel = TunnelProtocol::kHbone,
                .trust_domain = "cluster.local",
                .service_account = "default",
                .node = node.empty() ? "node" + std::to_string(number % 1'000) : std::string(node),
                .cluster_id = "Kubernetes",
                .canonical_name = "service",
                .canonical_revision = "latest",
                .workload_name = "service",
                .type = WorkloadType::kPod,
                .services = {{.service = service, .ports = {{80, 8080}}}}};
  return std::make_shared<const Workload>(std::move(made));
}

Delta everything() {
  Delta all;
  for (std::uint32_t i = 0; i < kWorkloads; ++i) all.workloads.push_back(pod(i));
  for (std::uint32_t i = 0; i < kServices; ++i) {
    Service made{.key = service_key(i),
                 .vips = {{.block = *net::Cidr::make(service_ip(i), 32)}},
                 .ports = {{80, 8080}}};
    all.services.push_back(std::make_shared<const Service>(std::move(made)));
  }
  return all;
}

const DirectoryPtr& large() {
  static const DirectoryPtr directory = test::next(nullptr, everything());
  return directory;
}

void first_snapshot(benchmark::State& state) {
  const Delta all = everything();
  for (auto _ : state) benchmark::DoNotOptimize(test::next(nullptr, all));
}
BENCHMARK(first_snapshot)->Unit(benchmark::kMillisecond);

// One workload of 100 000 changes.
void next_snapshot(benchmark::State& state) {
  DirectoryPtr directory = large();
  std::uint32_t number = 0;
  for (auto _ : state) {
    state.PauseTiming();
    number = (number + 7'919) % kWorkloads;
    Delta change;
    change.workloads.push_back(pod(number, "node-" + std::to_string(directory->version())));
    state.ResumeTiming();
    directory = test::next(directory, change);
  }
}
BENCHMARK(next_snapshot);

// A workload comes, and goes.
void add_and_remove(benchmark::State& state) {
  DirectoryPtr directory = large();
  const WorkloadPtr one = pod(kWorkloads + 1);
  const Delta add{.workloads = {one}};
  const Delta remove{.removed = {one->uid}};
  for (auto _ : state) directory = test::next(test::next(directory, add), remove);
}
BENCHMARK(add_and_remove);

void find_workload(benchmark::State& state) {
  const DirectoryPtr& directory = large();
  std::uint32_t number = 0;
  for (auto _ : state) {
    number = (number + 7'919) % kWorkloads;
    benchmark::DoNotOptimize(directory->find({"", pod_ip(number)}, {.ns = "ns1"}));
  }
}
BENCHMARK(find_workload);

void find_service(benchmark::State& state) {
  const DirectoryPtr& directory = large();
  std::uint32_t number = 0;
  for (auto _ : state) {
    number = (number + 7'919) % kServices;
    benchmark::DoNotOptimize(directory->find({"", service_ip(number)}, {.ns = "ns1"}));
  }
}
BENCHMARK(find_service);

void find_nothing(benchmark::State& state) {
  const DirectoryPtr& directory = large();
  for (auto _ : state) {
    benchmark::DoNotOptimize(directory->find({"", ip_of(0x0c000000, 1)}, {.ns = "ns1"}));
  }
}
BENCHMARK(find_nothing);

// Among ten endpoints, and among 10 000: by the table of the first choice.
void choose_one_endpoint(benchmark::State& state) {
  DirectoryPtr directory = large();
  const ServiceKey key = service_key(1);
  Delta more;
  for (std::uint32_t i = 10; i < static_cast<std::uint32_t>(state.range(0)); ++i) {
    Workload one = *pod(kWorkloads + i);
    one.services[0].service = key;
    more.workloads.push_back(std::make_shared<const Workload>(std::move(one)));
  }
  directory = test::next(directory, more);
  const Service* service = directory->find_service(key.ns, key.hostname);
  std::uint64_t random = 88'172'645'463'325'252ULL;
  for (auto _ : state) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    benchmark::DoNotOptimize(choose_endpoint(*directory, *service, 80, {}, random));
  }
}
BENCHMARK(choose_one_endpoint)->Arg(10)->Arg(10'000);

// The first choice after one of 10 000 endpoints has changed.
void choose_first_endpoint(benchmark::State& state) {
  DirectoryPtr directory = large();
  const ServiceKey key = service_key(1);
  Delta more;
  for (std::uint32_t i = 10; i < 10'000; ++i) {
    Workload one = *pod(kWorkloads + i);
    one.services[0].service = key;
    more.workloads.push_back(std::make_shared<const Workload>(std::move(one)));
  }
  directory = test::next(directory, more);
  for (auto _ : state) {
    state.PauseTiming();
    Delta change;
    change.workloads.push_back(pod(1, "node-" + std::to_string(directory->version())));
    directory = test::next(directory, change);
    const Service* service = directory->find_service(key.ns, key.hostname);
    state.ResumeTiming();
    benchmark::DoNotOptimize(choose_endpoint(*directory, *service, 80, {}, directory->version()));
  }
}
BENCHMARK(choose_first_endpoint);

}  // namespace
}  // namespace mesh::workload

BENCHMARK_MAIN();
