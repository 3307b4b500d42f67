#pragma once
// The inside of a Connection. Internal to mesh/h2.

#include <nghttp2/nghttp2.h>

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "mesh/h2/connection.h"
#include "mesh/h2/header_block.h"
#include "mesh/tls/fifo.h"

namespace mesh::h2 {

// Payloads up to this size are copied into the piece that gathers small frames; larger ones are
// sealed in the buffer they came in.
inline constexpr std::size_t kGatherMax = 2048;
inline constexpr std::size_t kPieceMax = 16384;
inline constexpr std::size_t kFrameHeader = 9;

struct StreamData {
  explicit StreamData(StreamId stream, CreditBudget& budget) : id(stream), credit(budget) {}
  StreamId id;
  StreamCredit credit;

  // Outgoing.
  tls::Fifo<tls::Piece> queue;
  std::size_t unsent = 0;
  bool answered = false;  // request() or respond() was called
  bool finish = false;    // END_STREAM is due after the queue
  std::optional<Headers> trailers{};
  bool local_ended = false;  // END_STREAM was sent
  bool answer_sent = false;  // its HEADERS are on the wire
  unsigned interims = 0;     // responses of 1xx that are not
  bool reset = false;        // by us: nothing more goes out
  bool submitted = false;    // nghttp2 has a DATA item of this stream
  bool item_ends = false;    // with the frame that is being sent
  bool last_read = false;    // the last DATA, or the request or answer had none
  std::optional<ErrorCode> reset_after_answer{};
  bool close_after_answer = false;  // RST_STREAM NO_ERROR when the answer is out

  // Incoming.
  Headers headers{};  // being received
  std::size_t headers_size = 0;
  bool headers_done = false;  // the request or the final response came
  bool remote_ended = false;
};

struct SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};

enum class Drain : std::uint8_t { kNone, kNotice, kFinal };

struct Connection::Impl final : BudgetWaiter {
  Impl(const Options& options_in, Events& events_in, io::TimePoint now);
  ~Impl() override { budget->forget(*this); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Options options;
  Events* events;
  CreditBudget own_budget{};
  CreditBudget* budget;
  FloodGuard guard;
  HeaderBlock header_block;
  io::TimePoint now;
  std::unique_ptr<nghttp2_session, SessionDeleter> session;
  std::unordered_map<StreamId, StreamData> streams;

  std::optional<Error> failure{};
  std::optional<Flood> flood{};
  bool ended = false;        // transport_ended()
  bool goaway_sent = false;  // any
  bool goaway_received = false;
  bool settings_sent = false;
  StreamId last_accepted = 0;  // server: the last stream whose request was handed on
  Drain drain = Drain::kNone;

  // Keep-alive, the caller's PING, and the one that measures round trips.
  io::TimePoint next_ping;
  std::optional<io::TimePoint> ping_sent_at{};
  bool user_ping = false;
  bool probing = false;
  io::TimePoint next_probe{};
  io::TimePoint probe_sent_at{};
  std::optional<io::TimePoint> settings_sent_at{};
  // The path's round trip: the shortest of those measured, the first by our SETTINGS and their ACK.
  io::Duration shortest_trip = io::Duration::max();
  io::Duration probe_pause = std::chrono::milliseconds(10);
  std::size_t connection_owed = 0;  // received while the budget was over: not yet given back

  // Where produce() puts things.
  const tls::Slice* receiving = nullptr;
  std::vector<tls::Piece>* out = nullptr;
  std::size_t room = 0;
  std::vector<std::byte> gathered{};

  StreamData* find(StreamId id);
  const StreamData* find(StreamId id) const;
  StreamData& add(StreamId id);

  bool spend(Flood kind);
  void fail(Error error, std::optional<ErrorCode> goaway);
  void submit_reset(StreamId id, ErrorCode code);
  void give_back_connection(std::size_t bytes);
  void on_budget_left() override;
  void end_idle_connection();
  void flush_gathered();
  void append_small(std::span<const std::byte> bytes);
  void append_settings(std::span<const std::byte> frame);

  // nghttp2's callbacks.
  int begin_frame(const nghttp2_frame_hd& header);
  int begin_headers(const nghttp2_frame& frame);
  int header(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  int frame_received(const nghttp2_frame& frame);
  int headers_received(const nghttp2_frame& frame);
  void settings_received();
  void ping_answered(const std::uint8_t* payload);
  void goaway_was_received(const nghttp2_goaway& frame);
  int data_received(StreamId id, std::span<const std::uint8_t> bytes);
  int frame_sent(const nghttp2_frame& frame);
  int stream_closed(StreamId id, std::uint32_t code);
  // Has nghttp2 ask for DATA if there is any. Its item for it goes when there is none, because most
  // streams are silent: it would hold 176 bytes.
  void offer_data(StreamData& stream);
  nghttp2_ssize read_data(StreamData& stream, std::size_t length, std::uint32_t* flags);
  int send_data(StreamData& stream, const nghttp2_frame& frame, const std::uint8_t* header,
                std::size_t length);
  void remote_end(StreamData& stream);
};

// nghttp2 ends the connection when a peer opens more streams than it was allowed; we only refuse
// those streams, as the incumbent does. So nghttp2 is told a higher number than the peer.
inline constexpr std::uint32_t kStreamsBeyondLimit = 1000;

// The table of callbacks, and a session made with it. In callbacks.cc.
nghttp2_session* new_session(Connection::Impl& impl);
nghttp2_data_provider2 provider_of(StreamData& stream);

inline constexpr std::array<std::uint8_t, 8> kPingKeepAlive = {'w', 'e', 'f', 't',
                                                               'l', 'i', 'v', 'e'};
inline constexpr std::array<std::uint8_t, 8> kPingUser = {'w', 'e', 'f', 't', 'p', 'i', 'n', 'g'};
inline constexpr std::array<std::uint8_t, 8> kPingProbe = {'w', 'e', 'f', 't', 'p', 'a', 't', 'h'};
// The incumbent's; its clients know it.
inline constexpr std::array<std::uint8_t, 8> kPingDrain = {0x0b, 0x7b, 0xa2, 0xf0,
                                                           0x8b, 0x9b, 0xfe, 0x54};

}  // namespace mesh::h2
