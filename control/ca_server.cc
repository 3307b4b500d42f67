#include "control/ca_server.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "ca.pb.h"

namespace mesh::control {
namespace {

std::unexpected<RpcError> refuse(int code, std::string message) {
  return std::unexpected(RpcError{code, std::move(message)});
}

}  // namespace

CaServer::CaServer(Hub& hub, ca::Authority& authority, std::chrono::seconds max_lifetime,
                   std::function<void()> settle)
    : hub_(hub), authority_(authority), max_lifetime_(max_lifetime), settle_(std::move(settle)) {}

std::expected<net::SpiffeId, RpcError> CaServer::identity_of(const Caller& caller,
                                                             std::string_view asked) const {
  const std::string& trust_domain = hub_.settings().trust_domain;
  if (asked.empty()) {
    if (caller.is_node()) {
      return refuse(kPermissionDenied,
                    "a node has no identity of its own: name one to impersonate");
    }
    const auto own = net::SpiffeId::make(trust_domain, caller.ns, caller.service_account);
    if (!own) return refuse(kPermissionDenied, "the caller's account is not one of a workload");
    return *own;
  }
  const auto id = net::SpiffeId::parse(asked);
  if (!id) return refuse(kInvalidArgument, "ImpersonatedIdentity is not a SPIFFE id");
  if (id->trust_domain() != trust_domain) {
    return refuse(kPermissionDenied, "ImpersonatedIdentity is of another trust domain");
  }
  return *id;
}

std::expected<Done, RpcError> CaServer::may_have(const Caller& caller,
                                                 const net::SpiffeId& id) const {
  const std::string account = id.ns() + "/" + id.service_account();
  if (!caller.is_node()) {
    if (caller.ns == id.ns() && caller.service_account == id.service_account()) return Done{};
    return refuse(kPermissionDenied, caller.to_string() + " may not impersonate " + account);
  }
  if (runs_there(caller.node, id)) return Done{};
  settle_();
  if (hub_.snapshot() == nullptr) {
    return refuse(kUnavailable, "the manifests have not been read without errors yet");
  }
  if (runs_there(caller.node, id)) return Done{};
  return refuse(kPermissionDenied, "no pod of " + account + " runs on " + caller.node);
}

bool CaServer::runs_there(const std::string& node, const net::SpiffeId& id) const {
  const auto snapshot = hub_.snapshot();
  if (snapshot == nullptr) return false;
  const auto pods = snapshot->nodes.find(node);
  return pods != snapshot->nodes.end() &&
         pods->second->accounts.contains(id.ns() + "/" + id.service_account());
}

std::expected<std::string, RpcError> CaServer::create(const Caller& caller,
                                                      std::string_view request_bytes) {
  const auto issue = [&]() -> std::expected<std::string, RpcError> {
    istio::v1::auth::IstioCertificateRequest request;
    if (!request.ParseFromArray(request_bytes.data(), static_cast<int>(request_bytes.size()))) {
      return refuse(kInvalidArgument, "not an IstioCertificateRequest");
    }
    const auto& fields = request.metadata().fields();
    const auto asked = fields.find("ImpersonatedIdentity");
    const auto id =
        identity_of(caller, asked == fields.end() ? std::string_view()
                                                  : std::string_view(asked->second.string_value()));
    if (!id) return std::unexpected(id.error());
    if (const auto may = may_have(caller, *id); !may) return std::unexpected(may.error());
    std::chrono::seconds lifetime = max_lifetime_;
    if (request.validity_duration() > 0) {
      lifetime = std::min(lifetime, std::chrono::seconds(request.validity_duration()));
    }
    const auto authority = authority_.now();
    if (authority == nullptr) return refuse(kUnavailable, "there is no authority yet");
    const auto certificate = authority->issue(request.csr(), *id, lifetime);
    if (!certificate) {
      const bool ours = certificate.error().reason == Reason::kSystem ||
                        certificate.error().reason == Reason::kExpired;
      return refuse(ours ? kInternal : kInvalidArgument, certificate.error().during);
    }
    authority_.holders().issued(caller.to_string(), id->to_string(),
                                ca::bundle_of(authority->root_pem()),
                                std::time(nullptr) + lifetime.count());
    istio::v1::auth::IstioCertificateResponse response;
    response.add_cert_chain(*certificate);
    for (const std::string& one : authority->intermediates()) response.add_cert_chain(one);
    response.add_cert_chain(authority->root_pem());
    return response.SerializeAsString();
  };
  auto result = issue();
  hub_.count(result ? &Counters::certificates : &Counters::certificates_refused);
  return result;
}

}  // namespace mesh::control
