#pragma once
// Lane: what one worker ring has of the node: the current snapshot, certificates, tunnels, and its
// share of every pod. Lanes share nothing; messages from the main ring reach them by post().

#include <map>
#include <memory>
#include <string>

#include "mesh/hbone/tunnel_pool.h"
#include "mesh/identity/certificate_view.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"
#include "mesh/net/netns.h"
#include "mesh/workload/directory.h"
#include "ztunnel/config.h"
#include "ztunnel/report.h"
#include "ztunnel/telemetry.h"
#include "ztunnel/zds.h"

namespace mesh::ztunnel {

class Pod;

// A pod as the node knows it: the agent's event, and the namespace that came with it.
struct PodSpec {
  PodInfo info = {};
  net::SpiffeId id;
  // Null: the process's own (tests and simulations).
  std::shared_ptr<const net::NetworkNamespace> netns = {};
};

class Lane {
 public:
  Lane(io::Ring& ring, const Config& config, Telemetry& telemetry,
       telemetry::TcpMetrics::Shard& shard, identity::CertificateView::Wanted wanted);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Lives until stop(); then every pod drains for at most `grace` and is joined.
  io::Task<void> run();
  void stop(io::Duration grace);

  // Why no connection is begun now, beside `connections` others of its pod; null: one may be.
  const char* full(std::size_t connections) const {
    if (memory_is_short_) return "memory of this process";
    return connections > config.pod_connections_max ? "limit of this pod" : nullptr;
  }

  // Messages. While memory is short, no connection is begun.
  void set_memory_short(bool is_short) { memory_is_short_ = is_short; }
  // A new snapshot: live connections are decided again before this returns.
  void use(workload::DirectoryPtr directory);
  // Opens the pod's listeners. Errors: those of listening; then nothing is left open. `failed_at`
  // says on what.
  Result<Done> add_pod(const PodSpec& spec, std::string& failed_at);
  // Closes its listeners now; its connections may end until `grace` is over.
  void remove_pod(const std::string& uid, io::Duration grace);

  // Errors: kNotReady when there is no complete snapshot in time, kCancelled.
  io::Task<Result<Done>> wait_complete();

  std::size_t pod_count() const { return pods_.size(); }
  template <class F>  // visit(Pod&)
  void for_each_pod(F&& visit) const {
    for (const auto& [uid, pod] : pods_) visit(*pod);
  }

  io::Ring& ring;
  const Config& config;
  Telemetry& telemetry;
  const ReportOwner reports;
  workload::DirectoryPtr directory;  // never null
  io::Event directory_changed;       // pulses
  identity::CertificateView certificates;
  const hbone::CongestionOptions congestion;  // of tunnels, both ways
  h2::CreditBudget credit;                    // of all tunnels of this lane
  hbone::TunnelPool pool;

 private:
  io::Task<void> run_pod(std::shared_ptr<Pod> pod);

  bool memory_is_short_ = false;
  io::Event stop_;
  io::Duration grace_{};
  io::TaskScope scope_;
  std::map<std::string, std::shared_ptr<Pod>> pods_;
};

}  // namespace mesh::ztunnel
