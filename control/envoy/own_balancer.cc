#include "control/envoy/own_balancer.h"

#include "envoy/cluster.pb.h"
#include "mesh/manifest/objects.h"

namespace mesh::control {

std::string fill_own_balancer(const ClusterUse& use, envoy::config::cluster::v3::Cluster& to) {
  using Cluster = envoy::config::cluster::v3::Cluster;
  const std::string_view asked = annotation_of(use, kBalancerAnnotation);
  if (asked.empty()) return {};
  const std::string name(kBalancerAnnotation);
  if (asked != "peak-ewma") return name + ": there is only peak-ewma";
  switch (to.lb_policy()) {
    case Cluster::RING_HASH:
    case Cluster::MAGLEV:
      return name + " is not honoured: consistentHash stands before it";
    case Cluster::CLUSTER_PROVIDED:
      return name + " is not honoured: who is asked is whom the client dialled";
    default:
      break;
  }
  auto& weft = (*to.mutable_metadata()->mutable_filter_metadata())["weft"];
  (*weft.mutable_fields())["loadBalancer"].set_string_value("PEAK_EWMA");
  return {};
}

}  // namespace mesh::control
