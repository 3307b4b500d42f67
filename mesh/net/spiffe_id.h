#pragma once
// A workload's identity: spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT, and only that shape
// (SPIFFE-ID standard, section 2, narrowed to Istio's path). Parsed once, compared cheaply.

#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace mesh::net {

class SpiffeId {
 public:
  // Limits: 2048 bytes in all (SPIFFE-ID 2.3); trust domain of [a-z0-9._-], 1 to 255 bytes;
  // namespace and service account of [A-Za-z0-9._-], 1 to 253 bytes each, never "." or "..".
  // Anything else, also an empty part, a query or a trailing slash, is none.
  static std::optional<SpiffeId> parse(std::string_view text);
  static std::optional<SpiffeId> make(std::string_view trust_domain, std::string_view ns,
                                      std::string_view service_account);

  const std::string& trust_domain() const { return trust_domain_; }
  const std::string& ns() const { return namespace_; }
  const std::string& service_account() const { return service_account_; }

  // "spiffe://cluster.local/ns/shop/sa/web"
  std::string to_string() const;
  // "cluster.local/ns/shop/sa/web": how policies spell principals.
  std::string principal() const;

  friend auto operator<=>(const SpiffeId&, const SpiffeId&) = default;

 private:
  SpiffeId() = default;
  std::string trust_domain_;
  std::string namespace_;
  std::string service_account_;
};

}  // namespace mesh::net

template <>
struct std::hash<mesh::net::SpiffeId> {
  std::size_t operator()(const mesh::net::SpiffeId& id) const noexcept;
};
