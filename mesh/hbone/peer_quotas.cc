#include "mesh/hbone/peer_quotas.h"

#include "mesh/base/check.h"

namespace mesh::hbone {

PeerQuotas::~PeerQuotas() { MESH_CHECK(handshakes_ == 0 && peers_.empty()); }

std::optional<PeerQuotas::Handshake> PeerQuotas::begin_handshake(const net::IpAddress& from) {
  if (handshakes_ >= limits_.handshakes) return std::nullopt;
  const auto counted = handshakes_from_.try_emplace(from, 0).first;
  if (counted->second >= limits_.handshakes_of_address) return std::nullopt;
  ++counted->second;
  ++handshakes_;
  return std::optional<Handshake>(std::in_place, *this, from);
}

void PeerQuotas::Handshake::end() {
  PeerQuotas* of = std::exchange(of_, nullptr);
  if (of == nullptr) return;
  --of->handshakes_;
  const auto counted = of->handshakes_from_.find(from_);
  if (--counted->second == 0) of->handshakes_from_.erase(counted);
}

PeerQuotas::Peer& PeerQuotas::enter(const net::SpiffeId& id) {
  const auto [found, is_new] = peers_.try_emplace(id, Peer{.id = id});
  Peer& peer = found->second;
  if (is_new) {
    peer.budget.parent = all_;
    peer.budget.unread_max = limits_.unread_of_peer;
    peer.budget.growth_max = limits_.unread_of_peer;
  }
  ++peer.tunnels;
  return peer;
}

void PeerQuotas::leave(const Peer& peer) {
  const auto found = peers_.find(peer.id);
  MESH_CHECK(found != peers_.end());
  if (--found->second.tunnels == 0) peers_.erase(found);
}

}  // namespace mesh::hbone
