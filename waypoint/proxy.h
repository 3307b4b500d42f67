#pragma once
// Proxy: all lanes of this waypoint, driven from the main ring. Whoever feeds it is outside:
// main.cc connects the control plane, a test calls the same functions.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mesh/io/worker.h"
#include "waypoint/lane.h"

namespace mesh::waypoint {

class Proxy {
 public:
  Proxy(io::Ring& ring, const Settings& settings, Stats& stats, telemetry::LogSink* access,
        telemetry::LogSink* configured);
  ~Proxy();  // after drain()
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Starts settings.workers lanes and their listeners. Errors: those of a Ring and of listening.
  io::Task<Result<Done>> start();
  // Is not ready any more, and goes on for settings.drain_delay: callers hear of the one before
  // they meet the other. Then closes the listeners, lets what runs end until the deadline, then
  // ends it and joins the lanes.
  io::Task<void> drain();

  // `applied` runs on the main ring when every lane uses it.
  void publish(config::SnapshotPtr snapshot, std::function<void()> applied);
  void publish(const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> certificate);
  // `wanted` is told, on the main ring, that a connection waits for the certificate.
  void on_identity_wanted(identity::CertificateView::Wanted wanted) {
    identity_wanted_ = std::move(wanted);
  }

  // A complete configuration is in force, and there is a certificate.
  bool ready() const { return snapshot_->ready && has_certificate_ && !draining_; }
  // What is still missing: "configuration", "certificate"; "draining".
  std::vector<std::string> pending() const;
  const config::SnapshotPtr& snapshot() const { return snapshot_; }
  io::Task<std::vector<Lane::Report>> reports();

 private:
  struct Slot {
    std::unique_ptr<io::Worker> worker;
    Lane* lane = nullptr;  // touched on the worker's thread only
    Stats::Shard* shard = nullptr;
    Result<Done> listening = Done{};
  };
  io::Task<void> run_lane(io::Ring& ring, Slot& slot);
  void changed();

  io::Ring& ring_;
  const Settings& settings_;
  Limiters limiters_;
  Breakers breakers_;
  HealthBoard health_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::size_t lanes_up_ = 0;
  io::Event lanes_changed_;
  config::SnapshotPtr snapshot_ = std::make_shared<config::Snapshot>();
  identity::CertificateView::Wanted identity_wanted_ = {};
  bool has_certificate_ = false;
  bool draining_ = false;
};

}  // namespace mesh::waypoint
