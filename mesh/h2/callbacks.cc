// What nghttp2 tells us, as it reads and writes frames.

#include <algorithm>
#include <cstring>

#include "mesh/base/check.h"
#include "mesh/h2/connection_impl.h"

namespace mesh::h2 {
namespace {

// What two ends that are not stuck add to the path's round trip, generously.
constexpr io::Duration kSlowestEnds = std::chrono::microseconds(500);

using Impl = Connection::Impl;

Impl& impl_of(void* user) { return *static_cast<Impl*>(user); }

std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

nghttp2_ssize on_send(nghttp2_session*, const std::uint8_t* data, std::size_t size, int,
                      void* user) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (size > kFrameHeader && data[3] == NGHTTP2_SETTINGS && !impl_of(user).settings_sent) {
    impl_of(user).append_settings(bytes);
  } else {
    impl_of(user).append_small(bytes);
  }
  return static_cast<nghttp2_ssize>(size);
}
int on_send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* header,
                 std::size_t length, nghttp2_data_source* source, void* user) {
  return impl_of(user).send_data(*static_cast<StreamData*>(source->ptr), *frame, header, length);
}
nghttp2_ssize on_read_data(nghttp2_session*, StreamId, std::uint8_t*, std::size_t length,
                           std::uint32_t* flags, nghttp2_data_source* source, void* user) {
  return impl_of(user).read_data(*static_cast<StreamData*>(source->ptr), length, flags);
}
int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* header, void* user) {
  return impl_of(user).begin_frame(*header);
}
int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  return impl_of(user).begin_headers(*frame);
}
int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
              std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
              std::uint8_t, void* user) {
  return impl_of(user).header(*frame, text_of(name, name_size), text_of(value, value_size));
}
int on_frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  return impl_of(user).frame_received(*frame);
}
int on_data(nghttp2_session*, std::uint8_t, StreamId id, const std::uint8_t* data, std::size_t size,
            void* user) {
  return impl_of(user).data_received(id, {data, size});
}
int on_frame_send(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  return impl_of(user).frame_sent(*frame);
}
int on_stream_close(nghttp2_session*, StreamId id, std::uint32_t code, void* user) {
  return impl_of(user).stream_closed(id, code);
}

struct Callbacks {
  nghttp2_session_callbacks* table = nullptr;
  nghttp2_option* option = nullptr;

  Callbacks() {
    MESH_CHECK(nghttp2_session_callbacks_new(&table) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_send_callback2(table, on_send);
    nghttp2_session_callbacks_set_send_data_callback(table, on_send_data);
    nghttp2_session_callbacks_set_on_begin_frame_callback(table, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(table, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(table, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(table, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(table, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(table, on_stream_close);

    nghttp2_option_set_no_auto_window_update(option, 1);
    // Message rules are ours (check_message): a CONNECT without :authority must reach the
    // application.
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_continuations(option, 64);
    // Its own rate limits answer INTERNAL_ERROR and read a clock: ours come first (flood.h).
    nghttp2_option_set_stream_reset_rate_limit(option, 1'000'000'000, 1'000'000'000);
    nghttp2_option_set_glitch_rate_limit(option, 1'000'000'000, 1'000'000'000);
  }
  ~Callbacks() {
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(table);
  }
  Callbacks(const Callbacks&) = delete;
  Callbacks& operator=(const Callbacks&) = delete;
};

}  // namespace

nghttp2_session* new_session(Impl& impl) {
  const Callbacks with;
  nghttp2_session* session = nullptr;
  const int made = impl.options.role == Role::kServer
                       ? nghttp2_session_server_new2(&session, with.table, &impl, with.option)
                       : nghttp2_session_client_new2(&session, with.table, &impl, with.option);
  MESH_CHECK(made == 0);
  return session;
}

nghttp2_data_provider2 provider_of(StreamData& stream) {
  nghttp2_data_provider2 provider{};
  provider.source.ptr = &stream;
  provider.read_callback = on_read_data;
  return provider;
}

// ---- receiving ----

int Impl::begin_frame(const nghttp2_frame_hd& header) {
  switch (header.type) {
    case NGHTTP2_DATA:
      if (header.length == 0 && (header.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
        spend(Flood::kEmptyData);
      }
      break;
    case NGHTTP2_SETTINGS:
      if ((header.flags & NGHTTP2_FLAG_ACK) == 0) spend(Flood::kSettings);
      break;
    case NGHTTP2_PING:
      if ((header.flags & NGHTTP2_FLAG_ACK) == 0) spend(Flood::kPing);
      break;
    case NGHTTP2_WINDOW_UPDATE:
      spend(Flood::kWindowUpdate);
      break;
    case NGHTTP2_CONTINUATION:
      spend(Flood::kHeaders);
      break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_GOAWAY:
      break;
    case NGHTTP2_PRIORITY:
      spend(Flood::kOther);
      if (header.stream_id == 0) {
        fail({.reason = Reason::kProtocol, .during = "PRIORITY of no stream"},
             ErrorCode::kProtocolError);
      }
      break;
    case NGHTTP2_RST_STREAM:
      if (const StreamData* stream = find(header.stream_id);
          options.role == Role::kServer && (stream == nullptr || !stream->answered)) {
        spend(Flood::kReset);
      }
      break;
    default:
      spend(Flood::kOther);
      break;
  }
  return failure ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int Impl::begin_headers(const nghttp2_frame& frame) {
  StreamData* stream = find(frame.hd.stream_id);
  if (stream == nullptr) {
    if (options.role == Role::kClient) return 0;  // a stream that we have forgotten
    stream = &add(frame.hd.stream_id);
    if (options.max_concurrent_streams && streams.size() > *options.max_concurrent_streams) {
      submit_reset(frame.hd.stream_id, ErrorCode::kRefusedStream);
      spend(Flood::kOther);
      return failure ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    }
  }
  stream->headers.clear();
  stream->headers_size = 0;
  return 0;
}

int Impl::header(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  StreamData* stream = find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  stream->headers_size += name.size() + value.size() + 32;  // RFC 9113 6.5.2
  if (stream->headers_size > std::size_t{options.max_header_list} * 4) {
    fail({.reason = Reason::kTooLarge, .during = "header list"}, ErrorCode::kEnhanceYourCalm);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  if (stream->headers_size <= options.max_header_list) {
    if (!name.starts_with(':')) value = without_space_around(value);
    stream->headers.push_back({.name = std::string(name), .value = std::string(value)});
  }
  return 0;
}

int Impl::headers_received(const nghttp2_frame& frame) {
  StreamData* stream = find(frame.hd.stream_id);
  if (stream == nullptr || stream->reset) return 0;
  const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const MessageKind kind = stream->headers_done            ? MessageKind::kTrailers
                           : options.role == Role::kClient ? MessageKind::kResponse
                           : options.extended_connect      ? MessageKind::kExtendedRequest
                                                           : MessageKind::kRequest;
  const MessageFault fault = check_message(stream->headers, kind);
  const bool interim = kind == MessageKind::kResponse && fault == MessageFault::kNone &&
                       status_of(stream->headers) < 200;
  if (fault == MessageFault::kUpperCase) {
    fail({.reason = Reason::kProtocol, .during = "upper case header name"},
         ErrorCode::kProtocolError);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  const bool request = kind == MessageKind::kRequest || kind == MessageKind::kExtendedRequest;
  if (request && stream->headers_size > options.max_header_list) {
    const StreamId id = frame.hd.stream_id;
    last_accepted = std::max(last_accepted, id);
    stream->headers_done = true;
    if (!spend(Flood::kOther)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (events->on_too_large(id, std::exchange(stream->headers, {}))) {
      if (StreamData* still = find(id); end && still != nullptr) remote_end(*still);
      return 0;
    }
    submit_reset(id, ErrorCode::kProtocolError);
    return 0;
  }
  // Trailers that do not end the stream, or an interim answer that does, are malformed too.
  if (fault != MessageFault::kNone || stream->headers_size > options.max_header_list ||
      (kind == MessageKind::kTrailers && !end) || (interim && end)) {
    submit_reset(frame.hd.stream_id, ErrorCode::kProtocolError);
    return spend(Flood::kOther) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  if (interim) {
    if (!spend(Flood::kHeaders)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    events->on_interim(frame.hd.stream_id, std::exchange(stream->headers, {}));
    return 0;
  }
  stream->headers_done = true;
  const StreamId id = frame.hd.stream_id;
  last_accepted = std::max(last_accepted, id);
  events->on_headers(id, std::move(stream->headers), end);
  if (end) {
    if (StreamData* still = find(id)) remote_end(*still);
  }
  return 0;
}

void Impl::remote_end(StreamData& stream) {
  if (stream.remote_ended) return;
  stream.remote_ended = true;
  events->on_end(stream.id);
}

int Impl::frame_received(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      return headers_received(frame);
    case NGHTTP2_DATA:
      if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        if (StreamData* stream = find(frame.hd.stream_id); stream != nullptr && !stream->reset) {
          remote_end(*stream);
        }
      }
      return 0;
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) {
        events->on_settings();
      } else if (settings_sent_at) {
        // The loop's clock stands still within a turn: a trip of nothing was not measured.
        if (now > *settings_sent_at) shortest_trip = now - *settings_sent_at;
        settings_sent_at.reset();
      }
      return 0;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) ping_answered(frame.ping.opaque_data);
      return 0;
    case NGHTTP2_GOAWAY:
      goaway_received = true;
      events->on_goaway(static_cast<ErrorCode>(frame.goaway.error_code),
                        frame.goaway.last_stream_id);
      return 0;
    default:
      return 0;
  }
}

void Impl::ping_answered(const std::uint8_t* payload) {
  const auto is = [&](const std::array<std::uint8_t, 8>& own) {
    return std::memcmp(payload, own.data(), own.size()) == 0;
  };
  if (is(kPingKeepAlive) && ping_sent_at) {
    ping_sent_at.reset();
  } else if (is(kPingUser) && user_ping) {
    user_ping = false;
    events->on_pong();
  } else if (is(kPingDrain) && drain == Drain::kNotice) {
    drain = Drain::kFinal;
    nghttp2_submit_goaway(session.get(), NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session.get()), NGHTTP2_NO_ERROR,
                          nullptr, 0);
  } else if (is(kPingProbe) && probing) {
    probing = false;
    const io::Duration trip = now - probe_sent_at;
    shortest_trip = std::min(shortest_trip, trip);
    // Loss or a busy peer may slow every PING there ever was: the path has no part in that.
    if (const auto path = events->path_round_trip()) {
      shortest_trip = std::min(shortest_trip, *path * 2 + kSlowestEnds);
    }
    bool grew = false;
    for (auto& [id, stream] : streams) {
      if (stream.reset || stream.credit.round_trip_ended(shortest_trip, trip) == 0) continue;
      grew = true;
      nghttp2_session_set_local_window_size(session.get(), NGHTTP2_FLAG_NONE, id,
                                            static_cast<std::int32_t>(stream.credit.credit()));
    }
    // Ask often while answers change something, seldom when they do not.
    probe_pause = grew ? io::Duration(std::chrono::milliseconds(10))
                       : std::min<io::Duration>(probe_pause * 2, std::chrono::seconds(1));
    next_probe = now + probe_pause;
  }
}

int Impl::data_received(StreamId id, std::span<const std::uint8_t> bytes) {
  StreamData* stream = find(id);
  if (stream == nullptr || stream->reset || stream->remote_ended) {
    give_back_connection(bytes.size());
    return 0;
  }
  stream->credit.received(bytes.size());
  give_back_connection(bytes.size());
  if (!probing && stream->credit.wants_measuring() && now >= next_probe) {
    probing = true;
    probe_sent_at = now;
    for (auto& [other, data] : streams) data.credit.round_trip_begins();
    nghttp2_submit_ping(session.get(), NGHTTP2_FLAG_NONE, kPingProbe.data());
  }
  // The bytes lie in what receive() was given.
  auto* const begin = const_cast<std::byte*>(std::as_bytes(bytes).data());
  events->on_data(id, receiving->part({begin, bytes.size()}));
  return 0;
}

// ---- sending ----

void Impl::offer_data(StreamData& stream) {
  if (stream.reset || stream.last_read || !stream.answer_sent) return;
  if (stream.queue.empty() && !stream.finish) return;
  if (stream.submitted) {
    nghttp2_session_resume_data(session.get(), stream.id);
    return;
  }
  if (options.role == Role::kServer) {
    // Of streams that are not incremental the oldest that has anything goes first, always: of a
    // hundred tunnels on one connection the youngest would wait for all others.
    const nghttp2_extpri shared{.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    nghttp2_session_change_extpri_stream_priority(session.get(), stream.id, &shared, 1);
  }
  const nghttp2_data_provider2 provider = provider_of(stream);
  stream.submitted =
      nghttp2_submit_data2(session.get(), NGHTTP2_FLAG_END_STREAM, stream.id, &provider) == 0;
}

nghttp2_ssize Impl::read_data(StreamData& stream, std::size_t length, std::uint32_t* flags) {
  if (stream.reset) return NGHTTP2_ERR_DEFERRED;
  if (!stream.queue.empty()) {
    const std::size_t size =
        std::min({length, stream.queue.front().size(), kPieceMax - kFrameHeader});
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size == stream.unsent && !stream.finish) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      stream.item_ends = true;
    }
    return static_cast<nghttp2_ssize>(size);
  }
  if (!stream.finish) return NGHTTP2_ERR_DEFERRED;
  stream.item_ends = stream.last_read = true;
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (stream.trailers) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    std::vector<nghttp2_nv> fields;
    for (Header& header : *stream.trailers) {
      fields.push_back({.name = reinterpret_cast<std::uint8_t*>(header.name.data()),
                        .value = reinterpret_cast<std::uint8_t*>(header.value.data()),
                        .namelen = header.name.size(),
                        .valuelen = header.value.size(),
                        .flags = NGHTTP2_NV_FLAG_NONE});
    }
    nghttp2_submit_trailer(session.get(), stream.id, fields.data(), fields.size());
    stream.trailers.reset();
  }
  return 0;
}

int Impl::send_data(StreamData& stream, const nghttp2_frame& frame, const std::uint8_t* header,
                    std::size_t length) {
  if (stream.queue.empty() || stream.queue.front().size() < length) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // it was reset between the two callbacks
  }
  MESH_CHECK(frame.data.padlen == 0);
  const std::span<const std::byte> head = std::as_bytes(std::span(header, kFrameHeader));
  tls::Piece& front = stream.queue.front();
  const bool whole = front.size() == length;
  if (length <= kGatherMax) {
    append_small(head);
    append_small(front.bytes().first(length));
    whole ? stream.queue.pop_front() : front.drop_front(length);
  } else {
    flush_gathered();
    tls::Piece piece;
    if (whole && front.headroom() >= kFrameHeader + 5 && front.tailroom() >= 17) {
      piece = std::move(front);
      stream.queue.pop_front();
    } else {
      piece = tls::Piece::copy_of(front.bytes().first(length));
      whole ? stream.queue.pop_front() : front.drop_front(length);
    }
    std::memcpy(piece.grow_front(kFrameHeader), head.data(), kFrameHeader);
    room -= std::min(room, piece.size());
    out->push_back(std::move(piece));
  }
  stream.unsent -= length;
  guard.earn(Flood::kWindowUpdate, static_cast<double>(length) / 128);
  if (stream.queue.empty() && !stream.finish) events->on_sent(stream.id);
  return room == 0 ? NGHTTP2_ERR_PAUSE : 0;
}

int Impl::frame_sent(const nghttp2_frame& frame) {
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame.hd.type == NGHTTP2_GOAWAY) {
    if (drain == Drain::kNotice && !goaway_sent) {
      nghttp2_submit_ping(session.get(), NGHTTP2_FLAG_NONE, kPingDrain.data());  // after the notice
    }
    goaway_sent = true;
    if (frame.goaway.error_code != NGHTTP2_NO_ERROR && !failure) {
      failure = Error{.reason = Reason::kProtocol, .during = "http/2 frames of the peer"};
    }
    return 0;
  }
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return 0;
  StreamData* stream = find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  if (frame.hd.type == NGHTTP2_HEADERS) {
    stream->interims > 0 ? void(--stream->interims) : void(stream->answer_sent = true);
  }
  if (stream->reset_after_answer) {
    nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, stream->id,
                              static_cast<std::uint32_t>(*stream->reset_after_answer));
    stream->reset_after_answer.reset();
    return 0;
  }
  if (frame.hd.type == NGHTTP2_DATA && std::exchange(stream->item_ends, false)) {
    stream->submitted = false;
  }
  offer_data(*stream);
  if (!ends) return 0;
  stream->local_ended = true;
  if (stream->close_after_answer && !stream->remote_ended) {
    submit_reset(stream->id, ErrorCode::kNoError);
  }
  return 0;
}

int Impl::stream_closed(StreamId id, std::uint32_t code) {
  const StreamData* stream = find(id);
  if (stream == nullptr) return 0;
  const bool well = stream->local_ended && stream->remote_ended;
  give_back_connection(0);
  well ? events->on_closed(id) : events->on_reset(id, static_cast<ErrorCode>(code));
  streams.erase(id);
  return 0;
}

}  // namespace mesh::h2
