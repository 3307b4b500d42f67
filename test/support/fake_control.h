#pragma once
// A control plane for tests and simulations: discovery and certificates over GrpcServer, from a
// ControlState and a TestCa, with the misbehaviour that a test asks for.

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "test/support/ads_server.h"
#include "test/support/grpc_server.h"
#include "test/support/test_ca.h"

namespace mesh::test {

inline constexpr const char* kAdsPath =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
inline constexpr const char* kCaPath = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

// Serves ControlState. push() sends what changed.
class FakeDiscovery final : public Service {
 public:
  ControlState state;
  std::vector<h2::Headers> calls;           // headers of every call so far
  std::vector<xds::DeltaRequest> requests;  // in order, over all calls
  std::optional<grpc::Status> refuse_with;  // every new call
  std::optional<std::string> first_bytes;   // sent raw instead of the first response
  bool silent = false;                      // receives, never answers

  void push();
  std::size_t streams() const { return sessions_.size(); }
  // Of the newest stream; null when there is none.
  const AdsServerSession* session() const;
  void end_streams(const grpc::Status& status);

  void on_call(ServerCall& call) override;
  void on_message(ServerCall& call, std::string message) override;
  void on_gone(ServerCall& call) override;

 private:
  void push(ServerCall& call, AdsServerSession& session);
  std::map<ServerCall*, std::unique_ptr<AdsServerSession>> sessions_;
  ServerCall* newest_ = nullptr;
};

// Answers signing requests.
class FakeCa final : public Service {
 public:
  // `wall` says what time it is.
  FakeCa(const TestCa& ca, std::function<tls::WallSeconds()> wall) : ca_(ca), wall_(wall) {}

  std::chrono::seconds lifetime = std::chrono::hours(24);
  std::optional<grpc::Status> refuse_with;
  std::optional<std::vector<std::string>> answer_with;  // instead of a certificate
  bool silent = false;
  std::vector<std::string> asked_for;  // impersonated identities, in order
  std::vector<h2::Headers> calls;

  void on_call(ServerCall& call) override { calls.push_back(call.headers()); }
  void on_message(ServerCall& call, std::string message) override;

 private:
  const TestCa& ca_;
  std::function<tls::WallSeconds()> wall_;
};

}  // namespace mesh::test
