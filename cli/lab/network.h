#pragma once
// The lab's network: namespaces under /run/netns, a bridge as the link between the nodes, and a
// veth pair for each pod. Made by iproute2 in batches.
//
// The link's namespace holds bridge "link0" and control; each node's namespace has "eth0" on it and
// routes its own pods and, over the link, the others'. Nothing is connected to the host.

#include <functional>
#include <string>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

std::string netns_path(const std::string& name);  // /run/netns/NAME

// Makes a namespace with that name: loopback up, no waiting for duplicate address detection.
// Errors: it exists already.
Outcome<Done> make_netns(const std::string& name);
// A name that is not there is success.
Outcome<Done> remove_netns(const std::string& name);
// Runs `action` with this thread inside.
Outcome<Done> inside_netns(const std::string& name, const std::function<Outcome<Done>()>& action);

struct LinkPlan {
  std::string netns = "";                    // of the link
  std::vector<std::string> node_netns = {};  // node N is node_netns[N-1]
};
Outcome<Done> connect_nodes(const LinkPlan& plan);

struct PodLink {
  std::string node_netns = "";
  std::string pod_netns = "";
  std::string interface = "";  // the node's end
  std::string gateway = "";    // node_pod_gateway()
  std::vector<std::string> addresses = {};
};
// Makes the pair; the pod's end is eth0.
Outcome<Done> connect_pod(const PodLink& link);

// What `ip -batch` is told; apart from connect_nodes and connect_pod so that it can be tested.
std::string link_batch(const LinkPlan& plan);
std::string node_batch(int node, int nodes);
std::string pod_node_batch(const PodLink& link);
std::string pod_batch(const PodLink& link);

}  // namespace mesh::cli::lab
