#include "ztunnel/lane.h"

#include "mesh/io/timer.h"
#include "mesh/workload/directory_builder.h"
#include "ztunnel/pod.h"

namespace mesh::ztunnel {
namespace {

hbone::PoolOptions pool_options(const Config& config, const hbone::CongestionOptions& congestion,
                                h2::CreditBudget& credit) {
  hbone::PoolOptions options;
  options.h2.budget = &credit;
  options.idle_release = config.pool_idle_release;
  options.streams_per_tunnel = config.streams_per_tunnel;
  options.congestion = congestion;
  return options;
}

}  // namespace

Lane::Lane(io::Ring& own_ring, const Config& settings, Telemetry& shared,
           telemetry::TcpMetrics::Shard& shard, identity::CertificateView::Wanted wanted)
    : ring(own_ring),
      config(settings),
      telemetry(shared),
      reports{own_ring, shared, shard},
      directory(workload::DirectoryBuilder(nullptr).build()),
      directory_changed(own_ring),
      certificates(own_ring, std::move(wanted)),
      congestion(hbone::CongestionOptions::parse(settings.tunnel_congestion_control)
                     .value_or(hbone::CongestionOptions())),
      pool(own_ring, pool_options(settings, congestion, credit)),
      stop_(own_ring) {}

Lane::~Lane() = default;

io::Task<void> Lane::run() {
  (void)co_await stop_.wait();
  while (!pods_.empty()) remove_pod(pods_.begin()->first, grace_);
  co_await scope_.join();
  co_await pool.close(io::Duration::zero());
}

void Lane::stop(io::Duration grace) {
  grace_ = grace;
  stop_.set();
}

void Lane::use(workload::DirectoryPtr next) {
  directory = std::move(next);
  for (const auto& [uid, pod] : pods_) pod->on_directory();
  directory_changed.set();
  directory_changed.reset();
}

Result<Done> Lane::add_pod(const PodSpec& spec, std::string& failed_at) {
  if (stop_.is_set()) return failed(Reason::kDraining, "add pod");
  auto pod = std::make_shared<Pod>(*this, spec);
  TRY_DO(pod->listen(failed_at));
  pods_[spec.info.uid] = pod;
  scope_.spawn(run_pod(std::move(pod)));
  return Done{};
}

io::Task<void> Lane::run_pod(std::shared_ptr<Pod> pod) { co_await pod->run(); }

void Lane::remove_pod(const std::string& uid, io::Duration grace) {
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return;
  found->second->stop(grace);
  pods_.erase(found);
}

io::Task<Result<Done>> Lane::wait_complete() {
  const io::TimePoint until = ring.now() + config.ready_deadline;
  while (!directory->complete()) {
    const auto changed = co_await io::with_deadline(ring, until - ring.now(), "wait for a snapshot",
                                                    directory_changed.wait());
    if (changed) continue;
    if (changed.error().reason == Reason::kCancelled) co_return changed;
    co_return failed(Reason::kNotReady, "wait for the first complete snapshot");
  }
  co_return Done{};
}

}  // namespace mesh::ztunnel
