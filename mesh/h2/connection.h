#pragma once
// Connection: one HTTP/2 connection, either role, without any I/O. Plaintext in, events and
// plaintext out. Frames and HPACK are nghttp2's; settings, message rules, flow control, keep-alive,
// drain and flood limits are ours.
//
// Nothing is copied: received DATA is handed on as slices of what came in, and DATA goes out in the
// buffer it was given in, its frame header in the headroom.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/h2/credit.h"
#include "mesh/h2/flood.h"
#include "mesh/h2/message.h"
#include "mesh/io/ring.h"
#include "mesh/tls/piece.h"
#include "mesh/tls/slice.h"

namespace mesh::h2 {

using StreamId = std::int32_t;

// RFC 9113 section 7.
enum class ErrorCode : std::uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kSettingsTimeout = 4,
  kStreamClosed = 5,
  kFrameSizeError = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompressionError = 9,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kInadequateSecurity = 12,
  kHttp11Required = 13,
};

// Our SETTINGS and keep-alive. The defaults of for_client() and for_server() are HBONE's.
struct Options {
  Role role = Role::kClient;
  std::optional<std::uint32_t> enable_push{};
  std::optional<std::uint32_t> max_concurrent_streams{};
  bool extended_connect = false;  // server: offers RFC 8441
  std::uint32_t initial_window = kCreditInitial;
  std::uint32_t max_frame_size = 1048576;
  std::uint32_t max_header_list = 16384;
  std::uint32_t connection_window = 16777216;
  io::Duration ping_interval = std::chrono::seconds(10);
  io::Duration ping_timeout = std::chrono::seconds(20);
  // From the first byte of a header block to its last: nothing else may come between.
  io::Duration header_deadline = std::chrono::seconds(60);
  Limits limits{};
  CreditBudget* budget = nullptr;  // outlives the connection; its own when null

  static Options for_client();
  static Options for_server();
};

// What happens on a connection. Called from receive(), on_deadline() and produce(); an
// implementation may call the connection's other methods from here, but not those three, and does
// not destroy it.
class Events {
 public:
  virtual ~Events() = default;
  // A request (server), a response other than 1xx (client), or trailers; checked. `end`: nothing
  // follows.
  virtual void on_headers(StreamId id, Headers headers, bool end) = 0;
  // Server: a request whose header list is above Options::max_header_list: `headers` are what fits.
  // True: it will be answered, and what follows dropped; false: it is reset.
  virtual bool on_too_large(StreamId, Headers) { return false; }
  // A response of 1xx (client); others follow.
  virtual void on_interim(StreamId, Headers) {}
  // Tell consumed() as the bytes are taken.
  virtual void on_data(StreamId id, tls::Slice bytes) = 0;
  virtual void on_end(StreamId id) = 0;  // after data or trailers; also when on_headers said `end`
  // The stream ended abnormally: RST_STREAM of either side, or the connection's end. Last event.
  virtual void on_reset(StreamId id, ErrorCode code) = 0;
  // Both directions have ended well. Last event of the stream.
  virtual void on_closed(StreamId id) = 0;
  // unsent(id) fell to zero: room for more.
  virtual void on_sent(StreamId id) = 0;
  // The peer will take no new streams; those above `last` were not processed (and are reset here).
  virtual void on_goaway(ErrorCode code, StreamId last) = 0;
  virtual void on_pong() {}      // an answer to ping()
  virtual void on_settings() {}  // the peer's first or changed SETTINGS
  // What is known of the path's own round trip, if anything: PINGs may all have been slowed.
  virtual std::optional<io::Duration> path_round_trip() { return std::nullopt; }
  virtual void on_to_send() {}  // something to send, not because of a call of yours
};

class Connection {
 public:
  // `events` outlives the connection.
  Connection(const Options& options, Events& events, io::TimePoint now);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Takes plaintext. After an error, or once failure() says so, the connection is over: produce()
  // what it still has to say (a GOAWAY), send that, close, and tell transport_ended().
  // Errors: kProtocol, kFlood (GOAWAY ENHANCE_YOUR_CALM), kTooLarge (header lists; the same).
  Result<Done> receive(const tls::Slice& plaintext, io::TimePoint now);
  // Why the connection is over, when it is: also faults that only produce() finds out.
  const std::optional<Error>& failure() const;
  // Every stream that is still open gets on_reset(); nothing is produced any more.
  void transport_ended();

  // Appends frames to send, stopping once about `room` bytes are appended; call again when they are
  // gone. Small frames are gathered; a large DATA frame is a piece of its own. Every piece holds at
  // most 16 384 bytes with 5 bytes of headroom and 17 of tailroom: one TLS record, sealed in place.
  void produce(std::vector<tls::Piece>& out, std::size_t room);
  bool wants_to_send() const;
  // No streams and nothing to say after a GOAWAY: the transport can be closed.
  bool finished() const;

  // Client. Errors: kDraining (GOAWAY was received or sent, or ids ran out), kMalformed.
  // Beyond the peer's MAX_CONCURRENT_STREAMS the request waits inside, in order.
  Result<StreamId> request(const Headers& headers, bool end);
  // Server: a response of 1xx, before respond(). Errors: kPeerReset, kMalformed.
  Result<Done> respond_interim(StreamId id, const Headers& headers);
  // Server: the response. With `end` while the request is still open, RST_STREAM NO_ERROR follows.
  Result<Done> respond(StreamId id, const Headers& headers, bool end);
  // Either: ends our direction with trailers.
  Result<Done> trailers(StreamId id, const Headers& headers);

  // Queues data; unbounded here, so callers wait for on_sent() when unsent() is large. Dropped when
  // the stream has ended. Server: only after respond().
  void send(StreamId id, tls::Piece payload);
  std::size_t unsent(StreamId id) const;
  void finish(StreamId id);  // END_STREAM after what is queued: an empty DATA frame of its own
  void reset(StreamId id, ErrorCode code);
  // The reader took `bytes` of what on_data() gave: credit goes back to the peer.
  void consumed(StreamId id, std::size_t bytes);
  bool is_open(StreamId id) const;

  // Server: graceful end. GOAWAY 2^31-1 and a PING; after its answer GOAWAY with the last id. Later
  // streams are ignored. finished() turns true when the running ones have ended.
  void drain();
  // GOAWAY now.
  void go_away(ErrorCode code);
  // A PING of the caller's; on_pong() answers. At most one under way.
  void ping(io::TimePoint now);

  // Timers: call on_deadline() at or after next_deadline().
  // Errors: kTimedOut when a PING was not answered (server: GOAWAY NO_ERROR is queued), or a header
  // block did not end (GOAWAY ENHANCE_YOUR_CALM).
  io::TimePoint next_deadline() const;
  Result<Done> on_deadline(io::TimePoint now);

  std::size_t streams() const;  // open, and waiting inside
  std::uint32_t peer_max_streams() const;
  bool accepts_requests() const;            // no GOAWAY either way
  bool peer_offers_connect() const;         // client: extended CONNECT
  std::uint32_t credit(StreamId id) const;  // for tests and the admin page
  std::optional<Flood> flood() const;       // which limit ended it

  struct Impl;  // internal

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::h2
