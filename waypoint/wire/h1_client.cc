#include "waypoint/wire/h1_client.h"

#include <utility>

namespace mesh::waypoint::wire {
namespace {

constexpr std::size_t kLingerMax = 64 * 1024;

}  // namespace

class Http1Client::Stream final : public ClientStream {
 public:
  Stream(Http1Client& client, std::move_only_function<void()> done)
      : client_(client), done_(std::move(done)), reused_(client.requests_ > 1) {}
  ~Stream() override {
    client_.busy_ = false;
    if (sent_ && !over()) reset(h2::ErrorCode::kCancel);
    if (sent_ && (!keep_alive_ || upgraded_)) client_.spent_ = true;
    pending_.clear();
    if (done_) done_();
  }

  Version version() const override { return Version::kHttp1; }
  io::Task<Result<Done>> send(const Request& request, bool end) override;
  io::Task<Result<Done>> write(std::span<const std::byte> bytes) override;
  io::Task<Result<Done>> finish(const h2::Headers& trailers) override;
  io::Task<Result<Response>> read_head() override;
  io::Task<Result<tls::Slice>> read() override;
  bool ended() const override { return !upgraded_ && final_ && input_ended_ && pending_.empty(); }
  h2::Headers take_trailers() override { return client_.parser_.take_trailers(); }
  void reset(h2::ErrorCode) override {
    client_.broken_ = true;
    client_.wire_->reset();
  }
  bool was_refused() const override { return false; }
  bool was_stale() const override { return reused_ && !heard_; }

 private:
  enum class Body : std::uint8_t { kNone, kLength, kChunked, kRaw };

  bool over() const { return request_done_ && ended(); }
  io::Task<Result<Done>> receive();
  Result<bool> take_input();  // true: a head came
  Result<Response> take_head();

  Http1Client& client_;
  std::move_only_function<void()> done_;
  bool reused_;
  bool sent_ = false;
  bool heard_ = false;  // a byte of the answer came
  bool keep_alive_ = true;
  bool upgraded_ = false;
  bool request_done_ = false;
  bool final_ = false;
  bool input_ended_ = false;
  Body body_ = Body::kNone;
  std::uint64_t body_left_ = 0;
  std::string method_;
  std::string protocol_;  // asked for
  h1::ResponseHead head_;
  std::vector<tls::Slice> pending_;
};

Http1Client::Http1Client(std::unique_ptr<Wire> wire, const h1::Limits& limits)
    : wire_(std::move(wire)), parser_(h1::Parser::Kind::kResponses, limits) {}

bool Http1Client::reusable() const {
  return !busy_ && !broken_ && !spent_ && rest_.empty() && wire_->quiet();
}

io::Task<Result<Done>> Http1Client::close() {
  MESH_CHECK(!busy_);
  if (broken_) co_return failed(Reason::kPeerReset, "http/1 connection");
  spent_ = true;
  CO_TRY_DO(wire_->finish_sending());
  co_return co_await linger(*wire_, kLingerMax);
}

std::unique_ptr<ClientStream> Http1Client::begin(std::move_only_function<void()> done) {
  MESH_CHECK(!busy_);
  busy_ = true;
  ++requests_;
  return std::make_unique<Stream>(*this, std::move(done));
}

// ---- asking ----

io::Task<Result<Done>> Http1Client::Stream::send(const Request& request, bool end) {
  if (!h1::is_sendable(request.headers)) co_return failed(Reason::kMalformed, "request headers");
  CO_TRY(const auto length, content_length(request.headers));
  method_ = request.method;
  protocol_ = request.protocol;
  client_.parser_.expect_response_to(method_);
  h1::HeadOptions options;
  if (!protocol_.empty()) {
    options.upgrade = protocol_;
    body_ = length ? Body::kLength : Body::kNone;
  } else if (length) {
    body_ = Body::kLength;
  } else if (end) {
    body_ = Body::kNone;
  } else {
    body_ = Body::kChunked;
    options.chunked = true;
  }
  body_left_ = length.value_or(0);
  if (end && body_left_ > 0) co_return failed(Reason::kMalformed, "request cut off");
  request_done_ = end;
  std::string head;
  h1::append_request(head, request.method, request.path, request.authority, request.headers,
                     options);
  sent_ = true;
  co_return co_await client_.wire_->send_all(std::as_bytes(std::span(head)));
}

io::Task<Result<Done>> Http1Client::Stream::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) co_return Done{};
  Wire& wire = *client_.wire_;
  switch (upgraded_ ? Body::kRaw : body_) {
    case Body::kNone:
      co_return failed(Reason::kMalformed, "body of a request without one");
    case Body::kLength:
      if (bytes.size() > body_left_) co_return failed(Reason::kMalformed, "request too long");
      body_left_ -= bytes.size();
      co_return co_await wire.send_all(bytes);
    case Body::kChunked: {
      char line[24];
      const std::string_view start = h1::chunk_line(bytes.size(), line);
      CO_TRY_DO(co_await wire.send_all(std::as_bytes(std::span(start))));
      CO_TRY_DO(co_await wire.send_all(bytes));
      co_return co_await wire.send_all(std::as_bytes(std::span(h1::kChunkEnd)));
    }
    case Body::kRaw:
      co_return co_await wire.send_all(bytes);
  }
  co_return failed(Reason::kMalformed, "request");
}

io::Task<Result<Done>> Http1Client::Stream::finish(const h2::Headers& trailers) {
  if (upgraded_) {
    request_done_ = true;
    co_return client_.wire_->finish_sending();
  }
  if (std::exchange(request_done_, true)) co_return Done{};
  if (body_ == Body::kLength && body_left_ > 0) {
    request_done_ = false;
    co_return failed(Reason::kMalformed, "request cut off");
  }
  if (body_ != Body::kChunked) co_return Done{};
  std::string last;
  h1::append_last_chunk(last, h1::is_sendable(trailers) ? trailers : h2::Headers{});
  co_return co_await client_.wire_->send_all(std::as_bytes(std::span(last)));
}

// ---- the answer ----

io::Task<Result<Done>> Http1Client::Stream::receive() {
  CO_TRY(client_.rest_, co_await client_.wire_->recv());
  if (!client_.rest_.empty()) {
    heard_ = true;
    co_return Done{};
  }
  keep_alive_ = false;
  if (!client_.parser_.in_message()) co_return failed(Reason::kPeerClosed, "http/1 response");
  if (!client_.parser_.finish()) co_return failed(Reason::kPeerClosed, "http/1 response cut off");
  input_ended_ = true;
  co_return Done{};
}

Result<bool> Http1Client::Stream::take_input() {
  std::vector<std::span<const std::byte>> body;
  tls::Slice& rest = client_.rest_;
  const h1::Parsed parsed = client_.parser_.parse(rest.bytes(), body);
  if (client_.parser_.fault() != h1::Fault::kNone) {
    keep_alive_ = false;
    return failed(client_.parser_.fault() == h1::Fault::kHeadersTooLarge ? Reason::kTooLarge
                                                                         : Reason::kMalformed,
                  "http/1 response");
  }
  for (const auto part : body) {
    pending_.push_back(rest.part({const_cast<std::byte*>(part.data()), part.size()}));
  }
  rest.drop_front(parsed.consumed);
  if (rest.empty()) rest = {};
  input_ended_ = parsed.end;
  if (parsed.head) head_ = client_.parser_.take_response();
  return parsed.head;
}

Result<Response> Http1Client::Stream::take_head() {
  Response response{.status = head_.status, .headers = std::move(head_.headers)};
  if (head_.status == 101) {
    if (protocol_.empty() || head_.upgrade != protocol_) {
      keep_alive_ = false;
      return failed(Reason::kMalformed, "an upgrade that was not asked for");
    }
    final_ = upgraded_ = true;
    response.headers.push_back({"upgrade", head_.upgrade});
    return response;
  }
  if (head_.status < 200) {
    client_.parser_.expect_response_to(method_);
    input_ended_ = false;
    return response;
  }
  final_ = true;
  keep_alive_ &= head_.keep_alive;
  return response;
}

io::Task<Result<Response>> Http1Client::Stream::read_head() {
  for (;;) {
    if (client_.rest_.empty()) CO_TRY_DO(co_await receive());
    if (client_.rest_.empty()) co_return failed(Reason::kPeerClosed, "http/1 response");
    CO_TRY(const bool head, take_input());
    if (head) co_return take_head();
  }
}

io::Task<Result<tls::Slice>> Http1Client::Stream::read() {
  for (;;) {
    if (!pending_.empty()) {
      tls::Slice part = std::move(pending_.front());
      pending_.erase(pending_.begin());
      co_return part;
    }
    if (upgraded_) {
      if (!client_.rest_.empty()) co_return std::exchange(client_.rest_, {});
      co_return co_await client_.wire_->recv();
    }
    if (input_ended_) co_return tls::Slice{};
    if (client_.rest_.empty()) {
      CO_TRY_DO(co_await receive());
      continue;
    }
    CO_TRY_DO(take_input());
  }
}

}  // namespace mesh::waypoint::wire
