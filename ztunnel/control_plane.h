#pragma once
// What keeps the node in touch with the control plane: discovery, and the certificates of its pods.
// On the main ring; the node's lanes hear of results by post().

#include <memory>

#include "mesh/identity/certificate_store.h"
#include "mesh/xds/ads_client.h"
#include "mesh/xds/ca_client.h"
#include "ztunnel/node.h"

namespace mesh::ztunnel {

class ControlPlane {
 public:
  // `node` outlives it. Errors: kMalformed for an address that is none.
  static Result<std::unique_ptr<ControlPlane>> create(io::Ring& ring, const Config& config,
                                                      Telemetry& telemetry);

  // Feeds `node` until cancelled.
  io::Task<void> run(Node& node);

  identity::CertificateStore& certificates() { return *store_; }
  const xds::AdsClient& discovery() const { return *ads_; }
  // Brings what was counted since the last call into the metrics.
  void count();

 private:
  explicit ControlPlane(Telemetry& telemetry) : telemetry_(telemetry) {}

  Telemetry& telemetry_;
  Node* node_ = nullptr;
  std::unique_ptr<xds::CaClient> ca_;
  std::unique_ptr<identity::CertificateStore> store_;
  std::unique_ptr<xds::AdsClient> ads_;
  xds::AdsCounters counted_;
};

}  // namespace mesh::ztunnel
