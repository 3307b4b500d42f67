// What a connection asks of a Directory and its policies allocates nothing. A program of its own,
// because it replaces operator new.

#include <atomic>
#include <cstdlib>
#include <new>

#include <catch2/catch_test_macros.hpp>

#include "mesh/policy/authorize.h"
#include "mesh/workload/load_balance.h"
#include "test/support/directory_text.h"

namespace {
std::atomic<int> allocations = 0;
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace mesh::workload {
namespace {

TEST_CASE("a connection's lookups and its verdict allocate nothing") {
  const DirectoryPtr given = test::directory(R"(
    service shop/web.example 10.96.0.1 ports=80>8080 lb=failover prefer=region,zone
    service shop/block.example 10.97.0.0/16 ports=80
    pod shop/web 10.0.0.2,fd00::2 hbone policies=root/strict services=shop/web.example:80>8080
    pod shop/other 10.0.0.3 hbone services=shop/web.example:80>8080
    policy root/strict: deny workload !principal=*
    policy shop/a: allow ns=web,a-namespace-of-a-name-too-long-to-be-kept-in-place | port=22
    policy shop/d: deny sa=web/job from=10.0.0.0/8
    policy root/g: deny global principal=*/sa/x
  )");
  const policy::Connection connection =
      policy::test::connection("web/a-service-account-of-a-long-name 10.1.1.1 to 10.0.0.2:8080");
  const net::IpAddress pod_ip = test::ip("fd00::2");
  const net::IpAddress vip = test::ip("10.97.3.4");

  const int before = allocations;
  const Found workload = given->find({"", pod_ip}, {.ns = "shop"});
  const Found service = given->find({"", vip}, {.ns = "shop"});
  const Service* web = given->find_service("shop", "web.example");
  const bool chosen =
      choose_endpoint(*given, *web, 80, Place::of(*workload.workload), 12'345).has_value();
  const bool allowed = authorize(given->policies_for(*workload.workload), connection).allowed();
  const bool pod = given->find_pod("shop", "web", "web") != nullptr;
  const int after = allocations;

  CHECK(after - before == 0);
  CHECK(service.service != nullptr);
  CHECK(chosen);
  CHECK(allowed);
  CHECK(pod);
}

}  // namespace
}  // namespace mesh::workload
