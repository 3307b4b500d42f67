#pragma once
// What strangers and peers may take of one accepting side at most: handshakes by the address they
// come from, since nobody has proven a name yet; then tunnels, streams and unread bytes by the
// identity that the handshake proved. So who is slow, or many, leaves room for the others.
// Bookkeeping only; single-threaded.

#include <cstddef>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "mesh/h2/credit.h"
#include "mesh/net/address.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::hbone {

struct PeerLimits {
  std::size_t handshakes = 512;             // begun and not over, in all
  std::size_t handshakes_of_address = 128;  // of those
  std::size_t tunnels_of_peer = 4096;
  std::size_t streams_of_peer = 8192;
  std::size_t unread_of_peer = 64 * 1024 * 1024;
};

class PeerQuotas {
 public:
  PeerQuotas(PeerLimits limits, h2::CreditBudget* all) : limits_(limits), all_(all) {}
  PeerQuotas(const PeerQuotas&) = delete;
  PeerQuotas& operator=(const PeerQuotas&) = delete;
  ~PeerQuotas();  // after everything that was counted

  // One handshake, from accept to its end. Move-only; outlived by the quotas.
  class Handshake {
   public:
    Handshake(PeerQuotas& of, const net::IpAddress& from) : of_(&of), from_(from) {}
    Handshake(Handshake&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), from_(other.from_) {}
    Handshake& operator=(Handshake&&) = delete;
    ~Handshake() { end(); }
    void end();

   private:
    PeerQuotas* of_;
    net::IpAddress from_;
  };
  // None: there are too many already.
  std::optional<Handshake> begin_handshake(const net::IpAddress& from);
  std::size_t handshakes() const { return handshakes_; }

  struct Peer {
    net::SpiffeId id;
    std::size_t tunnels = 0;
    std::size_t streams = 0;
    h2::CreditBudget budget = {};  // of its tunnels
  };
  // Counts a tunnel. Stays until the leave() for each enter().
  Peer& enter(const net::SpiffeId& id);
  void leave(const Peer& peer);
  bool too_many_tunnels(const Peer& peer) const { return peer.tunnels > limits_.tunnels_of_peer; }
  bool has_room_for_stream(const Peer& peer) const {
    return peer.streams < limits_.streams_of_peer && !peer.budget.over();
  }

 private:
  const PeerLimits limits_;
  h2::CreditBudget* const all_;
  std::size_t handshakes_ = 0;
  std::unordered_map<net::IpAddress, std::size_t> handshakes_from_;
  std::unordered_map<net::SpiffeId, Peer> peers_;
};

}  // namespace mesh::hbone
