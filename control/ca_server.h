#pragma once
// CaServer: who may have which certificate. The caller is a node (its token said so); it may ask
// for the identity of a service account that has a pod on that node, and gets a certificate with
// the name that we build, not the one that the request spells.

#include <chrono>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "control/certificates.h"
#include "control/hub.h"

namespace mesh::control {

// A refusal, in gRPC's terms.
struct RpcError {
  int code = 2;  // grpc::StatusCode
  std::string message;
};
inline constexpr int kInvalidArgument = 3;
inline constexpr int kPermissionDenied = 7;
inline constexpr int kInternal = 13;
inline constexpr int kUnavailable = 14;
inline constexpr int kUnauthenticated = 16;

class CaServer {
 public:
  // `settle` takes in what was just written to the manifest folder: a pod may ask sooner than its
  // manifest was read. Lifetimes are at most `max_lifetime`.
  CaServer(Hub& hub, const CertificateAuthority& authority, std::chrono::seconds max_lifetime,
           std::function<void()> settle);

  // `request` and the answer are messages of istio.v1.auth. Counts and says nothing else.
  std::expected<std::string, RpcError> create(const std::string& node, std::string_view request);

 private:
  std::expected<net::SpiffeId, RpcError> identity_of(std::string_view asked) const;
  bool runs_there(const std::string& node, const net::SpiffeId& id) const;

  Hub& hub_;
  const CertificateAuthority& authority_;
  const std::chrono::seconds max_lifetime_;
  const std::function<void()> settle_;
};

}  // namespace mesh::control
