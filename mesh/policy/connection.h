#pragma once
// What is known of a connection when a policy is asked about it.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "mesh/net/address.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::policy {

// Who is calling, as proven by mutual TLS and by nothing else: never derived from an address.
class Caller {
 public:
  explicit Caller(net::SpiffeId id) : id_(std::move(id)), principal_(id_.principal()) {}

  const net::SpiffeId& id() const { return id_; }
  // "cluster.local/ns/shop/sa/web", made once, because policies compare it.
  const std::string& principal() const { return principal_; }

 private:
  net::SpiffeId id_;
  std::string principal_;
};

struct Connection {
  std::shared_ptr<const Caller> caller = {};  // null: plaintext
  net::IpAddress source_ip = {};       // an IPv4-mapped address counts as IPv4
  net::IpAddress destination_ip = {};  // the same
  std::uint16_t destination_port = 0;  // the port that the application listens on
};

}  // namespace mesh::policy
