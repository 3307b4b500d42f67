#include "control/envoy/own_balancer.h"

#include <catch2/catch_test_macros.hpp>

#include "envoy/cluster.pb.h"
#include "mesh/manifest/objects.h"

namespace mesh::control {
namespace {

using Cluster = envoy::config::cluster::v3::Cluster;

TEST_CASE("weft.dev/load-balancer: what a rule or its service asks for, and what is said of it") {
  const struct {
    const char* what;
    const char *of_rule, *of_service;
    Cluster::LbPolicy policy;
    const char* balancer;  // empty: lb_policy's
    const char* problem;
  } rows[] = {
      {"nothing", "", "", Cluster::LEAST_REQUEST, "", ""},
      {"a rule", "peak-ewma", "", Cluster::LEAST_REQUEST, "PEAK_EWMA", ""},
      {"a service", "", "peak-ewma", Cluster::ROUND_ROBIN, "PEAK_EWMA", ""},
      {"the rule's word counts", "other", "peak-ewma", Cluster::RANDOM, "", "only peak-ewma"},
      {"hashing", "peak-ewma", "", Cluster::RING_HASH, "", "consistentHash"},
      {"maglev", "peak-ewma", "", Cluster::MAGLEV, "", "consistentHash"},
      {"no choice", "", "peak-ewma", Cluster::CLUSTER_PROVIDED, "", "dialled"},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    manifest::DestinationRule rule;
    manifest::Metadata service_metadata;
    const std::string name(kBalancerAnnotation);
    if (*row.of_rule != '\0') rule.metadata.annotations[name] = row.of_rule;
    if (*row.of_service != '\0') service_metadata.annotations[name] = row.of_service;
    CatalogService service;
    service.metadata = &service_metadata;
    Cluster cluster;
    cluster.set_lb_policy(row.policy);
    ClusterUse use;
    use.service = &service;
    use.rule = &rule;
    const std::string problem = fill_own_balancer(use, cluster);
    CHECK(problem.empty() == (*row.problem == '\0'));
    CHECK(problem.contains(row.problem));
    const auto& filters = cluster.metadata().filter_metadata();
    const bool asked = filters.contains("weft");
    CHECK(asked == (*row.balancer != '\0'));
    if (asked) {
      CHECK(filters.at("weft").fields().at("loadBalancer").string_value() == row.balancer);
    }
    CHECK(cluster.lb_policy() == row.policy);
  }
  Cluster cluster;
  const CatalogService bare;
  ClusterUse use;
  use.service = &bare;
  CHECK(fill_own_balancer(use, cluster).empty());
}

}  // namespace
}  // namespace mesh::control
