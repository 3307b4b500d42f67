#include "mesh/workload/directory.h"

#include <set>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "test/support/directory_text.h"

namespace mesh::workload {
namespace {

using test::delta;
using test::directory;
using test::ip;
using test::next;

// What is at an address, in a word: "absent", "refused NAME", "service KEY" or "workload UID".
std::string at(const DirectoryPtr& given, std::string_view address, Asker asker = {},
               std::string_view network = "") {
  const Found found = given->find({.network = network, .ip = ip(address)}, asker);
  switch (found.what) {
    case Found::What::kAbsent:
      return "absent";
    case Found::What::kRefused:
      return "refused " + found.refused->resource;
    case Found::What::kService:
      return "service " + found.service->key.to_string();
    case Found::What::kWorkload:
      return "workload " + found.workload->uid;
  }
  return "?";
}

std::set<std::string> members(const DirectoryPtr& given, std::string_view ns,
                              std::string_view hostname) {
  std::set<std::string> names;
  given->for_each_endpoint({ns, hostname},
                           [&](const Endpoint& one) { names.insert(one.workload->name); });
  return names;
}

DirectoryPtr rejecting(const DirectoryPtr& last, Refused refused) {
  Delta changes;
  changes.rejected.push_back(std::make_shared<const Refused>(std::move(refused)));
  return next(last, changes);
}

TEST_CASE("a Directory finds workloads by address within their network") {
  const DirectoryPtr given = directory(R"(
    pod shop/web 10.0.0.2,fd00::2 hbone
    pod shop/far 10.0.0.2 hbone network=far
    pod shop/host 192.168.0.1 hostnet
  )");
  CHECK(at(given, "10.0.0.2") == "workload K//Pod/shop/web");
  CHECK(at(given, "fd00::2") == "workload K//Pod/shop/web");
  CHECK(at(given, "10.0.0.2", {}, "far") == "workload K//Pod/shop/far");
  CHECK(at(given, "10.0.0.3") == "absent");
  CHECK(at(given, "192.168.0.1") == "absent");
  CHECK(given->find_workload("K//Pod/shop/host") != nullptr);
}

TEST_CASE("of several workloads at one address a Pod of the mesh is meant") {
  DirectoryPtr given = directory(R"(
    pod shop/entry 10.0.0.2 uid=K/networking/WorkloadEntry/shop/entry
    pod shop/plain 10.0.0.2
    pod shop/web 10.0.0.2 hbone
  )");
  CHECK(at(given, "10.0.0.2") == "workload K//Pod/shop/web");
  given = next(given, "remove K//Pod/shop/web");
  CHECK(at(given, "10.0.0.2") == "workload K//Pod/shop/plain");
  given = next(given, "remove K//Pod/shop/plain");
  CHECK(at(given, "10.0.0.2") == "workload K/networking/WorkloadEntry/shop/entry");
}

TEST_CASE("a service's address is found before a workload's, the longest block first") {
  const DirectoryPtr given = directory(R"(
    pod shop/web 10.96.0.9
    service shop/one.example 10.96.0.1
    service shop/block.example 10.96.0.0/16
    service shop/wide.example 10.0.0.0/8
    service shop/six.example fd00:10::/64
  )");
  CHECK(at(given, "10.96.0.1") == "service shop/one.example");
  CHECK(at(given, "10.96.0.2") == "service shop/block.example");
  CHECK(at(given, "10.1.0.1") == "service shop/wide.example");
  CHECK(at(given, "10.96.0.9") == "service shop/block.example");
  CHECK(at(given, "fd00:10::7") == "service shop/six.example");
  CHECK(at(given, "11.0.0.1") == "absent");
}

TEST_CASE("of several services at one address: own namespace, preferred, canonical, first by key") {
  const DirectoryPtr given = directory(R"(
    service a/x.example 10.96.0.1
    service b/x.example 10.96.0.1 canonical
    service c/x.example 10.96.0.1
    service d/x.example 10.96.0.1 private
  )");
  CHECK(at(given, "10.96.0.1", {.ns = "c"}) == "service c/x.example");
  CHECK(at(given, "10.96.0.1", {.ns = "d"}) == "service d/x.example");
  CHECK(at(given, "10.96.0.1", {.ns = "z", .preferred_ns = "a"}) == "service a/x.example");
  CHECK(at(given, "10.96.0.1", {.ns = "z", .preferred_ns = "d"}) == "service b/x.example");
  CHECK(at(given, "10.96.0.1", {.ns = "z"}) == "service b/x.example");
  CHECK(at(next(given, "remove b/x.example"), "10.96.0.1", {.ns = "z"}) == "service a/x.example");
}

TEST_CASE("a service of a namespace is not visible from others") {
  const DirectoryPtr given = directory(R"(
    service d/x.example 10.96.0.1 private
    service d/wide.example 10.96.0.0/16
  )");
  CHECK(at(given, "10.96.0.1", {.ns = "d"}) == "service d/x.example");
  CHECK(at(given, "10.96.0.1", {.ns = "z"}) == "service d/wide.example");
}

TEST_CASE("endpoints may come before their service, and stay after it") {
  DirectoryPtr given = directory("pod shop/web 10.0.0.2 services=shop/web.example:80>8080");
  CHECK(given->find_service("shop", "web.example") == nullptr);
  CHECK(members(given, "shop", "web.example") == std::set<std::string>{"web"});
  std::size_t staged = 0;
  given->for_each_staged([&](const ServiceKey&, std::size_t count) { staged += count; });
  CHECK(staged == 1);

  given = next(given, "service shop/web.example 10.96.0.1 ports=80");
  CHECK(members(given, "shop", "web.example") == std::set<std::string>{"web"});
  given = next(given, "remove shop/web.example");
  CHECK(at(given, "10.96.0.1") == "absent");
  CHECK(given->endpoint_count({"shop", "web.example"}) == 1);
  given = next(given, "remove K//Pod/shop/web");
  CHECK(given->endpoint_count({"shop", "web.example"}) == 0);
}

TEST_CASE("an update moves a workload from its old addresses, names and services to the new") {
  const DirectoryPtr before = directory(R"(
    service shop/a.example 10.96.0.1 ports=80
    service shop/b.example 10.96.0.2 ports=80
    pod shop/web 10.0.0.2 services=shop/a.example:80>8080
  )");
  const DirectoryPtr after =
      next(before, "pod shop/web 10.0.0.3 sa=other services=shop/b.example:80>8080");

  CHECK(after->version() == before->version() + 1);
  CHECK(at(after, "10.0.0.2") == "absent");
  CHECK(at(after, "10.0.0.3") == "workload K//Pod/shop/web");
  CHECK(members(after, "shop", "a.example").empty());
  CHECK(members(after, "shop", "b.example") == std::set<std::string>{"web"});
  CHECK(after->find_pod("shop", "web", "web") == nullptr);
  CHECK(after->find_pod("shop", "web", "other") != nullptr);

  // The last one is as it was.
  CHECK(at(before, "10.0.0.2") == "workload K//Pod/shop/web");
  CHECK(members(before, "shop", "a.example") == std::set<std::string>{"web"});
  CHECK(before->find_pod("shop", "web", "web") != nullptr);
}

TEST_CASE("an address that another workload takes over is the other's at once") {
  DirectoryPtr given = directory("pod shop/old 10.0.0.2 hbone");
  Delta both = delta("pod shop/new 10.0.0.2 hbone\nremove K//Pod/shop/old");
  given = next(given, both);
  CHECK(at(given, "10.0.0.2") == "workload K//Pod/shop/new");
}

TEST_CASE("a resource that was removed and sent in one response is there") {
  DirectoryPtr given = directory("pod shop/web 10.0.0.2");
  given = next(given, "remove K//Pod/shop/web\npod shop/web 10.0.0.3");
  CHECK(at(given, "10.0.0.3") == "workload K//Pod/shop/web");
  CHECK(at(given, "10.0.0.2") == "absent");
}

TEST_CASE("a rejected resource is refused, not absent, until a good version or its removal") {
  const DirectoryPtr given =
      rejecting(directory(""), {.resource = "K//Pod/shop/web",
                                .problem = "field 99 is unknown",
                                .addresses = {{.network = "", .ip = ip("10.0.0.2")}}});
  CHECK(at(given, "10.0.0.2") == "refused K//Pod/shop/web");
  CHECK(given->find_refused("K//Pod/shop/web")->problem == "field 99 is unknown");
  CHECK(given->find_workload("K//Pod/shop/web") == nullptr);
  CHECK(given->rejected_count() == 1);

  const DirectoryPtr good = next(given, "pod shop/web 10.0.0.2");
  CHECK(at(good, "10.0.0.2") == "workload K//Pod/shop/web");
  CHECK(good->rejected_count() == 0);
  CHECK(at(next(given, "remove K//Pod/shop/web"), "10.0.0.2") == "absent");
}

TEST_CASE("a rejected resource takes its address from others, unless their block is longer") {
  DirectoryPtr given = directory("pod shop/old 10.0.0.2\nservice shop/s.example 10.96.0.0/16");
  given = rejecting(given, {.resource = "K//Pod/shop/new",
                            .problem = "broken",
                            .addresses = {{.network = "", .ip = ip("10.0.0.2")}}});
  CHECK(at(given, "10.0.0.2") == "refused K//Pod/shop/new");
  given = rejecting(given, {.resource = "shop/t.example",
                            .problem = "broken",
                            .vips = {{.block = *net::Cidr::parse("10.0.0.0/8")}}});
  CHECK(at(given, "10.96.1.1") == "service shop/s.example");
  CHECK(at(given, "10.1.1.1") == "refused shop/t.example");
}

TEST_CASE("the last good version of a resource serves when its update is rejected") {
  DirectoryPtr given = directory("pod shop/web 10.0.0.2 hbone");
  given = rejecting(given, {.resource = "K//Pod/shop/web",
                            .problem = "field 99 is unknown",
                            .addresses = {{.network = "", .ip = ip("10.0.0.2")},
                                          {.network = "", .ip = ip("10.0.0.3")}}});
  CHECK(at(given, "10.0.0.2") == "workload K//Pod/shop/web");
  // What only the rejected version claims is not off-mesh.
  CHECK(at(given, "10.0.0.3") == "refused K//Pod/shop/web");
  std::string problem;
  given->for_each_rejected_update(
      [&](const std::string&, const std::string& text) { problem = text; });
  CHECK(problem == "field 99 is unknown");

  given = next(given, "pod shop/web 10.0.0.2 hbone");
  CHECK(given->rejected_count() == 0);
  CHECK(at(given, "10.0.0.3") == "absent");
}

TEST_CASE("a Directory is complete when addresses and policies are, and stays so") {
  CHECK_FALSE(next(nullptr, Delta{})->complete());
  DirectoryPtr given = next(nullptr, Delta{.addresses_complete = true});
  CHECK(given->addresses_complete());
  CHECK_FALSE(given->complete());
  given = next(given, Delta{.policies_complete = true});
  CHECK(given->complete());
  CHECK(next(given, Delta{})->complete());
}

TEST_CASE("a Directory knows the policies of a workload: its namespace's and what it lists") {
  const DirectoryPtr given = directory(R"(
    pod shop/web 10.0.0.2 policies=shop/w
    pod shop/job 10.0.0.3
    policy shop/w: deny workload port=81
    policy shop/n: deny port=82
  )");
  const auto decided = [&](std::string_view uid, std::string_view to) {
    const policy::Connection connection = policy::test::connection(to);
    return policy::authorize(given->policies_for(*given->find_workload(uid)), connection).allowed();
  };
  CHECK_FALSE(decided("K//Pod/shop/web", "ops/x to 81"));
  CHECK(decided("K//Pod/shop/job", "ops/x to 81"));
  CHECK_FALSE(decided("K//Pod/shop/job", "ops/x to 82"));
}

TEST_CASE("a workload that starts to list a policy is judged by it from the next snapshot on") {
  DirectoryPtr given = directory("pod shop/web 10.0.0.2\npolicy shop/w: deny workload all");
  const policy::Connection open = policy::test::connection("ops/x to 80");
  const auto decided = [&] {
    const Workload* web = given->find_workload("K//Pod/shop/web");
    return policy::authorize(given->policies_for(*web), open).allowed();
  };
  CHECK(decided());
  given = next(given, "pod shop/web 10.0.0.2 policies=shop/w");
  CHECK_FALSE(decided());
}

TEST_CASE("services are found by hostname in every namespace") {
  const DirectoryPtr given = directory(R"(
    service b/x.example 10.96.0.1
    service a/x.example 10.96.0.2
    service a/y.example -
  )");
  const auto found = given->services_of_hostname("x.example");
  REQUIRE(found.size() == 2);
  CHECK(found[0]->key.ns == "a");
  CHECK(found[1]->key.ns == "b");
  CHECK(given->services_of_hostname("z.example").empty());
  CHECK(next(given, "remove a/x.example")->services_of_hostname("x.example").size() == 1);
}

}  // namespace
}  // namespace mesh::workload
