#include "waypoint/callout.h"

#include <algorithm>
#include <utility>

#include "mesh/grpc/response.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"

namespace mesh::waypoint {
namespace {

constexpr int kTries = 2;

io::Duration bounded(io::Duration timeout) {
  return timeout <= io::Duration::zero() ? kCalloutMax : std::min(timeout, kCalloutMax);
}

// A place in a cluster, an endpoint of it, and a stream to that.
class Line {
 public:
  Line(RingContext& context, config::SnapshotPtr snapshot, const config::Cluster& cluster,
       const Aim* aim)
      : context_(context),
        snapshot_(std::move(snapshot)),
        cluster_(cluster),
        aim_(aim),
        place_(aim != nullptr ? aim->breaker : context.fleet.breaker(*snapshot_, cluster, false)) {}
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  io::Task<Result<Done>> open(wire::Version version, Upstreams::Reuse reuse) {
    stream_.reset();
    if (!place_.fits()) co_return failed(Reason::kExhausted, "callout: overflow");
    picked_.reset();
    if (aim_ == nullptr) {
      auto next = context_.fleet.pick(*snapshot_, cluster_, {});
      if (!next) co_return failed(Reason::kNoEndpoint, "callout");
      picked_.emplace(*std::move(next));
    }
    begun_ = context_.ring.now();
    auto opened = co_await context_.upstreams.open(
        cluster_, picked_ ? picked_->endpoint : aim_->endpoint, version, place_.breaker(), reuse);
    if (!opened) {
      if (opened.error().reason != Reason::kCancelled) told(balance::HostResult::kLocalFailure);
      co_return std::unexpected(opened.error());
    }
    stream_ = std::move(opened->stream);
    co_return Done{};
  }

  // How the endpoint did; once.
  void told(balance::HostResult result) {
    if (!picked_) return;
    context_.fleet.finished(cluster_, *picked_, result, context_.ring.now() - begun_);
    picked_.reset();
  }
  void told(const Error& error) {
    if (error.reason != Reason::kCancelled) told(balance::HostResult::kLocalFailure);
  }

  wire::ClientStream& stream() { return *stream_; }

 private:
  RingContext& context_;
  config::SnapshotPtr snapshot_;
  const config::Cluster& cluster_;
  const Aim* aim_;
  balance::Place place_;
  std::optional<Picked> picked_;
  std::unique_ptr<wire::ClientStream> stream_;
  io::TimePoint begun_{};
};

template <class Call>
const config::Cluster* cluster_of(const config::SnapshotPtr& snapshot, const Call& call) {
  if (call.aim != nullptr) return &call.aim->cluster;
  return call.cluster.empty() ? nullptr : snapshot->cluster(call.cluster);
}

io::Task<Result<wire::Response>> final_head(wire::ClientStream& stream) {
  for (int interims = 0; interims <= kCalloutInterimsMax; ++interims) {
    CO_TRY(wire::Response head, co_await stream.read_head());
    if (head.status >= 200) co_return head;
    if (head.status == 101) break;
  }
  co_return failed(Reason::kProtocol, "callout: interim responses");
}

// ---- HTTP ----

io::Task<void> send_rest(wire::ClientStream& stream, std::string_view body) {
  // A server that takes no more may have answered already: its answer tells.
  const auto sent = co_await stream.write(std::as_bytes(std::span(body)));
  if (sent) (void)co_await stream.finish({});
}

io::Task<Result<HttpAnswer>> read_answer(wire::ClientStream& stream, std::size_t most) {
  CO_TRY(wire::Response head, co_await final_head(stream));
  HttpAnswer answer{.status = head.status, .headers = std::move(head.headers)};
  while (!stream.ended()) {
    CO_TRY(const tls::Slice part, co_await stream.read());
    if (part.empty()) break;
    if (part.size() > most - answer.body.size()) {
      co_return failed(Reason::kTooLarge, "callout: answer");
    }
    answer.body.append(reinterpret_cast<const char*>(part.bytes().data()), part.size());
  }
  co_return answer;
}

io::Task<Result<HttpAnswer>> ask(wire::ClientStream& stream, const HttpCall& call) {
  CO_TRY_DO(co_await stream.send(call.request, call.body.empty()));
  io::TaskScope sending(co_await io::current_cancel());
  if (!call.body.empty()) sending.spawn(send_rest(stream, call.body));
  auto answer = co_await read_answer(stream, call.response_max);
  sending.cancel();
  co_await sending.join();
  co_return answer;
}

io::Task<Result<HttpAnswer>> try_http(Line& line, const HttpCall& call, wire::Version version) {
  auto reuse = Upstreams::Reuse::kAny;
  for (int tries = 1;; ++tries) {
    CO_TRY_DO(co_await line.open(version, reuse));
    auto answer = co_await ask(line.stream(), call);
    if (answer) {
      line.told(balance::result_of_status(answer->status));
      co_return answer;
    }
    if (!line.stream().was_stale() || answer.error().reason == Reason::kCancelled ||
        tries >= kTries) {
      line.told(answer.error());
      co_return answer;
    }
    reuse = Upstreams::Reuse::kNew;
  }
}

// ---- gRPC ----

http::Request head_of(const GrpcCall& call, std::optional<io::Duration> timeout) {
  http::Request request{.method = "POST",
                        .authority = call.authority.empty() ? call.cluster : call.authority,
                        .path = call.path,
                        .headers = {{"te", "trailers"}, {"content-type", "application/grpc"}}};
  if (timeout) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*timeout);
    request.headers.push_back({"grpc-timeout", std::to_string(ms.count()) + "m"});
  }
  request.headers.insert(request.headers.end(), call.metadata.begin(), call.metadata.end());
  return request;
}

// What a call's end says about the server, not about the question.
balance::HostResult result_of(const grpc::Status& status) {
  using enum grpc::StatusCode;
  switch (status.code) {
    case kUnavailable:
      return balance::HostResult::kGatewayError;
    case kUnknown:
    case kInternal:
    case kDataLoss:
    case kUnimplemented:
      return balance::HostResult::kServerError;
    default:
      return balance::HostResult::kSuccess;
  }
}

class LineStream final : public GrpcStream {
 public:
  LineStream(RingContext& context, config::SnapshotPtr snapshot, const config::Cluster& cluster,
             const GrpcCall& call)
      : line_(context, std::move(snapshot), cluster, call.aim), response_(call.message_max) {}

  io::Task<Result<Done>> begin(http::Request request) {
    for (int tries = 1;; ++tries) {
      CO_TRY_DO(co_await line_.open(wire::Version::kHttp2, Upstreams::Reuse::kAny));
      const auto sent = co_await line_.stream().send(request, false);
      if (sent) co_return sent;
      if (!line_.stream().was_stale() || tries >= kTries) {
        line_.told(sent.error());
        co_return sent;
      }
    }
  }

  io::Task<Result<Done>> send(std::string_view message) override {
    const std::string framed = grpc::frame_message(message);
    co_return co_await line_.stream().write(std::as_bytes(std::span(framed)));
  }
  io::Task<Result<Done>> finish_sending() override { co_return co_await line_.stream().finish({}); }
  io::Task<Result<std::optional<std::string>>> receive() override {
    auto next = co_await receive_next();
    if (!next) {
      line_.told(next.error());
    } else if (!*next) {
      line_.told(result_of(response_.status()));
    }
    co_return next;
  }
  const grpc::Status& status() const override { return response_.status(); }
  // The connection was dead before anything came.
  bool was_stale() { return line_.stream().was_stale(); }
  void told(const Error& error) { line_.told(error); }

 private:
  void take(const h2::Headers& headers, std::string_view status, bool end) {
    std::vector<grpc::HeaderView> views;
    if (!status.empty()) views.push_back({":status", status});
    for (const h2::Header& header : headers) views.push_back({header.name, header.value});
    response_.on_headers(views, end);
  }

  io::Task<Result<std::optional<std::string>>> receive_next() {
    wire::ClientStream& stream = line_.stream();
    if (!headed_) {
      CO_TRY(const wire::Response head, co_await final_head(stream));
      headed_ = true;
      // All of it may be here: a head that is everything, or one with trailers and nothing between.
      const bool over = stream.ended();
      const h2::Headers trailers = over ? stream.take_trailers() : h2::Headers();
      take(head.headers, std::to_string(head.status), over && trailers.empty());
      if (!trailers.empty()) take(trailers, {}, true);
    }
    for (;;) {
      while (!rest_.empty()) {
        std::span<const std::byte> bytes = rest_.bytes();
        auto message = response_.feed(bytes);
        rest_.drop_front(rest_.size() - bytes.size());
        if (!message) {
          stream.reset(h2::ErrorCode::kCancel);
          co_return std::unexpected(message.error());
        }
        if (*message) co_return message;
      }
      if (response_.ended()) co_return std::nullopt;
      CO_TRY(rest_, co_await stream.read());
      if (!rest_.empty()) continue;
      const h2::Headers trailers = stream.take_trailers();
      if (trailers.empty()) {
        response_.on_end();
      } else {
        take(trailers, {}, true);
      }
    }
  }

  Line line_;
  grpc::ResponseReader response_;
  tls::Slice rest_;
  bool headed_ = false;
};

io::Task<Result<std::unique_ptr<LineStream>>> open_stream(RingContext& context,
                                                          config::SnapshotPtr snapshot,
                                                          const GrpcCall& call,
                                                          std::optional<io::Duration> timeout) {
  const config::Cluster* cluster = cluster_of(snapshot, call);
  if (cluster == nullptr) co_return failed(Reason::kNoEndpoint, "callout: no such cluster");
  auto stream = std::make_unique<LineStream>(context, std::move(snapshot), *cluster, call);
  CO_TRY_DO(co_await stream->begin(head_of(call, timeout)));
  co_return stream;
}

io::Task<void> send_only(GrpcStream& stream, std::string_view message) {
  const auto sent = co_await stream.send(message);
  if (sent) (void)co_await stream.finish_sending();
}

io::Task<Result<GrpcAnswer>> read_only(GrpcStream& stream) {
  GrpcAnswer answer;
  CO_TRY(auto message, co_await stream.receive());
  if (message) {
    answer.message = *std::move(message);
    CO_TRY(const auto more, co_await stream.receive());
    if (more) co_return failed(Reason::kProtocol, "callout: a second message");
  }
  answer.status = stream.status();
  if (answer.status.ok() && !message) co_return failed(Reason::kProtocol, "callout: no message");
  co_return answer;
}

io::Task<Result<GrpcAnswer>> try_grpc(RingContext& context, config::SnapshotPtr snapshot,
                                      const GrpcCall& call, const std::string& message,
                                      std::unique_ptr<LineStream>& stream) {
  for (int tries = 1;; ++tries) {
    stream.reset();
    CO_TRY(stream, co_await open_stream(context, snapshot, call, bounded(call.timeout)));
    io::TaskScope sending(co_await io::current_cancel());
    sending.spawn(send_only(*stream, message));
    auto answer = co_await read_only(*stream);
    sending.cancel();
    co_await sending.join();
    const bool again = !answer && answer.error().reason != Reason::kCancelled &&
                       stream->was_stale() && tries < kTries;
    if (!again) co_return answer;
  }
}

io::Task<Result<std::unique_ptr<GrpcStream>>> open_any(RingContext& context,
                                                       config::SnapshotPtr snapshot,
                                                       const GrpcCall& call) {
  CO_TRY(std::unique_ptr<GrpcStream> stream,
         co_await open_stream(context, std::move(snapshot), call, std::nullopt));
  co_return stream;
}

}  // namespace

io::Task<Result<HttpAnswer>> call_http(RingContext& context, config::SnapshotPtr snapshot,
                                       HttpCall call) {
  const config::Cluster* cluster = cluster_of(snapshot, call);
  if (cluster == nullptr) co_return failed(Reason::kNoEndpoint, "callout: no such cluster");
  if (call.request.authority.empty()) call.request.authority = call.cluster;
  const bool framed = h2::find_header(call.request.headers, "content-length").has_value();
  if (framed || !call.body.empty()) {
    http::set_header(call.request.headers, "content-length", std::to_string(call.body.size()));
  }
  const auto version = cluster->http.version == config::Http::Version::kHttp2
                           ? wire::Version::kHttp2
                           : wire::Version::kHttp1;
  Line line(context, std::move(snapshot), *cluster, call.aim);
  auto answer = co_await io::with_deadline(context.ring, bounded(call.timeout), "callout",
                                           try_http(line, call, version));
  if (!answer) line.told(answer.error());
  co_return answer;
}

io::Task<Result<GrpcAnswer>> call_grpc(RingContext& context, config::SnapshotPtr snapshot,
                                       GrpcCall call, std::string message) {
  std::unique_ptr<LineStream> stream;
  auto answer =
      co_await io::with_deadline(context.ring, bounded(call.timeout), "callout",
                                 try_grpc(context, std::move(snapshot), call, message, stream));
  if (!answer && stream) stream->told(answer.error());
  co_return answer;
}

io::Task<Result<std::unique_ptr<GrpcStream>>> GrpcStream::open(RingContext& context,
                                                               config::SnapshotPtr snapshot,
                                                               GrpcCall call) {
  co_return co_await io::with_deadline(context.ring, bounded(call.timeout), "callout",
                                       open_any(context, std::move(snapshot), call));
}

}  // namespace mesh::waypoint
