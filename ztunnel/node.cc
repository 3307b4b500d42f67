#include "ztunnel/node.h"

#include <mutex>

#include "mesh/io/timer.h"
#include "mesh/workload/directory_builder.h"
#include "ztunnel/pod.h"

namespace mesh::ztunnel {

// Answers of several lanes on their way to the main ring.
struct Node::Gathering {
  explicit Gathering(io::Ring& ring) : done(ring) {}
  std::size_t missing = 0;
  Result<Done> outcome = Done{};
  std::string problem;
  io::Event done;
};

Node::Node(io::Ring& ring, const Config& config, Telemetry& telemetry, IdentityUse identity_use,
           identity::CertificateView::Wanted identity_wanted)
    : ring_(ring),
      config_(config),
      telemetry_(telemetry),
      identity_use_(std::move(identity_use)),
      identity_wanted_(std::move(identity_wanted)),
      lanes_changed_(ring),
      changed_(ring),
      directory_(workload::DirectoryBuilder(nullptr).build()) {}

Node::~Node() = default;

io::Task<Result<Done>> Node::start() {
  for (unsigned i = 0; i < config_.workers; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->shard = &telemetry_.tcp.add_shard();
    auto main = [this, raw = slot.get()](io::Ring& ring) { return run_lane(ring, *raw); };
    CO_TRY(slot->worker, io::Worker::start("worker-" + std::to_string(i), {}, std::move(main)));
    slots_.push_back(std::move(slot));
  }
  while (lanes_up_ < slots_.size()) CO_TRY_DO(co_await lanes_changed_.wait());
  co_return Done{};
}

io::Task<void> Node::run_lane(io::Ring& ring, Slot& slot) {
  identity::CertificateView::Wanted wanted;
  if (identity_wanted_) {
    wanted = [this](const net::SpiffeId& id) { ring_.post([this, id] { identity_wanted_(id); }); };
  }
  Lane lane(ring, config_, telemetry_, *slot.shard, std::move(wanted));
  slot.lane = &lane;
  ring_.post([this] { lane_started(); });
  co_await lane.run();
  slot.lane = nullptr;
  ring_.post([this] { lane_ended(); });
}

void Node::lane_started() {
  ++lanes_up_;
  lanes_changed_.set();
  lanes_changed_.reset();
}

void Node::lane_ended() {
  --lanes_up_;
  lanes_changed_.set();
  lanes_changed_.reset();
}

// Where the kernel cannot hand a captured connection to one of several listeners (before 6.6), a
// pod lives on one lane.
bool Node::lane_serves(std::size_t lane, const std::string& uid) const {
  return !config_.one_listener_per_pod || std::hash<std::string>()(uid) % slots_.size() == lane;
}

io::Task<Result<Done>> Node::on_lanes(std::function<Result<Done>(Lane&, std::string&)> action,
                                      std::string& problem, std::optional<std::string> uid) {
  auto gathering = std::make_shared<Gathering>(ring_);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (uid && !lane_serves(i, *uid)) continue;
    ++gathering->missing;
    Slot* slot = slots_[i].get();
    const bool posted = slot->worker->post([this, gathering, slot, action](io::Ring&) {
      std::string text;
      Result<Done> outcome = failed(Reason::kDraining, "lane");
      if (slot->lane != nullptr) outcome = action(*slot->lane, text);
      ring_.post([gathering, outcome, text] {
        if (!outcome && gathering->outcome) {
          gathering->outcome = outcome;
          gathering->problem = text;
        }
        if (--gathering->missing == 0) gathering->done.set();
      });
    });
    if (!posted) {
      gathering->outcome = failed(Reason::kDraining, "lane");
      --gathering->missing;
    }
  }
  // Not cancellable: what was begun on a lane is finished there.
  while (gathering->missing > 0) {
    io::CancelScope own;
    (void)co_await gathering->done.wait().under(own);
  }
  problem = gathering->problem;
  co_return gathering->outcome;
}

void Node::publish(workload::DirectoryPtr directory, std::function<void()> applied) {
  directory_ = directory;
  auto missing = std::make_shared<std::size_t>(slots_.size());
  auto done = std::make_shared<std::function<void()>>([this, directory, applied] {
    if (directory->complete()) complete_applied_ = true;
    applied();
    changed_.set();
  });
  for (const auto& slot : slots_) {
    Slot* raw = slot.get();
    const bool posted = raw->worker->post([this, raw, directory, missing, done](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->use(directory);
      ring_.post([missing, done] {
        if (--*missing == 0) (*done)();
      });
    });
    if (!posted) --*missing;
  }
}

void Node::set_memory_short(bool is_short) {
  for (const auto& slot : slots_) {
    Slot* raw = slot.get();
    (void)raw->worker->post([raw, is_short](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->set_memory_short(is_short);
    });
  }
}

void Node::publish(const net::SpiffeId& id,
                   std::shared_ptr<const identity::Certificate> certificate) {
  for (const auto& slot : slots_) {
    Slot* raw = slot.get();
    (void)raw->worker->post([raw, id, certificate](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->certificates.update(id, certificate);
    });
  }
}

io::Task<Result<Done>> Node::add_pod(PodInfo info,
                                     std::shared_ptr<const net::NetworkNamespace> netns,
                                     std::string& problem) {
  const std::string uid = info.uid;
  const auto id = net::SpiffeId::make(config_.trust_domain, info.ns, info.service_account);
  if (!id) {
    problem = "namespace and service account do not make an identity";
    co_return failed(Reason::kNoIdentity, "add pod");
  }
  if (const auto known = pods_.find(uid); known != pods_.end()) {
    const PodSpec& old = known->second.spec;
    const bool same_place = (old.netns ? old.netns->inode() : 0) == (netns ? netns->inode() : 0);
    known->second.doubtful_since.reset();
    if (same_place && old.info == info && known->second.state != PodState::kFailed) {
      co_return Done{};
    }
    drop_pod(uid, io::Duration::zero());
  }
  if (pods_.size() >= config_.pods_max) {
    problem = "more pods than this proxy serves";
    co_return failed(Reason::kExhausted, "add pod");
  }
  telemetry_.log.info("node", "pod received, starting proxy",
                      {{"uid", uid}, {"name", info.name}, {"namespace", info.ns}});
  pods_.emplace(uid, PodEntry{.spec = {.info = std::move(info), .id = *id, .netns = netns}});
  if (identity_use_) identity_use_(*id, true);
  const auto started = co_await start_pod(uid);
  if (const auto entry = pods_.find(uid); entry != pods_.end()) problem = entry->second.problem;
  co_return started;
}

io::Task<Result<Done>> Node::start_pod(std::string uid) {
  const PodSpec spec = pods_.at(uid).spec;
  std::string failed_at;
  auto add = [spec](Lane& lane, std::string& at) { return lane.add_pod(spec, at); };
  const auto outcome = co_await on_lanes(std::move(add), failed_at, uid);
  const auto entry = pods_.find(uid);
  // Deleted or moved while it started: whatever stands goes.
  if (entry == pods_.end() || !(entry->second.spec.info == spec.info)) {
    co_return failed(Reason::kDraining, "add pod");
  }
  if (outcome) {
    entry->second.state = PodState::kUp;
    entry->second.problem.clear();
    telemetry_.metrics.add(telemetry_.proxies_started, "");
  } else {
    // One lane may have succeeded: all or none.
    for (const auto& slot : slots_) {
      Slot* raw = slot.get();
      (void)raw->worker->post([raw, uid](io::Ring&) {
        if (raw->lane != nullptr) raw->lane->remove_pod(uid, io::Duration::zero());
      });
    }
    entry->second.state = PodState::kFailed;
    entry->second.problem = "Bind(" + failed_at + ", " + describe(outcome.error()) + ")";
    telemetry_.log.limited("pod start", telemetry::Level::kWarn, "node", "cannot start the proxy",
                           {{"uid", uid}, {"error", entry->second.problem}});
  }
  count_pods();
  co_return outcome;
}

void Node::keep_pod(const std::string& uid) {
  if (const auto found = pods_.find(uid); found != pods_.end()) {
    found->second.doubtful_since.reset();
  }
}

void Node::remove_pod(const std::string& uid) {
  telemetry_.log.info("node", "pod delete request, draining its proxy", {{"uid", uid}});
  drop_pod(uid, config_.termination_deadline);
}

void Node::drop_pod(const std::string& uid, io::Duration grace) {
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return;
  if (identity_use_) identity_use_(found->second.spec.id, false);
  if (found->second.state == PodState::kUp) {
    telemetry_.metrics.add(telemetry_.proxies_stopped, "");
  }
  pods_.erase(found);
  for (const auto& slot : slots_) {
    Slot* raw = slot.get();
    (void)raw->worker->post([raw, uid, grace](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->remove_pod(uid, grace);
    });
  }
  count_pods();
}

void Node::snapshot_received(const std::set<std::string>& mentioned) {
  if (mentioned.empty() && !pods_.empty()) {
    telemetry_.log.warn("node", "the agent's snapshot is empty; keeping the pods for a while",
                        {{"pods", std::to_string(pods_.size())}});
    for (auto& [uid, entry] : pods_) {
      if (!entry.doubtful_since) entry.doubtful_since = ring_.now();
    }
    return;
  }
  std::vector<std::string> gone;
  for (const auto& [uid, entry] : pods_) {
    if (!mentioned.contains(uid)) gone.push_back(uid);
  }
  for (const std::string& uid : gone) remove_pod(uid);
}

io::Task<void> Node::tend() {
  while (co_await io::sleep_for(ring_, kPodRetry)) {
    std::vector<std::string> failed_ones, gone;
    for (const auto& [uid, entry] : pods_) {
      if (entry.state == PodState::kFailed) failed_ones.push_back(uid);
      const bool doubtful = entry.doubtful_since.has_value();
      if (doubtful && ring_.now() - *entry.doubtful_since >= kEmptySnapshotGrace) {
        gone.push_back(uid);
      }
    }
    for (const std::string& uid : gone) remove_pod(uid);
    for (const std::string& uid : failed_ones) {
      if (!pods_.contains(uid)) continue;
      const auto started = co_await start_pod(uid);
      if (started) telemetry_.log.info("node", "proxy started after a retry", {{"uid", uid}});
    }
    telemetry_.tcp.evict(ring_.now().time_since_epoch());
    telemetry_.metrics.evict(ring_.now().time_since_epoch());
  }
}

io::Task<void> Node::drain() {
  draining_ = true;
  for (const auto& slot : slots_) {
    Slot* raw = slot.get();
    const io::Duration grace = config_.termination_deadline;
    (void)raw->worker->post([raw, grace](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->stop(grace);
    });
  }
  while (lanes_up_ > 0) {
    io::CancelScope own;
    (void)co_await lanes_changed_.wait().under(own);
  }
}

std::vector<std::string> Node::pending() const {
  std::vector<std::string> missing;
  if (!complete_applied_) missing.push_back("state manager");
  bool all_up = agent_ready_;
  for (const auto& [uid, entry] : pods_) all_up &= entry.state == PodState::kUp;
  if (!all_up) missing.push_back("workload proxy manager");
  if (draining_) missing.push_back("draining");
  return missing;
}

void Node::count_pods() {
  changed_.set();
  std::size_t up = 0;
  for (const auto& [uid, entry] : pods_) up += entry.state == PodState::kUp ? 1 : 0;
  telemetry_.metrics.set(telemetry_.proxies_active, "", static_cast<double>(up));
  telemetry_.metrics.set(telemetry_.proxies_pending, "", static_cast<double>(pods_.size() - up));
}

io::Task<std::vector<ConnectionRow>> Node::connections(std::size_t limit) {
  std::vector<ConnectionRow> rows;
  std::mutex mutex;  // lanes answer on their own threads
  auto list = [&rows, &mutex, limit](Lane& lane, std::string&) -> Result<Done> {
    std::vector<ConnectionRow> own;
    lane.for_each_pod([&](const Pod& pod) {
      pod.live().for_each([&](const LiveConnection& one) {
        if (own.size() >= limit) return;
        own.push_back({.pod_uid = pod.spec().info.uid,
                       .direction = one.direction,
                       .hbone = one.hbone,
                       .source = one.source,
                       .dialled = one.dialled,
                       .actual = one.actual});
      });
    });
    const std::scoped_lock lock(mutex);
    rows.insert(rows.end(), own.begin(), own.end());
    return Done{};
  };
  std::string problem;
  (void)co_await on_lanes(std::move(list), problem, std::nullopt);
  if (rows.size() > limit) rows.resize(limit);
  co_return rows;
}

}  // namespace mesh::ztunnel
