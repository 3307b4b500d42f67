#pragma once
// What a connection is called in metrics, logs and on the wire: from workloads to labels. Pure.

#include <string>

#include "mesh/hbone/baggage.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/telemetry/tcp_metrics.h"
#include "mesh/workload/directory.h"
#include "ztunnel/zds.h"

namespace mesh::ztunnel {

// Borrows the workload. `principal` is borrowed too and may be empty.
telemetry::TcpEnd tcp_end(const workload::Workload* workload, std::string_view principal);

// What we tell the peer about a workload of ours.
hbone::Baggage baggage_of(const workload::Workload& workload);

// A pod that the control plane has not told of yet, as far as the node agent knows it.
workload::WorkloadPtr stand_in_for(const PodInfo& pod, const std::string& trust_domain,
                                   const std::string& cluster_id);

// Who is calling, for labels only. A workload at the caller's address counts when it has the
// identity that the handshake verified. Otherwise the baggage is believed as far as it does not
// contradict that identity: its namespace must be the verified one. Null: nothing is known.
workload::WorkloadPtr caller_for_labels(const workload::Directory& directory,
                                        std::string_view network, const net::SocketAddress& peer,
                                        const net::SpiffeId* verified,
                                        const std::optional<std::string>& baggage);

// The service that an inbound connection is counted under: the one the client says it addressed, if
// `target` is a member of it; else the first by key of those with that target port; null: none.
workload::ServicePtr service_for_labels(const workload::Directory& directory,
                                        const workload::Workload& target, std::uint16_t port,
                                        const std::optional<std::string>& forwarded);

workload::ServicePtr service_pointer(const workload::Directory& directory,
                                     const workload::ServiceKey& key);

}  // namespace mesh::ztunnel
