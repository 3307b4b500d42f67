#pragma once
// The open connections of one pod on one ring: listed for people, and ended one by one when a
// policy changes. Intrusive: a connection costs no allocation here.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "mesh/base/check.h"
#include "mesh/io/cancel.h"
#include "mesh/net/address.h"
#include "mesh/policy/connection.h"

namespace mesh::ztunnel {

class LiveConnections;

enum class Direction : std::uint8_t { kInbound, kOutbound };

struct LiveConnection {
  explicit LiveConnection(Direction which) : direction(which) {}
  LiveConnection(const LiveConnection&) = delete;
  LiveConnection& operator=(const LiveConnection&) = delete;
  inline ~LiveConnection();

  // Asks it to end, and says why; the first reason stays.
  void end(Reason reason, std::string_view policy = {}) {
    if (ended_for) return;
    ended_for = reason;
    ended_by_policy = policy;
    if (scope != nullptr) scope->request();
  }

  const Direction direction;
  bool hbone = false;
  net::SocketAddress source = {};
  net::SocketAddress dialled = {};  // outbound: by the application
  net::SocketAddress actual = {};   // where we connected to
  // Inbound, once authorized: what to ask the policies again.
  std::unique_ptr<const policy::Connection> question = {};
  io::CancelScope* scope = nullptr;
  std::optional<Reason> ended_for = {};
  std::string ended_by_policy = {};

 private:
  friend class LiveConnections;
  LiveConnections* list_ = nullptr;
  LiveConnection* previous_ = nullptr;
  LiveConnection* next_ = nullptr;
};

class LiveConnections {
 public:
  LiveConnections() = default;
  LiveConnections(const LiveConnections&) = delete;
  LiveConnections& operator=(const LiveConnections&) = delete;
  ~LiveConnections() { MESH_CHECK(first_ == nullptr); }

  void add(LiveConnection& one) {
    MESH_CHECK(one.list_ == nullptr);
    one.list_ = this;
    one.next_ = first_;
    if (first_ != nullptr) first_->previous_ = &one;
    first_ = &one;
    ++size_;
  }
  void remove(LiveConnection& one) {
    if (one.list_ == nullptr) return;
    MESH_CHECK(one.list_ == this);
    (one.previous_ ? one.previous_->next_ : first_) = one.next_;
    if (one.next_ != nullptr) one.next_->previous_ = one.previous_;
    one.list_ = nullptr;
    one.previous_ = one.next_ = nullptr;
    --size_;
  }
  std::size_t size() const { return size_; }

  // `visit` may end() the connection it is given: ending resumes nothing now.
  template <class F>
  void for_each(F&& visit) const {
    for (LiveConnection* one = first_; one != nullptr;) {
      LiveConnection* next = one->next_;
      visit(*one);
      one = next;
    }
  }

 private:
  LiveConnection* first_ = nullptr;
  std::size_t size_ = 0;
};

inline LiveConnection::~LiveConnection() {
  if (list_ != nullptr) list_->remove(*this);
}

}  // namespace mesh::ztunnel
