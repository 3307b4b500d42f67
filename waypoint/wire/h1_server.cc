#include "waypoint/wire/h1_server.h"

#include <utility>

#include "mesh/io/timer.h"

namespace mesh::waypoint::wire {

Http1Server::Http1Server(io::Ring& ring, Wire& wire, ServerHandler& handler,
                         Http1ServerOptions options)
    : ring_(ring),
      wire_(wire),
      handler_(handler),
      options_(options),
      parser_(h1::Parser::Kind::kRequests, options.limits) {}

void Http1Server::drain() {
  draining_ = true;
  if (idle_ != nullptr) idle_->request();
}

io::Task<Result<Done>> Http1Server::run() {
  for (;;) {
    CO_TRY(const bool more, co_await read_head());
    if (!more) break;
    is_head_request_ = head_.method == "HEAD";
    close_after_ = !head_.keep_alive || draining_;
    answered_ = finished_ = upgraded_ = false;
    co_await handler_.on_request(*this);
    if (!finished_) {
      wire_.reset();
      co_return failed(Reason::kPeerReset, "http/1 response cut off");
    }
    if (upgraded_ || close_after_ || draining_) break;
    const auto dropped =
        co_await io::with_deadline(ring_, kLinger, "rest of a request", drop_body());
    if (!dropped) break;
  }
  co_return co_await end_connection();
}

// ---- reading ----

io::Task<Result<tls::Slice>> Http1Server::receive_more() {
  // Between requests a drain may end the wait.
  io::CancelScope scope(co_await io::current_cancel());
  const bool idle = !parser_.in_message();
  if (idle && draining_) co_return tls::Slice{};
  if (idle) idle_ = &scope;
  auto received = co_await wire_.recv().under(scope);
  idle_ = nullptr;
  if (!received && idle && draining_) co_return tls::Slice{};
  co_return received;
}

io::Task<Result<bool>> Http1Server::read_head() {
  input_ended_ = false;
  pending_.clear();
  io::TimePoint until{};
  for (;;) {
    if (!rest_.empty()) {
      const auto head = take_input();
      if (!head) {
        CO_TRY_DO(co_await refuse(parser_.fault()));
        co_return failed(Reason::kMalformed, "http/1 request");
      }
      if (*head) co_return true;
    }
    if (parser_.in_message() && until == io::TimePoint{}) {
      until = ring_.now() + options_.headers_deadline;
    }
    const io::Duration limit = parser_.in_message() ? until - ring_.now() : options_.idle_deadline;
    auto received = co_await io::with_deadline(ring_, limit, "http/1 request head", receive_more());
    if (!received) {
      if (received.error().reason != Reason::kTimedOut) co_return std::unexpected(received.error());
      if (!parser_.in_message()) co_return false;
      CO_TRY_DO(co_await respond(handler_.on_bad_request({.status = 408}), true));
      CO_TRY_DO(co_await end_connection());
      co_return failed(Reason::kTimedOut, "http/1 request head");
    }
    if (received->empty()) {
      if (parser_.in_message()) co_return failed(Reason::kPeerClosed, "http/1 request head");
      co_return false;
    }
    rest_ = *std::move(received);
  }
}

Result<bool> Http1Server::take_input() {
  std::vector<std::span<const std::byte>> body;
  const h1::Parsed parsed = parser_.parse(rest_.bytes(), body);
  if (parser_.fault() != h1::Fault::kNone) return failed(Reason::kMalformed, "http/1 request");
  for (const auto part : body) {
    pending_.push_back(rest_.part({const_cast<std::byte*>(part.data()), part.size()}));
  }
  rest_.drop_front(parsed.consumed);
  if (rest_.empty()) rest_ = {};
  input_ended_ = parsed.end;
  if (parsed.head) head_ = parser_.take_request();
  return parsed.head;
}

Request Http1Server::take_request() {
  return {.method = std::move(head_.method),
          .authority = std::move(head_.authority),
          .path = std::move(head_.path),
          .headers = std::move(head_.headers),
          .protocol = std::move(head_.upgrade)};
}

io::Task<Result<tls::Slice>> Http1Server::read() {
  for (;;) {
    if (!pending_.empty()) {
      tls::Slice part = std::move(pending_.front());
      pending_.erase(pending_.begin());
      co_return part;
    }
    if (upgraded_) {
      if (!rest_.empty()) co_return std::exchange(rest_, {});
      co_return co_await wire_.recv();
    }
    if (input_ended_) co_return tls::Slice{};
    if (rest_.empty()) {
      CO_TRY(rest_, co_await wire_.recv());
      if (rest_.empty()) co_return failed(Reason::kPeerClosed, "http/1 request body");
    }
    CO_TRY_DO(take_input());
  }
}

io::Task<Result<Done>> Http1Server::drop_body() {
  for (std::size_t dropped = 0; !request_ended();) {
    CO_TRY(const tls::Slice part, co_await read());
    dropped += part.size();
    if (dropped > kDrainMax) co_return failed(Reason::kTooLarge, "rest of a request");
  }
  (void)parser_.take_trailers();
  co_return Done{};
}

// ---- answering ----

io::Task<Result<Done>> Http1Server::refuse(h1::Fault fault) {
  Response response = handler_.on_bad_request({.status = h1::status_of(fault), .fault = fault});
  close_after_ = true;
  answered_ = finished_ = false;
  CO_TRY_DO(co_await respond(std::move(response), true));
  co_return co_await end_connection();
}

io::Task<Result<Done>> Http1Server::respond_interim(const Response& response) {
  std::string head;
  h1::append_response(head, response.status, response.headers, {});
  co_return co_await wire_.send_all(std::as_bytes(std::span(head)));
}

io::Task<Result<Done>> Http1Server::respond(Response response, bool end) {
  answered_ = true;
  if (!h1::is_sendable(response.headers)) co_return failed(Reason::kMalformed, "response headers");
  h1::HeadOptions options;
  const bool bodiless = is_head_request_ || response.status == 204 || response.status == 304;
  CO_TRY(const auto length, content_length(response.headers));
  if (response.status == 101) {
    for (const h2::Header& header : response.headers) {
      if (header.name == "upgrade") options.upgrade = header.value;
    }
    upgraded_ = true;
    body_ = Body::kRaw;
  } else if (bodiless) {
    body_ = Body::kNone;
  } else if (length) {
    body_ = Body::kLength;
    body_left_ = *length;
    if (end && body_left_ > 0) co_return failed(Reason::kMalformed, "response cut off");
  } else if (end) {
    body_ = Body::kNone;
    response.headers.push_back({"content-length", "0"});
  } else {
    body_ = Body::kChunked;
    options.chunked = true;
  }
  // Who has more to say than we will drop is told that the connection ends here.
  if (end && !input_ended_ && !upgraded_) close_after_ = true;
  close_after_ |= draining_;
  options.close = close_after_;
  std::string upgrade(options.upgrade);
  options.upgrade = upgrade;
  std::erase_if(response.headers,
                [](const h2::Header& header) { return header.name == "upgrade"; });
  std::string head;
  h1::append_response(head, response.status, response.headers, options);
  finished_ = end;
  co_return co_await wire_.send_all(std::as_bytes(std::span(head)));
}

io::Task<Result<Done>> Http1Server::write(std::span<const std::byte> bytes) {
  if (bytes.empty() || finished_) co_return Done{};
  switch (body_) {
    case Body::kNone:
      if (is_head_request_) co_return Done{};
      co_return failed(Reason::kMalformed, "body of a response without one");
    case Body::kLength:
      if (bytes.size() > body_left_) co_return failed(Reason::kMalformed, "response too long");
      body_left_ -= bytes.size();
      co_return co_await wire_.send_all(bytes);
    case Body::kChunked: {
      char line[24];
      const std::string_view start = h1::chunk_line(bytes.size(), line);
      CO_TRY_DO(co_await wire_.send_all(std::as_bytes(std::span(start))));
      CO_TRY_DO(co_await wire_.send_all(bytes));
      co_return co_await wire_.send_all(std::as_bytes(std::span(h1::kChunkEnd)));
    }
    case Body::kRaw:
      co_return co_await wire_.send_all(bytes);
  }
  co_return failed(Reason::kMalformed, "response");
}

io::Task<Result<Done>> Http1Server::finish(const h2::Headers& trailers) {
  if (finished_) co_return Done{};
  if (body_ == Body::kLength && body_left_ > 0) {
    co_return failed(Reason::kMalformed, "response cut off");
  }
  if (body_ == Body::kChunked) {
    std::string last;
    h1::append_last_chunk(last, h1::is_sendable(trailers) ? trailers : h2::Headers{});
    CO_TRY_DO(co_await wire_.send_all(std::as_bytes(std::span(last))));
  }
  finished_ = true;
  if (body_ == Body::kRaw) co_return wire_.finish_sending();
  co_return Done{};
}

void Http1Server::reset(h2::ErrorCode) { wire_.reset(); }

io::Task<Result<Done>> Http1Server::end_connection() {
  CO_TRY_DO(wire_.finish_sending());
  (void)co_await io::with_deadline(ring_, kLinger, "close", linger(wire_, kDrainMax));
  co_return Done{};
}

}  // namespace mesh::waypoint::wire
