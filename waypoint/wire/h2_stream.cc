#include "waypoint/wire/h2_stream.h"

#include <algorithm>
#include <utility>

namespace mesh::waypoint::wire {
namespace {

constexpr std::size_t kPayloadMax = 16384 - 9;

Error failure_of(const Http2State& state) {
  return state.failure.value_or(Error{.reason = Reason::kPeerReset, .during = "http/2 stream"});
}

void drop_pseudo(h2::Headers& headers) {
  std::erase_if(headers, [](const h2::Header& header) { return header.name.starts_with(':'); });
}

// One Cookie field, as HTTP/1 knows it (RFC 9113 8.2.3).
void join_cookies(h2::Headers& headers) {
  h2::Header* first = nullptr;
  for (h2::Header& header : headers) {
    if (header.name != "cookie") continue;
    if (first == nullptr) {
      first = &header;
    } else {
      first->value.append("; ").append(header.value);
      header.name.clear();
    }
  }
  std::erase_if(headers, [](const h2::Header& header) { return header.name.empty(); });
}

}  // namespace

// ---- state ----

void Http2State::fail(const Error& error) noexcept {
  if (failure) return;
  failure = error;
  readable.wake_all();
  writable.wake_all();
  if (handler != nullptr) handler->request();
}

tls::Slice Http2State::take() {
  tls::Slice bytes = std::move(received[taken++]);
  if (taken == received.size()) {
    received.clear();
    taken = 0;
  }
  if (session != nullptr) {
    session->h2_.consumed(id, bytes.size());
    if (session->h2_.wants_to_send()) session->wake_writer();
  }
  return bytes;
}

io::Task<Result<tls::Slice>> Http2State::read() {
  for (;;) {
    if (unread()) co_return take();
    if (ended) co_return tls::Slice{};
    if (failure) co_return std::unexpected(failure_of(*this));
    if (!co_await readable.wait()) co_return failed(Reason::kCancelled, "http/2 receive");
  }
}

io::Task<Result<Done>> Http2State::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (failure) co_return std::unexpected(failure_of(*this));
    if (session == nullptr || finished) co_return failed(Reason::kPeerReset, "http/2 send");
    if (session->h2_.unsent(id) >= Http2Session::kUnsentMax) {
      if (!co_await writable.wait()) co_return failed(Reason::kCancelled, "http/2 send");
      continue;
    }
    const auto part = bytes.first(std::min(bytes.size(), kPayloadMax));
    session->h2_.send(id, tls::Piece::copy_of(part));
    session->wake_writer();
    bytes = bytes.subspan(part.size());
  }
  co_return Done{};
}

Result<Done> Http2State::finish(const h2::Headers& last) {
  if (failure) return std::unexpected(failure_of(*this));
  if (std::exchange(finished, true) || session == nullptr) return Done{};
  if (last.empty() || !session->h2_.trailers(id, last)) session->h2_.finish(id);
  session->wake_writer();
  return Done{};
}

void Http2State::reset(h2::ErrorCode code) {
  if (session != nullptr) {
    session->h2_.reset(id, code);
    session->wake_writer();
  }
  fail({.reason = Reason::kCancelled, .during = "http/2 stream reset by us"});
}

h2::Headers Http2State::take_trailers() {
  h2::Headers taken = std::exchange(trailers, {});
  std::erase_if(taken, [](const h2::Header& field) { return !h1::may_trail(field.name); });
  return taken;
}

// ---- as we are asked ----

Http2ServerStream::~Http2ServerStream() {
  if (state_->session != nullptr && !state_->finished) state_->reset(h2::ErrorCode::kInternalError);
}

h1::Fault Http2ServerStream::understand() {
  h2::Headers& head = state_->head;
  const auto text = [&](std::string_view name) {
    return std::string(h2::find_header(head, name).value_or(""));
  };
  request_ = {.method = text(":method"),
              .scheme = text(":scheme"),
              .authority = text(":authority"),
              .path = text(":path"),
              .headers = {},
              .protocol = text(":protocol")};
  is_head_request_ = request_.method == "HEAD";
  unsigned hosts = 0;
  for (const h2::Header& header : head) {
    if (header.name != "host") continue;
    ++hosts;
    if (request_.authority.empty()) request_.authority = header.value;
    if (hosts > 1 || header.value != request_.authority) return h1::Fault::kHost;
  }
  drop_pseudo(head);
  join_cookies(head);
  std::erase_if(head, [](const h2::Header& header) { return header.name == "host"; });
  request_.headers = std::move(head);
  if (!request_.protocol.empty()) request_.method = "GET";
  if (request_.scheme != "http" && request_.scheme != "https") return h1::Fault::kTarget;
  return check_request(request_);
}

io::Task<Result<Done>> Http2ServerStream::respond_interim(const Response& response) {
  if (state_->session == nullptr) co_return std::unexpected(failure_of(*state_));
  h2::Headers headers = {{":status", std::to_string(response.status)}};
  headers.insert(headers.end(), response.headers.begin(), response.headers.end());
  const auto done = state_->session->h2_.respond_interim(state_->id, headers);
  state_->session->wake_writer();
  co_return done;
}

io::Task<Result<Done>> Http2ServerStream::respond(Response response, bool end) {
  answered_ = true;
  if (state_->failure || state_->session == nullptr) co_return std::unexpected(failure_of(*state_));
  CO_TRY(length_left_, content_length(response.headers));
  if (is_head_request_ || response.status == 304 || response.status == 204) length_left_.reset();
  if (end && length_left_.value_or(0) > 0) {
    co_return failed(Reason::kMalformed, "response cut off");
  }
  h2::Headers headers = {
      {":status", std::to_string(response.status == 101 ? 200 : response.status)}};
  for (h2::Header& header : response.headers) {
    if (header.name != "upgrade") headers.push_back(std::move(header));
  }
  finished_ = end;
  state_->finished = end;
  const auto done = state_->session->h2_.respond(state_->id, headers, end);
  state_->session->wake_writer();
  co_return done;
}

io::Task<Result<Done>> Http2ServerStream::write(std::span<const std::byte> bytes) {
  if (is_head_request_) co_return Done{};
  if (length_left_) {
    if (bytes.size() > *length_left_) co_return failed(Reason::kMalformed, "response too long");
    *length_left_ -= bytes.size();
  }
  co_return co_await state_->write(bytes);
}

io::Task<Result<Done>> Http2ServerStream::finish(const h2::Headers& trailers) {
  if (finished_) co_return Done{};
  if (length_left_.value_or(0) > 0) co_return failed(Reason::kMalformed, "response cut off");
  finished_ = true;
  co_return state_->finish(trailers);
}

// ---- as we ask ----

Http2ClientStream::~Http2ClientStream() {
  if (!state_ || state_->session == nullptr) return;
  if (state_->ended && state_->finished) return;
  state_->reset(state_->ended ? h2::ErrorCode::kNoError : h2::ErrorCode::kCancel);
}

// A peer says what it offers in its first SETTINGS.
io::Task<Result<bool>> Http2ClientStream::takes_upgrades() {
  CO_TRY_DO(co_await io::with_deadline(session_.ring_, Http2Session::kSettingsWithin, "SETTINGS",
                                       session_.wait_for_settings()));
  co_return session_.h2_.peer_offers_connect();
}

io::Task<Result<Done>> Http2ClientStream::send(const Request& request, bool end) {
  if (!session_.accepts_requests()) co_return failed(Reason::kDraining, "http/2 connection");
  protocol_ = request.protocol;
  const bool extended = !protocol_.empty();
  if (extended && !session_.h2_.peer_offers_connect()) {
    co_return failed(Reason::kProtocol, "extended CONNECT is not offered");
  }
  h2::Headers headers = {{":method", extended ? "CONNECT" : request.method},
                         {":scheme", request.scheme},
                         {":authority", request.authority},
                         {":path", request.path}};
  if (extended) headers.push_back({":protocol", protocol_});
  headers.insert(headers.end(), request.headers.begin(), request.headers.end());
  CO_TRY(const h2::StreamId id, session_.h2_.request(headers, end));
  state_ = std::make_shared<Http2State>(session_.ring_, session_, id);
  state_->finished = end;
  // The length that an answer to CONNECT claims says nothing about what comes then.
  state_->bodiless = extended || request.method == "HEAD";
  session_.states_.emplace(id, state_);
  session_.idle_at_.reset();
  session_.wake_writer();
  co_return Done{};
}

io::Task<Result<Done>> Http2ClientStream::write(std::span<const std::byte> bytes) {
  co_return co_await state_->write(bytes);
}

io::Task<Result<Done>> Http2ClientStream::finish(const h2::Headers& trailers) {
  co_return state_->finish(trailers);
}

io::Task<Result<Response>> Http2ClientStream::read_head() {
  Http2State& state = *state_;
  for (;;) {
    if (!state.interims.empty()) {
      Response interim = std::move(state.interims.front());
      state.interims.erase(state.interims.begin());
      co_return interim;
    }
    if (state.has_head) break;
    if (state.failure) co_return std::unexpected(failure_of(state));
    if (!co_await state.readable.wait()) co_return failed(Reason::kCancelled, "http/2 response");
  }
  Response response{.status = h2::status_of(state.head), .headers = std::move(state.head)};
  drop_pseudo(response.headers);
  if (!protocol_.empty() && response.status / 100 == 2) {
    response.status = 101;
    std::erase_if(response.headers,
                  [](const h2::Header& header) { return header.name == "content-length"; });
    response.headers.push_back({"upgrade", protocol_});
  }
  co_return response;
}

bool Http2ClientStream::was_refused() const {
  return state_ && state_->reset_code == h2::ErrorCode::kRefusedStream;
}

bool Http2ClientStream::was_stale() const {
  return !state_ || (state_->failure && !state_->reset_code && !state_->heard);
}

}  // namespace mesh::waypoint::wire
