#include "mesh/h2/connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/h2/connection_impl.h"

namespace mesh::h2 {
namespace {

constexpr std::size_t kSettingsMax = 7;

nghttp2_nv field(const Header& header) {
  // What differs each time only drives out of the peer's table what does not.
  const bool unique = header.name == "traceparent" || header.name == "forwarded";
  // nghttp2 copies; it does not write.
  return {
      .name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(header.name.data())),
      .value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(header.value.data())),
      .namelen = header.name.size(),
      .valuelen = header.value.size(),
      .flags = static_cast<std::uint8_t>(unique ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)};
}

std::uint8_t flags_of(bool end) { return end ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE; }

std::vector<nghttp2_nv> fields(const Headers& headers) {
  std::vector<nghttp2_nv> all;
  all.reserve(headers.size());
  for (const Header& header : headers) all.push_back(field(header));
  return all;
}

}  // namespace

Options Options::for_client() {
  Options options;
  options.role = Role::kClient;
  options.enable_push = 0;
  options.max_header_list = 16384;
  return options;
}

Options Options::for_server() {
  Options options;
  options.role = Role::kServer;
  options.max_concurrent_streams = 200;
  options.max_header_list = 65536;
  return options;
}

Connection::Impl::Impl(const Options& options_in, Events& events_in, io::TimePoint start)
    : options(options_in),
      events(&events_in),
      budget(options_in.budget != nullptr ? options_in.budget : &own_budget),
      guard(options_in.limits, start),
      header_block(options_in.role == Role::kServer ? NGHTTP2_CLIENT_MAGIC_LEN : 0),
      now(start),
      session(new_session(*this)),
      next_ping(start + options_in.ping_interval),
      next_probe(start) {
  std::array<nghttp2_settings_entry, kSettingsMax> settings{};
  std::size_t count = 0;
  const auto set = [&](std::int32_t id, std::uint32_t value) { settings[count++] = {id, value}; };
  if (options.enable_push) set(NGHTTP2_SETTINGS_ENABLE_PUSH, *options.enable_push);
  if (options.max_concurrent_streams) {
    set(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
        *options.max_concurrent_streams + kStreamsBeyondLimit);
  }
  if (options.extended_connect) set(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
  // Without it streams are sent by their age: see offer_data().
  if (options.role == Role::kServer) set(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1);
  set(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.initial_window);
  set(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options.max_frame_size);
  set(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options.max_header_list);
  MESH_CHECK(nghttp2_submit_settings(session.get(), NGHTTP2_FLAG_NONE, settings.data(), count) ==
             0);
  MESH_CHECK(nghttp2_session_set_local_window_size(
                 session.get(), NGHTTP2_FLAG_NONE, 0,
                 static_cast<std::int32_t>(options.connection_window)) == 0);
}

StreamData* Connection::Impl::find(StreamId id) {
  const auto found = streams.find(id);
  return found == streams.end() ? nullptr : &found->second;
}
const StreamData* Connection::Impl::find(StreamId id) const {
  const auto found = streams.find(id);
  return found == streams.end() ? nullptr : &found->second;
}
StreamData& Connection::Impl::add(StreamId id) {
  return streams.try_emplace(id, id, *budget).first->second;
}

void Connection::Impl::fail(Error error, std::optional<ErrorCode> goaway) {
  if (failure) return;
  failure = error;
  if (!goaway) return;
  nghttp2_session_terminate_session2(session.get(), last_accepted,
                                     static_cast<std::uint32_t>(*goaway));
}

bool Connection::Impl::spend(Flood kind) {
  if (guard.allow(kind, now)) return true;
  flood = kind;
  fail({.reason = Reason::kFlood, .during = "http/2 frames of the peer"},
       ErrorCode::kEnhanceYourCalm);
  return false;
}

void Connection::Impl::submit_reset(StreamId id, ErrorCode code) {
  StreamData* stream = find(id);
  if (stream == nullptr || stream->reset) return;
  stream->reset = true;
  stream->queue.clear();
  stream->unsent = 0;
  if (options.role == Role::kServer && stream->answered && !stream->answer_sent) {
    stream->reset_after_answer = code;  // nghttp2 would forget the answer
    return;
  }
  nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, id, static_cast<std::uint32_t>(code));
}

// The connection's window is given back as bytes arrive: what is unread is bounded by each stream's
// credit, so that a stream which stalls never holds up its neighbours. Only when the process as a
// whole holds too much unread do connections stop.
void Connection::Impl::give_back_connection(std::size_t bytes) {
  connection_owed += bytes;
  if (connection_owed < options.connection_window / 4) return;
  if (budget->over()) return budget->wait(*this);
  nghttp2_submit_window_update(session.get(), NGHTTP2_FLAG_NONE, 0,
                               static_cast<std::int32_t>(std::exchange(connection_owed, 0)));
}

void Connection::Impl::on_budget_left() {
  give_back_connection(0);
  events->on_to_send();
}

void Connection::Impl::append_small(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kPieceMax - gathered.size());
    gathered.insert(gathered.end(), bytes.begin(),
                    bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (gathered.size() == kPieceMax) flush_gathered();
  }
}

// Our first SETTINGS, with the limit of streams that the peer shall see.
void Connection::Impl::append_settings(std::span<const std::byte> frame) {
  settings_sent = true;
  settings_sent_at = now;
  std::vector<std::byte> shown(frame.begin(), frame.end());
  for (std::size_t at = kFrameHeader; at + 6 <= shown.size(); at += 6) {
    if (shown[at] != std::byte{0} ||
        shown[at + 1] != std::byte{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS}) {
      continue;
    }
    for (std::size_t i = 0; i < 4; ++i) {
      shown[at + 2 + i] =
          static_cast<std::byte>(*options.max_concurrent_streams >> (24 - 8 * i) & 0xff);
    }
  }
  append_small(shown);
}

void Connection::Impl::flush_gathered() {
  if (gathered.empty()) return;
  room -= std::min(room, gathered.size());
  out->push_back(tls::Piece::copy_of(gathered));
  gathered.clear();
}

// A connection whose peer wants no more streams, and which has none left, ends with our own GOAWAY.
void Connection::Impl::end_idle_connection() {
  if (!streams.empty() || goaway_sent || !goaway_received || failure) return;
  nghttp2_submit_goaway(session.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session.get()), NGHTTP2_NO_ERROR,
                        nullptr, 0);
}

Connection::Connection(const Options& options, Events& events, io::TimePoint now)
    : impl_(std::make_unique<Impl>(options, events, now)) {}
Connection::~Connection() = default;

Result<Done> Connection::receive(const tls::Slice& plaintext, io::TimePoint now) {
  Impl& impl = *impl_;
  impl.now = now;
  if (impl.failure) return std::unexpected(*impl.failure);
  const auto bytes = plaintext.bytes();
  impl.header_block.saw(bytes, now);
  impl.receiving = &plaintext;
  const nghttp2_ssize taken = nghttp2_session_mem_recv2(
      impl.session.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  impl.receiving = nullptr;
  if (taken < 0 && !impl.failure) {
    if (taken == NGHTTP2_ERR_FLOODED) {
      impl.flood = Flood::kOther;
      impl.fail({.reason = Reason::kFlood, .during = "http/2 frames of the peer"},
                ErrorCode::kEnhanceYourCalm);
    } else {
      impl.fail({.reason = Reason::kProtocol,
                 .during = taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? "not http/2" : "http/2"},
                std::nullopt);
    }
  }
  if (impl.failure) return std::unexpected(*impl.failure);
  return Done{};
}

const std::optional<Error>& Connection::failure() const { return impl_->failure; }

void Connection::transport_ended() {
  impl_->ended = true;
  // on_reset() may call back, but never adds streams.
  while (!impl_->streams.empty()) {
    const StreamId id = impl_->streams.begin()->first;
    impl_->events->on_reset(id, ErrorCode::kInternalError);
    impl_->streams.erase(id);
  }
}

void Connection::produce(std::vector<tls::Piece>& out, std::size_t room) {
  Impl& impl = *impl_;
  if (impl.ended) return;
  impl.out = &out;
  impl.room = room;
  impl.end_idle_connection();
  const int sent = nghttp2_session_send(impl.session.get());
  impl.end_idle_connection();
  if (sent == 0 && impl.room > 0) nghttp2_session_send(impl.session.get());
  impl.flush_gathered();
  impl.out = nullptr;
  if (sent != 0 && !impl.failure) {
    impl.failure = Error{.reason = Reason::kProtocol, .during = "http/2 send"};
  }
}

bool Connection::wants_to_send() const {
  const Impl& impl = *impl_;
  if (impl.ended) return false;
  // The GOAWAY of end_idle_connection(), which produce() has yet to submit: nghttp2 answers nothing
  // more, not even a PING, once a GOAWAY has come and no stream is left.
  const bool last_word_due =
      impl.goaway_received && !impl.goaway_sent && impl.streams.empty() && !impl.failure;
  return last_word_due || nghttp2_session_want_write(impl.session.get()) != 0;
}

bool Connection::finished() const {
  const Impl& impl = *impl_;
  if (impl.ended || impl.failure) return true;
  const bool going = impl.goaway_sent && (impl.drain != Drain::kNotice || impl.goaway_received);
  return going && impl.streams.empty() && nghttp2_session_want_write(impl.session.get()) == 0;
}

Result<StreamId> Connection::request(const Headers& headers, bool end) {
  Impl& impl = *impl_;
  MESH_CHECK(impl.options.role == Role::kClient);
  if (impl.ended || !accepts_requests()) return failed(Reason::kDraining, "http/2 request");
  const MessageKind kind =
      peer_offers_connect() ? MessageKind::kExtendedRequest : MessageKind::kRequest;
  if (check_message(headers, kind) != MessageFault::kNone) {
    return failed(Reason::kMalformed, "http/2 request");
  }
  const std::uint32_t next = nghttp2_session_get_next_stream_id(impl.session.get());
  if (next > 0x7fffffff) return failed(Reason::kDraining, "http/2 stream ids");
  StreamData& stream = impl.add(static_cast<StreamId>(next));
  stream.answered = true;
  stream.finish = stream.last_read = end;
  stream.local_ended = false;
  const std::vector<nghttp2_nv> list = fields(headers);
  const StreamId id = nghttp2_submit_headers(impl.session.get(), flags_of(end), -1, nullptr,
                                             list.data(), list.size(), nullptr);
  if (id < 0) {
    impl.streams.erase(static_cast<StreamId>(next));
    return failed(Reason::kDraining, "http/2 request");
  }
  MESH_CHECK(id == static_cast<StreamId>(next));
  return id;
}

Result<Done> Connection::respond_interim(StreamId id, const Headers& headers) {
  StreamData* stream = impl_->find(id);
  if (stream == nullptr || stream->reset) return failed(Reason::kPeerReset, "http/2 response");
  if (stream->answered) return failed(Reason::kPeerReset, "http/2 response");
  if (check_message(headers, MessageKind::kResponse) != MessageFault::kNone ||
      status_of(headers) >= 200) {
    return failed(Reason::kMalformed, "http/2 response");
  }
  const std::vector<nghttp2_nv> list = fields(headers);
  if (nghttp2_submit_headers(impl_->session.get(), NGHTTP2_FLAG_NONE, id, nullptr, list.data(),
                             list.size(), nullptr) != 0) {
    return failed(Reason::kPeerReset, "http/2 response");
  }
  ++stream->interims;
  return Done{};
}

Result<Done> Connection::respond(StreamId id, const Headers& headers, bool end) {
  Impl& impl = *impl_;
  StreamData* stream = impl.find(id);
  if (stream == nullptr || stream->reset) return failed(Reason::kPeerReset, "http/2 response");
  if (stream->answered) return failed(Reason::kPeerReset, "http/2 response");
  if (check_message(headers, MessageKind::kResponse) != MessageFault::kNone) {
    return failed(Reason::kMalformed, "http/2 response");
  }
  stream->answered = true;
  stream->finish = stream->last_read = end;
  stream->close_after_answer = end;
  const std::vector<nghttp2_nv> list = fields(headers);
  if (nghttp2_submit_headers(impl.session.get(), flags_of(end), id, nullptr, list.data(),
                             list.size(), nullptr) != 0) {
    return failed(Reason::kPeerReset, "http/2 response");
  }
  return Done{};
}

Result<Done> Connection::trailers(StreamId id, const Headers& headers) {
  StreamData* stream = impl_->find(id);
  if (stream == nullptr || stream->reset) return failed(Reason::kPeerReset, "http/2 trailers");
  MESH_CHECK(stream->answered && !stream->finish);
  if (check_message(headers, MessageKind::kTrailers) != MessageFault::kNone) {
    return failed(Reason::kMalformed, "http/2 trailers");
  }
  stream->trailers = headers;
  stream->close_after_answer = impl_->options.role == Role::kServer;
  finish(id);
  return Done{};
}

void Connection::send(StreamId id, tls::Piece payload) {
  StreamData* stream = impl_->find(id);
  if (stream == nullptr || stream->reset || stream->finish || payload.empty()) return;
  MESH_CHECK(stream->answered);
  stream->unsent += payload.size();
  stream->queue.push_back(std::move(payload));
  impl_->offer_data(*stream);
}

std::size_t Connection::unsent(StreamId id) const {
  const StreamData* stream = impl_->find(id);
  return stream == nullptr ? 0 : stream->unsent;
}

void Connection::finish(StreamId id) {
  StreamData* stream = impl_->find(id);
  if (stream == nullptr || stream->reset || stream->finish) return;
  stream->finish = true;
  impl_->offer_data(*stream);
}

void Connection::reset(StreamId id, ErrorCode code) { impl_->submit_reset(id, code); }

void Connection::consumed(StreamId id, std::size_t bytes) {
  Impl& impl = *impl_;
  StreamData* stream = impl.find(id);
  if (stream == nullptr) return;
  const std::uint32_t back = stream->credit.consumed(bytes);
  impl.give_back_connection(0);
  if (back == 0 || stream->reset || stream->remote_ended) return;
  nghttp2_submit_window_update(impl.session.get(), NGHTTP2_FLAG_NONE, id,
                               static_cast<std::int32_t>(back));
}

bool Connection::is_open(StreamId id) const {
  const StreamData* stream = impl_->find(id);
  return stream != nullptr && !stream->reset;
}

void Connection::drain() {
  Impl& impl = *impl_;
  MESH_CHECK(impl.options.role == Role::kServer);
  if (impl.drain != Drain::kNone || impl.failure || impl.ended) return;
  impl.drain = Drain::kNotice;
  nghttp2_submit_shutdown_notice(impl.session.get());  // the PING follows it: frame_sent()
}

void Connection::go_away(ErrorCode code) {
  Impl& impl = *impl_;
  if (impl.ended) return;
  nghttp2_submit_goaway(impl.session.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(impl.session.get()),
                        static_cast<std::uint32_t>(code), nullptr, 0);
}

void Connection::ping(io::TimePoint now) {
  impl_->now = now;
  if (std::exchange(impl_->user_ping, true)) return;
  nghttp2_submit_ping(impl_->session.get(), NGHTTP2_FLAG_NONE, kPingUser.data());
}

io::TimePoint Connection::next_deadline() const {
  const Impl& impl = *impl_;
  io::TimePoint next = impl.next_ping;
  if (impl.ping_sent_at) next = *impl.ping_sent_at + impl.options.ping_timeout;
  if (const auto since = impl.header_block.open_since()) {
    next = std::min(next, *since + impl.options.header_deadline);
  }
  return next;
}

Result<Done> Connection::on_deadline(io::TimePoint now) {
  Impl& impl = *impl_;
  impl.now = now;
  if (impl.failure) return std::unexpected(*impl.failure);
  const auto block = impl.header_block.open_since();
  if (block && now >= *block + impl.options.header_deadline) {
    impl.fail({.reason = Reason::kTimedOut, .during = "http/2 headers"},
              ErrorCode::kEnhanceYourCalm);
    return std::unexpected(*impl.failure);
  }
  if (impl.ping_sent_at) {
    if (now < *impl.ping_sent_at + impl.options.ping_timeout) return Done{};
    if (impl.options.role == Role::kServer) go_away(ErrorCode::kNoError);
    impl.failure = Error{.reason = Reason::kTimedOut, .during = "http/2 keep-alive"};
    return std::unexpected(*impl.failure);
  }
  if (now < impl.next_ping) return Done{};
  impl.ping_sent_at = now;
  impl.next_ping = now + impl.options.ping_interval;
  nghttp2_submit_ping(impl.session.get(), NGHTTP2_FLAG_NONE, kPingKeepAlive.data());
  return Done{};
}

std::size_t Connection::streams() const { return impl_->streams.size(); }

std::uint32_t Connection::peer_max_streams() const {
  return nghttp2_session_get_remote_settings(impl_->session.get(),
                                             NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool Connection::accepts_requests() const {
  return !impl_->goaway_received && !impl_->goaway_sent && !impl_->failure && !impl_->ended;
}

bool Connection::peer_offers_connect() const {
  return impl_->options.role == Role::kClient &&
         nghttp2_session_get_remote_settings(impl_->session.get(),
                                             NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

std::uint32_t Connection::credit(StreamId id) const {
  const StreamData* stream = impl_->find(id);
  return stream == nullptr ? 0 : stream->credit.credit();
}

std::optional<Flood> Connection::flood() const { return impl_->flood; }

}  // namespace mesh::h2
