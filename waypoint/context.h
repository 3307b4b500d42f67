#pragma once
// RingContext: what every exchange on one ring shares.

#include <functional>
#include <memory>
#include <string>

#include "mesh/identity/certificate.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "waypoint/authenticators.h"
#include "waypoint/config/model.h"
#include "waypoint/fleet.h"
#include "waypoint/http/dice.h"
#include "waypoint/limiters.h"
#include "waypoint/rbac/rbac.h"
#include "waypoint/record.h"
#include "waypoint/upstreams.h"

namespace mesh::waypoint {

class NamedHosts;
class RemoteKeys;

struct ProxyLimits {
  std::size_t connects_max = 16384;        // CONNECTs at once, of a ring
  std::size_t retry_body_max = 64 * 1024;  // of a request that may be tried again
  io::Duration sniff_after = std::chrono::milliseconds(100);  // silence before the server is asked
  io::Duration protocol_deadline = std::chrono::seconds(10);  // from a first byte to a decision
  io::Duration ready_deadline = std::chrono::seconds(5);      // held while nothing is known yet
};

class Mirrors;
class Tracer;

// What policies that are only tried would have said.
struct DryRuns {
  std::uint64_t allowed = 0, denied = 0;
  // Those of authorizers are questions, not policies.
  void note(const config::RbacFilter& filter, const rbac::Verdict& verdict) {
    if (filter.shadow_prefix.starts_with("istio_ext_authz_")) return;
    ++(verdict.allowed() ? allowed : denied);
  }
};

struct RingContext {
  io::Ring& ring;
  Upstreams& upstreams;
  Fleet& fleet;
  Recorder& recorder;
  http::Dice& dice;
  Limiters& limiters;
  ProxyLimits limits{};
  config::SnapshotPtr snapshot{};         // never null once running
  io::Event* snapshot_changed = nullptr;  // pulses
  bool draining = false;
  std::uint64_t faults_active = 0;
  DryRuns dry_runs{};
  Authenticators authenticators{};
  Mirrors* mirrors = nullptr;         // null: nothing is copied
  Tracer* tracer = nullptr;           // null: nothing is traced
  RemoteKeys* remote_keys = nullptr;  // none: tokens that need fetched keys are refused
  const NamedHosts* names = nullptr;  // none: names are looked up when they are dialled
};

}  // namespace mesh::waypoint
