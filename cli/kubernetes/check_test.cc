#include "cli/kubernetes/check.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/kubernetes/fake_server_for_tests.h"

using namespace mesh::cli;
using Request = mesh::kube::HttpRequest;
using Json = nlohmann::json;

namespace {

std::string told(const CheckResults& results) {
  std::string all;
  for (const CheckResult& one : results) {
    if (one.health != Health::kGood) CHECK_FALSE(one.fix.empty());
    all += (one.health == Health::kGood ? "+ " : one.health == Health::kWarning ? "? " : "- ");
    all += one.what + (one.why.empty() ? "" : ": " + one.why) + "\n";
  }
  return all;
}

Json list(const char* kind, std::vector<Json> items) {
  return {{"kind", std::string(kind) + "List"}, {"apiVersion", "v1"}, {"items", std::move(items)}};
}

Json node(const char* name, const char* kernel) {
  return {{"metadata", {{"name", name}}},
          {"status", {{"nodeInfo", {{"kernelVersion", kernel}, {"operatingSystem", "linux"}}}}}};
}

}  // namespace

TEST_CASE("Kernels that are new enough") {
  CHECK(is_kernel_new_enough("6.1.0-32-amd64"));
  CHECK(is_kernel_new_enough("6.18.3"));
  CHECK(is_kernel_new_enough("7.0"));
  CHECK_FALSE(is_kernel_new_enough("5.15.0-119-generic"));
  CHECK_FALSE(is_kernel_new_enough("6.0.9"));
  CHECK_FALSE(is_kernel_new_enough("linux"));
}

TEST_CASE("What the agent's log says last of the CNI chain counts") {
  const std::string good = "info weft-cni is in place in /etc/cni/net.d\n";
  const std::string bad = "error weft-cni is not in place: no configuration yet\n";
  CHECK(chain_problem(good).empty());
  CHECK(chain_problem(bad + good).empty());
  CHECK(chain_problem(good + bad + "more\n") == "no configuration yet");
  CHECK(chain_problem("nothing of it").empty());
}

TEST_CASE("Nodes with an old kernel are named, others are counted") {
  FakeServer server;
  server.answers["GET /api/v1/nodes?limit=500"] =
      list("Node", {node("a", "6.12.1"), node("b", "5.10.0"), node("c", "6.1.0")});
  Cluster cluster = server.cluster();
  CheckResults results;
  REQUIRE(check_nodes(cluster, results));
  CHECK(told(results) ==
        "- node b runs Linux 5.10.0: too old\n+ 2 nodes with a kernel that is new enough\n");
}

TEST_CASE("Kinds that policies need must be there, others should") {
  FakeServer server;
  server.add_kinds("security.istio.io/v1",
                   {{"AuthorizationPolicy", true}, {"RequestAuthentication", true}});
  Cluster cluster = server.cluster();
  CheckResults results;
  REQUIRE(check_kinds(cluster, results));
  CHECK(results.front().health == Health::kBad);
  CHECK(results.front().why.find("PeerAuthentication") == 0);
  CHECK(results.front().why.find("AuthorizationPolicy") == std::string::npos);
}

TEST_CASE("A verb that a program lacks is named, with what it is for") {
  FakeServer server;
  const std::string asked = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
  Cluster all([&](const Request& request) -> std::expected<std::string, mesh::kube::Status> {
    REQUIRE(request.method + " " + request.target == asked);
    const Json spec = Json::parse(request.body)["spec"];
    const Json& what = spec["resourceAttributes"];
    const bool missing = what["resource"] == "tokenreviews";
    if (what["resource"] == "daemonsets") CHECK(what["name"] == "weft-agent");
    if (what["resource"] == "leases") CHECK(what["namespace"] == "mesh");
    CHECK(spec["user"].get<std::string>().starts_with("system:serviceaccount:mesh:weft-"));
    return Json{{"status", {{"allowed", !missing}}}}.dump();
  });
  CheckResults results;
  REQUIRE(check_roles(all, "mesh", results));
  CHECK(told(results) ==
        "- weft-control may not create tokenreviews.authentication.k8s.io: it needs that for: who "
        "asks for configuration or a certificate\n");
}

TEST_CASE("A pod that does not run is told of with what its log means") {
  FakeServer server;
  const Json daemons = {{"kind", "DaemonSet"},
                        {"metadata",
                         {{"name", "ztunnel"},
                          {"namespace", "mesh"},
                          {"labels", {{"app.kubernetes.io/version", WEFT_VERSION}}}}},
                        {"status", {{"desiredNumberScheduled", 1}}}};
  Json pod = {
      {"kind", "Pod"},
      {"metadata", {{"name", "ztunnel-x"}, {"namespace", "mesh"}}},
      {"status",
       {{"containerStatuses",
         {{{"name", "ztunnel"}, {"state", {{"waiting", {{"reason", "CrashLoopBackOff"}}}}}}}}}}};
  server.answers["GET /apis/apps/v1/namespaces/mesh/daemonsets/ztunnel"] = daemons;
  server.answers["GET /api/v1/namespaces/mesh/pods?labelSelector=app%3Dztunnel&limit=500"] =
      list("Pod", {pod});
  server.answers["GET /api/v1/namespaces/mesh/pods/ztunnel-x/log?tailLines=50"] =
      "weft-ztunnel: io_uring is refused here";
  pod["metadata"] = {{"name", "way-x"}, {"namespace", "shop"}};
  pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] = "ImagePullBackOff";
  server.answers
      ["GET /api/v1/pods?labelSelector=gateway.istio.io%2Fmanaged%3Dweft.dev-mesh-controller&"
       "limit=500"] = list("Pod", {pod});
  Cluster cluster = server.cluster();
  CheckResults results;
  REQUIRE(check_programs(cluster, "mesh", results));
  CHECK(told(results) ==
        "- weft-control is not there: part of Weft is missing in mesh\n"
        "- weft-agent is not there: part of Weft is missing in mesh\n"
        "- DaemonSet mesh/ztunnel: 0 of 1 new: not all of its pods are ready\n"
        "- Pod mesh/ztunnel-x: io_uring is refused (ztunnel: CrashLoopBackOff)\n"
        "- Pod shop/way-x: ztunnel: ImagePullBackOff\n");
}
