#pragma once
// HealthChecks: asks the endpoints of clusters that want it whether they are well, by HTTP, gRPC or
// TCP, on connections of its own, the way that requests go (tunnels, TLS, names). When to ask and
// what an answer means is balance::HostHealth's business; who gets requests hears it from the
// board.
//
// One ring of a process asks. Limits: kHostsMax endpoints, those beyond it are used unchecked and
// counted; an answer of kAnswerMax bytes.

#include <map>
#include <memory>
#include <string>

#include "mesh/io/task_scope.h"
#include "waypoint/balance/health.h"
#include "waypoint/context.h"
#include "waypoint/health/board.h"

namespace mesh::waypoint {

// Threads: those of its ring. Borrows both. close() before it goes.
class HealthChecks {
 public:
  static constexpr std::size_t kHostsMax = 16'384;
  static constexpr std::size_t kAnswerMax = 64 * 1024;

  HealthChecks(RingContext& context, HealthBoard& board);
  ~HealthChecks();

  // Checks what `snapshot` wants checked, and nothing else. What is known of hosts that stay,
  // stays.
  void prepare(const config::Snapshot& snapshot);
  io::Task<void> close();

  struct Counts {
    std::size_t hosts = 0, unchecked = 0;
    std::uint64_t passed = 0, failed = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Checked;  // a cluster
  struct Host;
  using HostPtr = std::shared_ptr<Host>;

  void prepare(const config::ClusterPtr& cluster, const config::EndpointsPtr& endpoints);
  io::Task<void> watch(HostPtr host);
  io::Task<void> watch_now(HostPtr host);
  io::Task<Result<balance::CheckResult>> check(const Host& host);
  io::Task<Result<balance::CheckResult>> check_http(const Host& host);
  io::Task<Result<balance::CheckResult>> check_grpc(const Host& host);
  io::Task<Result<balance::CheckResult>> check_tcp(const Host& host);
  io::Task<void> part_from(std::unique_ptr<wire::Wire> wire);

  RingContext& context_;
  HealthBoard& board_;
  std::map<std::string, std::unique_ptr<Checked>, std::less<>> clusters_;
  io::TaskScope watching_;
  Counts counts_;
};

}  // namespace mesh::waypoint
