#pragma once
// What keeps the proxy in touch with the control plane: discovery, and its own certificate. On the
// main ring; lanes hear of results through the Proxy.

#include <memory>

#include "mesh/identity/certificate_store.h"
#include "mesh/io/event.h"
#include "mesh/telemetry/log.h"
#include "mesh/xds/ca_client.h"
#include "waypoint/discovery.h"
#include "waypoint/proxy.h"

namespace mesh::waypoint {

// A ConfigStore that builds snapshots of what it holds.
class SnapshotStore : public ConfigStore {
 public:
  // Of what was taken so far; numbered `number`.
  virtual config::SnapshotPtr build(std::uint64_t number, std::string_view version) = 0;
  // Whether a cluster is not there for want of a secret that may come yet; nor may listeners that
  // name it be, until the waiting is given up: then its requests are told so.
  virtual bool waits_for_secrets() const = 0;
  virtual void give_up_secrets() = 0;
};

class ControlPlane {
 public:
  static constexpr io::Duration kSecretsWithin = std::chrono::seconds(15);  // as Envoy

  // `store` outlives it. Errors: kMalformed for an address that is none.
  static Result<std::unique_ptr<ControlPlane>> create(io::Ring& ring, const Settings& settings,
                                                      telemetry::Log& log, SnapshotStore& store);

  io::Task<void> run(Proxy& proxy);  // until cancelled

  const Discovery& discovery() const { return *discovery_; }
  const identity::CertificateStore& certificates() const { return *certificates_; }

 private:
  ControlPlane(io::Ring& ring, const Settings& settings, telemetry::Log& log, SnapshotStore& store)
      : ring_(ring), settings_(settings), log_(log), store_(store), secrets_due_(ring) {}
  void publish(std::uint64_t sequence);
  io::Task<void> wait_for_secrets();

  io::Ring& ring_;
  const Settings& settings_;
  telemetry::Log& log_;
  SnapshotStore& store_;
  io::Event secrets_due_;
  Proxy* proxy_ = nullptr;
  std::unique_ptr<xds::CaClient> ca_;
  std::unique_ptr<identity::CertificateStore> certificates_;
  std::unique_ptr<Discovery> discovery_;
};

}  // namespace mesh::waypoint
