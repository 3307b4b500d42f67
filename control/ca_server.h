#pragma once
// CaServer: who may have which certificate. A node may ask for the identity of a service account
// that has a pod on that node; any other caller for its own and nobody else's. The certificate has
// the name that we build, not the one that the request spells.

#include <chrono>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "control/ca/authority.h"
#include "control/caller.h"
#include "control/hub.h"

namespace mesh::control {

class CaServer {
 public:
  // `settle` takes in what was just written to the manifest folder: a pod may ask sooner than its
  // manifest was read. Lifetimes are at most `max_lifetime`.
  CaServer(Hub& hub, ca::Authority& authority, std::chrono::seconds max_lifetime,
           std::function<void()> settle);

  // `request` and the answer are messages of istio.v1.auth. Counts and says nothing else.
  std::expected<std::string, RpcError> create(const Caller& caller, std::string_view request);

 private:
  std::expected<net::SpiffeId, RpcError> identity_of(const Caller& caller,
                                                     std::string_view asked) const;
  std::expected<Done, RpcError> may_have(const Caller& caller, const net::SpiffeId& id) const;
  bool runs_there(const std::string& node, const net::SpiffeId& id) const;

  Hub& hub_;
  ca::Authority& authority_;
  const std::chrono::seconds max_lifetime_;
  const std::function<void()> settle_;
};

}  // namespace mesh::control
