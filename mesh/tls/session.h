#pragma once
// Session: one TLS 1.3 connection, without any I/O. Ciphertext in, plaintext out, and back.
//
// The library does the handshake. After it, the traffic secrets are taken out of it and the record
// layer is ours: records are opened and sealed in place, so a relayed byte is not copied. Alerts,
// KeyUpdate and NewSessionTicket are handled here.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/tls/context.h"
#include "mesh/tls/piece.h"
#include "mesh/tls/slice.h"

namespace mesh::tls {

struct SessionImpl;

struct SessionOptions {
  WallSeconds now{};  // certificates are judged at this time
  // Mesh client: the peer must be one of these; none means nobody will do.
  std::vector<net::SpiffeId> accepted{};
  // Or any identity of our own trust domain: for who is told addresses only (Envoy's endpoints).
  bool any_of_own_domain = false;
};

class Session {
 public:
  enum class State : std::uint8_t {
    kHandshake,   // take_output(), feed(), repeat
    kOpen,        // both directions
    kPeerClosed,  // close_notify came: no more plaintext; writing still works
    kFailed,      // an alert may be waiting in take_output()
  };

  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Context> context,
                                                 SessionOptions options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  State state() const;
  bool open() const { return state() == State::kOpen || state() == State::kPeerClosed; }

  // Whether the caller has the next bytes in hand and will feed them before anything else.
  enum class Next : bool { kUnknown, kFollows };

  // Takes ciphertext; appends the plaintext it completes to `plaintext`, in order, as slices of
  // `wire` (opened in place) or, for a record that came in parts, of memory of its own; of a large
  // one that lies across two reads, the first of which was said to be followed, as slices of both.
  // After an error the session is kFailed; plaintext appended before it is genuine.
  // Errors: the handshake's (kTlsHandshake, kNoCertificate, kUntrusted, kExpired, kWrongIdentity),
  // kProtocol (a record that does not open, an illegal message), kPeerReset (a fatal alert).
  // Limits: a record of 16 384 + 256 bytes; a handshake message of 64 KiB; 32 KeyUpdates or tickets
  // without data between them.
  Result<Done> feed(Slice wire, std::vector<Slice>& plaintext, Next next = Next::kUnknown);

  // Appends what must be sent: handshake messages, alerts, KeyUpdate answers. Call after create(),
  // feed() and close_notify(), and before seal(): order matters on the wire.
  void take_output(std::vector<Piece>& ciphertext);
  bool has_output() const;

  // Seals `plaintext` as records and appends them. A piece of at most 16 384 bytes with 5 bytes of
  // headroom and 17 of tailroom is sealed in place. Only when open().
  Result<Done> seal(Piece plaintext, std::vector<Piece>& ciphertext);

  // Queues a close_notify; nothing can be sealed after it.
  void close_notify();

  // The identity that the peer proved, once open. None for a named server or an open one.
  const std::optional<net::SpiffeId>& peer() const;
  // "TLS_AES_256_GCM_SHA384"; empty before the handshake is done.
  std::string cipher() const;

 private:
  explicit Session(std::unique_ptr<SessionImpl> impl);
  std::unique_ptr<SessionImpl> impl_;
};

}  // namespace mesh::tls
