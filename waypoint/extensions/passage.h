#pragma once
// Passage: a request's stream on its way through an exchange, where services come between: its body
// read ahead for those that are shown it before anybody decides, and both bodies, the response's
// head and the trailers changed by a Processor.
//
// Limits: read_ahead() holds what it was asked for and at most one part more; a body that a
// processor wants whole, kBufferedMax: beyond it 413, or 500 for a response; if a beginning will
// do, that much and at most one part more is its.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "waypoint/local_reply.h"
#include "waypoint/wire/stream.h"

namespace mesh::waypoint::extensions {

class Processor;

class Passage final : public wire::ServerStream {
 public:
  explicit Passage(wire::ServerStream& inner);
  ~Passage() override;

  // Until more than `most` bytes are held, or there is no more. True: that was all of it. Errors:
  // those of read().
  io::Task<Result<bool>> read_ahead(std::size_t most);
  std::string_view held() const { return std::string_view(held_).substr(taken_); }
  // Another body than the client's, which is dropped.
  void replace_request(std::string body, http::Request& request);

  // From now on `processor` comes between. `grpc`: the caller speaks it.
  void process_by(std::unique_ptr<Processor> processor, bool grpc);
  // What goes out from here on is none of its business.
  void stand_aside();
  Processor* processor() const { return processor_.get(); }
  // The processor sees the body, of which all was read ahead, and the trailers. Errors: as
  // Processor::body().
  io::Task<Result<Done>> process_request(http::Request& request);
  // It sees what was read ahead of a larger body; the rest passes as it is. Errors: the same.
  io::Task<Result<Done>> process_beginning(http::Request& request);
  // The body of the request goes through the processor, part by part.
  void stream_request() { request_ = Request::kStreamed; }
  // What the client got, or is to get, in place of the response.
  const LocalReply* replaced() const { return replaced_ ? &*replaced_ : nullptr; }
  // The client has all that it gets, though the endpoint's answer is not over.
  bool settled() const { return settled_; }
  // What the processor said instead of the rest of the request, if the client has no answer yet.
  const LocalReply* refusal() const;

  wire::Version version() const override { return inner_.version(); }
  wire::Request take_request() override { return inner_.take_request(); }
  io::Task<Result<tls::Slice>> read() override;
  bool request_ended() const override;
  h2::Headers take_trailers() override;
  io::Task<Result<Done>> respond_interim(const wire::Response& response) override {
    return inner_.respond_interim(response);
  }
  io::Task<Result<Done>> respond(wire::Response response, bool end) override;
  io::Task<Result<Done>> write(std::span<const std::byte> bytes) override;
  io::Task<Result<Done>> finish(const h2::Headers& trailers) override;
  bool answered() const override { return gathering_ || inner_.answered(); }
  bool finished() const override { return inner_.finished(); }
  void reset(h2::ErrorCode code) override { inner_.reset(code); }

 private:
  enum class Request : std::uint8_t { kPlain, kStreamed, kReplaced, kRest };
  enum class Response : std::uint8_t { kPlain, kStreamed, kGathered, kRest };

  io::Task<Result<tls::Slice>> read_held();
  io::Task<Result<tls::Slice>> read_processed();
  io::Task<Result<tls::Slice>> read_rest();
  io::Task<Result<tls::Slice>> end_request();
  io::Task<Result<Done>> respond_processed(wire::Response response, bool end);
  io::Task<Result<Done>> respond_whole(wire::Response response, std::string body,
                                       const h2::Headers& trailers);
  io::Task<Result<Done>> respond_beginning();
  io::Task<Result<Done>> write_processed(std::span<const std::byte> bytes);
  io::Task<Result<Done>> finish_processed(h2::Headers trailers);
  io::Task<Result<Done>> replace(LocalReply reply);

  wire::ServerStream& inner_;
  std::string held_;
  std::size_t taken_ = 0;  // of `held_`
  std::unique_ptr<Processor> processor_;
  bool grpc_ = false;
  Request request_ = Request::kPlain;
  bool request_done_ = false;
  bool lost_ = false;  // a part was read and its answer not waited for
  h2::Headers trailers_;
  Response response_ = Response::kPlain;
  bool gathering_ = false;
  bool may_be_part_ = false;  // of `gathered_`: a beginning will do
  wire::Response head_;       // held back while the body is gathered
  std::string gathered_;
  bool settled_ = false;
  std::string server_name_;
  std::optional<LocalReply> replaced_;
};

}  // namespace mesh::waypoint::extensions
