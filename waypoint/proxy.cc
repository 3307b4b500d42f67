#include "waypoint/proxy.h"

#include <utility>

#include "mesh/io/timer.h"

namespace mesh::waypoint {

Proxy::Proxy(io::Ring& ring, const Settings& settings, Stats& stats, telemetry::LogSink* access,
             telemetry::LogSink* configured)
    : ring_(ring), settings_(settings), lanes_changed_(ring) {
  for (unsigned i = 0; i < settings.workers; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->shard = &stats.add_shard(access, configured, settings.log_json);
  }
}

Proxy::~Proxy() = default;

void Proxy::changed() {
  lanes_changed_.set();
  lanes_changed_.reset();
}

io::Task<Result<Done>> Proxy::start() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot* const slot = slots_[i].get();
    auto main = [this, slot](io::Ring& ring) { return run_lane(ring, *slot); };
    CO_TRY(slot->worker, io::Worker::start("worker-" + std::to_string(i), {}, std::move(main)));
  }
  while (lanes_up_ < slots_.size()) CO_TRY_DO(co_await lanes_changed_.wait());
  for (const auto& slot : slots_) CO_TRY_DO(slot->listening);
  co_return Done{};
}

io::Task<void> Proxy::run_lane(io::Ring& ring, Slot& slot) {
  const auto checks = &slot == slots_.front().get() ? Lane::Checks::kYes : Lane::Checks::kNo;
  const auto wanted = [this](const net::SpiffeId& id) {
    ring_.post([this, id] {
      if (identity_wanted_) identity_wanted_(id);
    });
  };
  Lane lane(ring, settings_, *slot.shard, limiters_, breakers_, health_, checks, wanted);
  const Result<Done> listening = lane.listen();
  if (listening) slot.lane = &lane;
  ring_.post([this, &slot, listening] {
    slot.listening = listening;
    ++lanes_up_;
    changed();
  });
  if (listening) co_await lane.run();
  slot.lane = nullptr;
  ring_.post([this] {
    --lanes_up_;
    changed();
  });
}

io::Task<void> Proxy::drain() {
  if (ready()) {
    draining_ = true;
    (void)co_await io::sleep_for(ring_, settings_.drain_delay);
  }
  draining_ = true;
  for (const auto& slot : slots_) {
    Slot* const raw = slot.get();
    if (!raw->worker) continue;
    (void)raw->worker->post([raw, grace = settings_.termination_deadline](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->stop(grace);
    });
  }
  while (lanes_up_ > 0) {
    io::CancelScope own;  // not cancellable
    (void)co_await lanes_changed_.wait().under(own);
  }
}

void Proxy::publish(config::SnapshotPtr snapshot, std::function<void()> applied) {
  auto missing = std::make_shared<std::size_t>(slots_.size());
  auto done = std::make_shared<std::function<void()>>([this, snapshot, applied] {
    snapshot_ = snapshot;
    applied();
  });
  for (const auto& slot : slots_) {
    Slot* const raw = slot.get();
    const bool posted = raw->worker->post([this, raw, snapshot, missing, done](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->use(snapshot);
      ring_.post([missing, done] {
        if (--*missing == 0) (*done)();
      });
    });
    if (!posted) --*missing;
  }
}

void Proxy::publish(const net::SpiffeId& id,
                    std::shared_ptr<const identity::Certificate> certificate) {
  has_certificate_ = certificate != nullptr;
  for (const auto& slot : slots_) {
    Slot* const raw = slot.get();
    (void)raw->worker->post([raw, id, certificate](io::Ring&) {
      if (raw->lane != nullptr) raw->lane->use(id, certificate);
    });
  }
}

std::vector<std::string> Proxy::pending() const {
  std::vector<std::string> missing;
  if (!snapshot_->ready) missing.emplace_back("configuration");
  if (!has_certificate_) missing.emplace_back("certificate");
  if (draining_) missing.emplace_back("draining");
  return missing;
}

namespace {

struct Gathering {
  explicit Gathering(io::Ring& ring) : done(ring) {}
  std::size_t missing = 0;
  std::vector<Lane::Report> reports{};
  io::Event done;
};

}  // namespace

io::Task<std::vector<Lane::Report>> Proxy::reports() {
  auto gathering = std::make_shared<Gathering>(ring_);
  for (const auto& slot : slots_) {
    Slot* const raw = slot.get();
    ++gathering->missing;
    const bool posted = raw->worker->post([this, raw, gathering](io::Ring&) {
      Lane::Report report;
      if (raw->lane != nullptr) report = raw->lane->report();
      ring_.post([gathering, report = std::move(report)] {
        gathering->reports.push_back(report);
        if (--gathering->missing == 0) gathering->done.set();
      });
    });
    if (!posted) --gathering->missing;
  }
  while (gathering->missing > 0) {
    io::CancelScope own;
    (void)co_await gathering->done.wait().under(own);
  }
  co_return std::move(gathering->reports);
}

}  // namespace mesh::waypoint
