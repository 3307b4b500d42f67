#pragma once
// Pages of pods' own servers, loopback ones too: by a port-forward through the API server, as a
// WebSocket (the protocol v4.channel.k8s.io of the kubelet).
//
// Limits: 10 s to connect, 30 s in all, and those of websocket.h.

#include "cli/kubernetes/cluster.h"
#include "mesh/kube/config.h"

namespace mesh::cli {

// Errors: the API server, the node or the pod refuses, with their words.
Outcome<HttpAnswer> pod_get(const kube::Access& access, const PodPage& page);

}  // namespace mesh::cli
