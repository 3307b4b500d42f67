#include "waypoint/extensions/passage.h"

#include <algorithm>
#include <utility>

#include "waypoint/extensions/ext_proc.h"

namespace mesh::waypoint::extensions {
namespace {

constexpr std::size_t kPart = 16 * 1024;
using Body = config::ExtProc::Body;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// A response that has no body whatever its head says.
bool is_bodiless(int status) { return status == 101 || status == 204 || status == 304; }

}  // namespace

Passage::Passage(wire::ServerStream& inner) : inner_(inner) {}
Passage::~Passage() = default;

void Passage::stand_aside() { processor_.reset(); }

void Passage::process_by(std::unique_ptr<Processor> processor, bool grpc) {
  processor_ = std::move(processor);
  grpc_ = grpc;
}

const LocalReply* Passage::refusal() const {
  if (!processor_ || !processor_->refusal() || answered()) return nullptr;
  return &*processor_->refusal();
}

// ---- the request ----

io::Task<Result<bool>> Passage::read_ahead(std::size_t most) {
  while (held().size() <= most && !inner_.request_ended()) {
    CO_TRY(const tls::Slice part, co_await inner_.read());
    held_.append(reinterpret_cast<const char*>(part.bytes().data()), part.size());
    if (part.empty()) co_return true;
  }
  co_return inner_.request_ended();
}

void Passage::replace_request(std::string body, http::Request& request) {
  held_ = std::move(body);
  taken_ = 0;
  request_ = Request::kReplaced;
  http::remove_header(request.headers, "content-length");
  if (held_.empty() || !trailers_.empty()) return;
  http::set_header(request.headers, "content-length", std::to_string(held_.size()));
}

bool Passage::request_ended() const {
  switch (request_) {
    case Request::kPlain:
      return held().empty() && inner_.request_ended();
    case Request::kStreamed:
    case Request::kRest:
      return request_done_;
    case Request::kReplaced:
      return held().empty();
  }
  return false;
}

h2::Headers Passage::take_trailers() {
  return request_ == Request::kPlain ? inner_.take_trailers() : std::move(trailers_);
}

io::Task<Result<Done>> Passage::process_request(http::Request& request) {
  trailers_ = inner_.take_trailers();
  const bool told = !trailers_.empty() && processor_->sees_trailers(ProcessPart::kRequestTrailers);
  CO_TRY(std::string body, co_await processor_->body(ProcessPart::kRequestBody, std::string(held()),
                                                     !told, &request.headers));
  if (told) {
    CO_TRY_DO(co_await processor_->trailers(ProcessPart::kRequestTrailers, trailers_));
  }
  replace_request(std::move(body), request);
  co_return Done{};
}

io::Task<Result<Done>> Passage::process_beginning(http::Request& request) {
  CO_TRY(held_, co_await processor_->body(ProcessPart::kRequestBody, std::string(held()), false,
                                          &request.headers));
  taken_ = 0;
  request_ = Request::kRest;
  http::remove_header(request.headers, "content-length");
  co_return Done{};
}

io::Task<Result<tls::Slice>> Passage::read() {
  if (request_ == Request::kStreamed) return read_processed();
  if (request_ == Request::kRest) return read_rest();
  if (!held().empty() || request_ == Request::kReplaced) return read_held();
  return inner_.read();
}

io::Task<Result<tls::Slice>> Passage::read_held() {
  const std::string_view part = held().substr(0, kPart);
  tls::Slice slice = tls::Slice::copy_of(bytes_of(part));
  taken_ += part.size();
  if (held().empty()) {
    held_ = {};
    taken_ = 0;
  }
  co_return slice;
}

io::Task<Result<tls::Slice>> Passage::read_processed() {
  while (!request_done_) {
    if (lost_) co_return failed(Reason::kPeerReset, "a body that cannot be read again");
    tls::Slice part;
    if (!held().empty()) {
      CO_TRY(part, co_await read_held());
    } else {
      CO_TRY(part, co_await inner_.read());
    }
    if (part.empty()) co_return co_await end_request();
    lost_ = true;
    CO_TRY(const std::string body,
           co_await processor_->body(ProcessPart::kRequestBody, text_of(part.bytes()), false,
                                     nullptr));
    lost_ = false;
    if (!body.empty()) co_return tls::Slice::copy_of(bytes_of(body));
  }
  co_return tls::Slice{};
}

io::Task<Result<tls::Slice>> Passage::read_rest() {
  if (!held().empty()) co_return co_await read_held();
  if (request_done_) co_return tls::Slice{};
  CO_TRY(tls::Slice part, co_await inner_.read());
  if (!part.empty()) co_return part;
  trailers_ = inner_.take_trailers();
  if (lost_) co_return failed(Reason::kPeerReset, "trailers that cannot be read again");
  lost_ = true;
  if (!trailers_.empty() && processor_ &&
      processor_->sees_trailers(ProcessPart::kRequestTrailers)) {
    CO_TRY_DO(co_await processor_->trailers(ProcessPart::kRequestTrailers, trailers_));
  }
  lost_ = false;
  request_done_ = true;
  co_return tls::Slice{};
}

// Says that it is over, and gives what the processor adds to it.
io::Task<Result<tls::Slice>> Passage::end_request() {
  trailers_ = inner_.take_trailers();
  std::string last;
  lost_ = true;
  if (!trailers_.empty() && processor_->sees_trailers(ProcessPart::kRequestTrailers)) {
    CO_TRY_DO(co_await processor_->trailers(ProcessPart::kRequestTrailers, trailers_));
  } else {
    CO_TRY(last, co_await processor_->body(ProcessPart::kRequestBody, {}, true, nullptr));
  }
  lost_ = false;
  request_done_ = true;
  if (last.empty()) co_return tls::Slice{};
  co_return tls::Slice::copy_of(bytes_of(last));
}

// ---- the response ----

io::Task<Result<Done>> Passage::respond(wire::Response response, bool end) {
  if (!processor_) return inner_.respond(std::move(response), end);
  return respond_processed(std::move(response), end);
}

io::Task<Result<Done>> Passage::write(std::span<const std::byte> bytes) {
  if (response_ == Response::kPlain || response_ == Response::kRest) return inner_.write(bytes);
  return write_processed(bytes);
}

io::Task<Result<Done>> Passage::finish(const h2::Headers& trailers) {
  if (!processor_) return inner_.finish(trailers);
  return finish_processed(trailers);
}

io::Task<Result<Done>> Passage::respond_processed(wire::Response response, bool end) {
  server_name_ = h2::find_header(response.headers, "server").value_or("");
  // What the processor said instead of the request goes out as it is.
  const bool own = processor_->refusal().has_value();
  if (!own && processor_->sees_response_headers()) {
    auto done = co_await processor_->response_headers(response, end);
    if (done.refusal) co_return co_await replace(*std::move(done.refusal));
    if (done.body) {
      http::remove_header(response.headers, "content-length");
      CO_TRY_DO(co_await respond_whole(std::move(response), *std::move(done.body), {}));
      if (end) co_return Done{};
      settled_ = true;  // the rest of the endpoint's answer is for nobody
      co_return failed(Reason::kDenied, "ext_proc");
    }
  }
  if (end || own || is_bodiless(response.status)) {
    co_return co_await inner_.respond(std::move(response), end);
  }
  switch (processor_->response_body()) {
    case Body::kStreamed:
      response_ = Response::kStreamed;
      http::remove_header(response.headers, "content-length");
      break;
    case Body::kBuffered:
    case Body::kBufferedPartial:
      may_be_part_ = processor_->response_body() == Body::kBufferedPartial;
      response_ = Response::kGathered;
      gathering_ = true;
      head_ = std::move(response);
      co_return Done{};
    case Body::kNone:
    case Body::kDuplex:
      break;
  }
  co_return co_await inner_.respond(std::move(response), false);
}

io::Task<Result<Done>> Passage::respond_whole(wire::Response response, std::string body,
                                              const h2::Headers& trailers) {
  gathering_ = false;
  const bool end = body.empty() && trailers.empty();
  if (trailers.empty()) {
    http::set_header(response.headers, "content-length", std::to_string(body.size()));
  }
  CO_TRY_DO(co_await inner_.respond(std::move(response), end));
  if (end) co_return Done{};
  if (!body.empty()) CO_TRY_DO(co_await inner_.write(bytes_of(body)));
  co_return co_await inner_.finish(trailers);
}

// The processor sees what there is; the rest passes as it is.
io::Task<Result<Done>> Passage::respond_beginning() {
  auto body = co_await processor_->body(ProcessPart::kResponseBody, std::exchange(gathered_, {}),
                                        false, &head_.headers);
  if (!body) co_return co_await replace(processor_->why());
  gathering_ = false;
  response_ = Response::kRest;
  http::remove_header(head_.headers, "content-length");
  CO_TRY_DO(co_await inner_.respond(std::move(head_), false));
  if (body->empty()) co_return Done{};
  co_return co_await inner_.write(bytes_of(*body));
}

io::Task<Result<Done>> Passage::write_processed(std::span<const std::byte> bytes) {
  if (response_ == Response::kGathered) {
    if (bytes.size() > kBufferedMax - gathered_.size()) {
      if (may_be_part_) {
        gathered_.append(text_of(bytes));
        co_return co_await respond_beginning();
      }
      co_return co_await replace({.status = 500, .details = "response_payload_too_large"});
    }
    gathered_.append(text_of(bytes));
    co_return Done{};
  }
  auto body = co_await processor_->body(ProcessPart::kResponseBody, text_of(bytes), false, nullptr);
  if (!body) co_return co_await replace(processor_->why());
  if (body->empty()) co_return Done{};
  co_return co_await inner_.write(bytes_of(*body));
}

io::Task<Result<Done>> Passage::finish_processed(h2::Headers trailers) {
  if (inner_.finished()) co_return Done{};
  const bool told = !trailers.empty() && response_ != Response::kPlain &&
                    processor_->sees_trailers(ProcessPart::kResponseTrailers);
  std::string last;
  if (response_ == Response::kGathered) {
    auto body = co_await processor_->body(ProcessPart::kResponseBody, std::move(gathered_), !told,
                                          &head_.headers);
    if (!body) co_return co_await replace(processor_->why());
    last = *std::move(body);
  } else if (response_ == Response::kStreamed && !told) {
    auto body = co_await processor_->body(ProcessPart::kResponseBody, {}, true, nullptr);
    if (!body) co_return co_await replace(processor_->why());
    last = *std::move(body);
  }
  if (told || (!trailers.empty() && response_ == Response::kPlain &&
               processor_->sees_trailers(ProcessPart::kResponseTrailers))) {
    const auto done = co_await processor_->trailers(ProcessPart::kResponseTrailers, trailers);
    if (!done) co_return co_await replace(processor_->why());
  }
  if (response_ == Response::kGathered) {
    co_return co_await respond_whole(std::move(head_), std::move(last), trailers);
  }
  if (!last.empty()) CO_TRY_DO(co_await inner_.write(bytes_of(last)));
  CO_TRY_DO(co_await inner_.finish(trailers));
  co_await processor_->finish();
  co_return Done{};
}

// In place of the response, if nothing of it has gone out; else it is cut off. Always an error.
io::Task<Result<Done>> Passage::replace(LocalReply reply) {
  gathering_ = false;
  settled_ = true;
  replaced_ = std::move(reply);
  if (inner_.answered()) {
    inner_.reset(h2::ErrorCode::kInternalError);
    co_return failed(Reason::kDenied, "ext_proc");
  }
  FormedReply formed = form(*replaced_, grpc_);
  if (!server_name_.empty()) http::set_header(formed.response.headers, "server", server_name_);
  const bool empty = formed.body.empty();
  CO_TRY_DO(co_await inner_.respond(std::move(formed.response), empty));
  if (!empty) {
    CO_TRY_DO(co_await inner_.write(bytes_of(formed.body)));
    CO_TRY_DO(co_await inner_.finish({}));
  }
  co_return failed(Reason::kDenied, "ext_proc");
}

}  // namespace mesh::waypoint::extensions
