#pragma once
// Lane: one worker ring: its listener, its tunnels both ways, its exchanges. Lanes share nothing;
// messages from the main ring reach them by post().

#include <memory>

#include "mesh/identity/certificate_view.h"
#include "mesh/io/task_scope.h"
#include "waypoint/clusters_page.h"
#include "waypoint/gate.h"
#include "waypoint/health/checks.h"
#include "waypoint/mirrors.h"
#include "waypoint/remote_keys.h"
#include "waypoint/settings.h"
#include "waypoint/stats.h"
#include "waypoint/tracer.h"

namespace mesh::waypoint {

class Lane {
 public:
  // Whether this is the one that checks endpoints for all of them.
  enum class Checks : bool { kNo, kYes };
  Lane(io::Ring& ring, const Settings& settings, Recorder& recorder, Limiters& limiters,
       Breakers& breakers, HealthBoard& health, Checks checks,
       identity::CertificateView::Wanted wanted = {});
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Errors: those of listening.
  Result<Done> listen();
  net::SocketAddress address() const { return listener_->local_address(); }
  // Lives until stop(); then drains for at most `grace`, and is joined.
  io::Task<void> run();
  void stop(io::Duration grace);

  // Messages.
  void use(config::SnapshotPtr snapshot);
  void use(const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> certificate);

  struct Report {
    std::size_t connections = 0, tunnels_in = 0, upstream_connections = 0;
    std::uint64_t upstream_dialled = 0, upstream_reused = 0, ejections = 0;
    DryRuns dry_runs{};
    Mirrors::Counts mirrors{};
    Tracer::Counts spans{};
    HealthChecks::Counts checks{};
    std::vector<ClusterRow> clusters{};
  };
  Report report() const;

 private:
  void look_again();
  io::Task<void> accept();
  io::Task<void> serve(io::Socket socket);
  std::shared_ptr<const identity::Certificate> own() const { return certificates_.find(id_); }

  io::Ring& ring_;
  const Settings& settings_;
  net::SpiffeId id_;
  http::Dice dice_;
  identity::CertificateView certificates_;
  hbone::TunnelPool tunnels_;
  Upstreams upstreams_;
  NamedHosts names_;
  Fleet fleet_;
  io::Event snapshot_changed_;
  RingContext context_;
  Mirrors mirrors_;
  Tracer tracer_;
  std::optional<HealthChecks> checks_;
  RemoteKeys remote_keys_;
  Gate gate_;
  hbone::TunnelServer server_;
  std::optional<io::Listener> listener_;
  io::TaskScope serving_;
  io::Event stop_;
  io::Event served_;
  io::Duration grace_{};
  std::size_t handshakes_ = 0;
};

// Tunnels that have no identity yet; beyond it connections are reset.
inline constexpr std::size_t kHandshakesMax = 512;
inline constexpr std::size_t kTunnelsMax = 8192;

}  // namespace mesh::waypoint
