#include "cli/lab/model.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli::lab {
namespace {

Document document(const std::string& text) {
  auto documents = parse_documents("f.yaml", text);
  REQUIRE(documents);
  return documents->at(0);
}

constexpr const char* kPod = R"(
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec:
  nodeName: node-2
  serviceAccountName: cart
  terminationGracePeriodSeconds: 1
  containers:
    - name: httpd
      command: [httpd, -p, "8000"]
      args: [-v]
      env: [{name: A, value: b}]
      ports: [{name: http, containerPort: 8000}]
      readinessProbe: {tcpSocket: {port: http}, periodSeconds: 3}
)";

}  // namespace

TEST_CASE("a pod as the kubelet reads it") {
  const auto pod = read_pod(document(kPod));
  REQUIRE(pod);
  CHECK(pod->key() == "shop/cart");
  CHECK(pod->node == "node-2");
  CHECK(pod->service_account == "cart");
  CHECK(pod->grace == std::chrono::seconds(1));
  REQUIRE(pod->containers.size() == 1);
  CHECK(pod->containers[0].command == std::vector<std::string>{"httpd", "-p", "8000", "-v"});
  CHECK(pod->containers[0].env.at("A") == "b");
  CHECK(pod->containers[0].readiness.kind == Probe::Kind::kTcp);
  CHECK(pod->containers[0].readiness.port == 8000);
  CHECK(pod->containers[0].readiness.period == std::chrono::seconds(3));
}

TEST_CASE("status does not change a pod's fingerprint, its spec does") {
  const auto pod = read_pod(document(kPod));
  REQUIRE(pod);
  const std::string with = with_status(*pod, {.uid = "u",
                                              .node = "node-2",
                                              .host_ip = "192.168.77.2",
                                              .ips = {"10.244.2.2", "fd00::2"},
                                              .phase = "Running",
                                              .ready = true});
  const auto again = read_pod(document(with));
  REQUIRE(again);
  CHECK(again->fingerprint == pod->fingerprint);
  CHECK(with.find("\"podIP\": \"10.244.2.2\"") != std::string::npos);
  std::string changed = kPod;
  changed.replace(changed.find("\"8000\""), 6, "\"8001\"");
  const auto other = read_pod(document(changed));
  REQUIRE(other);
  CHECK(other->fingerprint != pod->fingerprint);
}

TEST_CASE("what a lab cannot run is refused with its field") {
  struct Row {
    const char* text;
    const char* error;
  };
  const std::string head = "kind: Pod\nmetadata: {name: a}\nspec: ";
  for (const Row& row : {
           Row{"{}", "spec.containers: missing"},
           Row{"{containers: [{name: a}]}", "spec.containers[].command: missing"},
           Row{"{hostNetwork: true, containers: []}", "spec.hostNetwork"},
           Row{"{containers: [{name: a, command: [x], readinessProbe: {grpc: {port: 1}}}]}",
               "readinessProbe: only"},
           Row{"{containers: [{name: a, command: [x], readinessProbe: {tcpSocket: {port: y}}}]}",
               "readinessProbe: port"},
       }) {
    INFO(row.text);
    const auto pod = read_pod(document(head + row.text));
    REQUIRE_FALSE(pod);
    CHECK(pod.error().find(row.error) != std::string::npos);
  }
}

TEST_CASE("a pod's own label wins over its namespace's") {
  Pod pod;
  CHECK(is_enrolled(pod, "ambient"));
  CHECK_FALSE(is_enrolled(pod, ""));
  pod.dataplane_mode = "none";
  CHECK_FALSE(is_enrolled(pod, "ambient"));
  pod.dataplane_mode = "ambient";
  CHECK(is_enrolled(pod, ""));
}

TEST_CASE("which addresses a service is given") {
  struct Row {
    const char* spec;
    bool address;
    bool v4;
    bool v6;
  };
  for (const Row& row : {
           Row{"{selector: {a: b}}", true, true, false},
           Row{"{clusterIP: None}", false, true, false},
           Row{"{type: ExternalName}", false, true, false},
           Row{"{ipFamilyPolicy: RequireDualStack}", true, true, true},
           Row{"{ipFamilies: [IPv6]}", true, false, true},
       }) {
    INFO(row.spec);
    const auto service = read_service(
        document(std::string("kind: Service\nmetadata: {name: a}\nspec: ") + row.spec));
    REQUIRE(service);
    CHECK(service->wants_address == row.address);
    CHECK(service->wants_v4 == row.v4);
    CHECK(service->wants_v6 == row.v6);
  }
}

TEST_CASE("an empty selector selects nothing") {
  Pod pod;
  pod.json = R"({"metadata": {"labels": {"app": "cart", "v": "1"}}})";
  Service service;
  CHECK_FALSE(selects(service, pod));
  service.selector = {{"app", "cart"}};
  CHECK(selects(service, pod));
  service.selector = {{"app", "cart"}, {"v", "2"}};
  CHECK_FALSE(selects(service, pod));
}

}  // namespace mesh::cli::lab
