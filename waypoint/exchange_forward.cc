// The part of an exchange that asks an endpoint: pick, try, try again, answer.

#include <algorithm>
#include <array>
#include <utility>

#include "mesh/io/timer.h"
#include "waypoint/exchange.h"
#include "waypoint/route/deadlines.h"

namespace mesh::waypoint {
namespace {

constexpr int kInterimsMax = 16;  // of one response

// What may be asked twice without doing twice.
bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS" || method == "TRACE";
}

std::string reset_details(std::string_view why) {
  return "upstream_reset_before_response_started{" + std::string(why) + "}";
}

int grpc_status_in(const h2::Headers& headers) {
  const auto value = h2::find_header(headers, "grpc-status");
  if (!value || value->empty() || value->size() > 2) return -1;
  int status = 0;
  for (const char c : *value) {
    if (c < '0' || c > '9') return -1;
    status = status * 10 + (c - '0');
  }
  return status;
}

}  // namespace

struct Exchange::Pumping {
  wire::ClientStream& to;
  io::CancelScope& whole;  // what waits for the answer
};

io::Task<void> Exchange::forward() {
  using Kind = route::Decision::Kind;
  switch (decision_.kind) {
    case Kind::kNoRoute:
      co_return co_await answer({.status = 404, .flags = Flag::kNR, .details = "route_not_found"});
    case Kind::kNoTarget:
      co_return co_await answer(
          {.status = 500, .flags = Flag::kNC, .details = "no_cluster", .body = "no valid backend"});
    case Kind::kRedirect: {
      const auto& redirect = std::get<config::Redirect>(decision_.route->action);
      std::string location = route::redirect_location(redirect, decision_.route->match, request_);
      co_return co_await answer({.status = redirect.status,
                                 .details = "direct_response",
                                 .headers = {{"location", std::move(location)}}});
    }
    case Kind::kDirect: {
      const auto& direct = std::get<config::DirectResponse>(decision_.route->action);
      co_return co_await answer(
          {.status = direct.status, .details = "direct_response", .body = direct.body});
    }
    case Kind::kForward:
      break;
  }
  if (auto reply = allow_upgrade()) co_return co_await answer(*std::move(reply));
  if (auto reply = co_await meet_expectation()) co_return co_await answer(*std::move(reply));
  const config::Forward& forward = *decision_.forward();
  const config::Cluster* cluster = snapshot_->cluster(decision_.target->cluster);
  record_.cluster = decision_.target->cluster;
  if (cluster == nullptr) {
    co_return co_await answer(
        {.status = forward.cluster_not_found, .flags = Flag::kNC, .details = "cluster_not_found"});
  }
  record_.service_host = cluster->service_host;
  record_.service_name = cluster->service_name;
  record_.service_namespace = cluster->service_namespace;
  co_await forward_to(*cluster);
}

// "100-continue" is answered by the endpoint where the chain says so, else here.
io::Task<std::optional<LocalReply>> Exchange::meet_expectation() {
  const auto expected = http::header_text(request_.headers, "expect");
  if (!expected.present()) co_return std::nullopt;
  if (!config::equals_ignoring_case(expected.text(), "100-continue")) {
    co_return LocalReply{.status = 417, .flags = Flag::kDPE, .details = "expectation_failed"};
  }
  if (http_.proxy_100_continue) co_return std::nullopt;
  http::remove_header(request_.headers, "expect");
  if (!stream_.request_ended()) {
    (void)co_await stream_.respond_interim({.status = 100, .headers = {}});
  }
  co_return std::nullopt;
}

io::Task<void> Exchange::forward_to(const config::Cluster& cluster) {
  const config::Forward& forward = *decision_.forward();
  const balance::Place place(context_.fleet.breaker(*snapshot_, cluster, forward.high_priority));
  breaker_ = &place.breaker();
  if (!place.fits()) {
    co_return co_await answer({.status = 503,
                               .flags = Flag::kUO,
                               .details = reset_details("overflow"),
                               .body = "upstream overflow",
                               .headers = {{"x-envoy-overloaded", "true"}}});
  }
  const route::Hash hash =
      route::hash_of(forward.hash, request_, caller_.address.ip, context_.dice.roll());
  hash_ = hash.value;
  set_cookie_ = hash.set_cookie;
  const config::RetryPolicy* policy = forward.retry ? &*forward.retry : nullptr;
  retry_.emplace(policy, request_);
  choose_mirrors();
  const bool may_repeat = retry_->enabled() || is_idempotent(request_.method) || !mirrors_.empty();
  body_ = std::make_unique<RequestBody>(stream_, *clock_,
                                        may_repeat ? context_.limits.retry_body_max : 0);

  std::optional<Failure> failure;
  Tried tried = Tried::kOver;
  bool timed_out = false;
  {
    const route::Deadlines deadlines = route::deadlines(forward, request_);
    if (deadlines.expected.count() > 0) {
      http::set_header(request_.headers, "x-envoy-expected-rq-timeout-ms",
                       std::to_string(deadlines.expected.count()));
    }
    StreamClock limit(context_.ring, co_await io::current_cancel());
    all_tries_ = &limit;
    request_complete_ = [this, &limit, &deadlines] {
      limit.limit_whole(deadlines.whole);
      send_mirrors();
    };
    if (body_->none() || !request_.protocol.empty()) request_complete_();
    tried = co_await try_until_answered(cluster, failure).under(limit.scope);
    timed_out = limit.over() != StreamClock::Over::kNo;
    request_complete_ = {};
    all_tries_ = nullptr;
  }
  if (tried == Tried::kAnswered) {
    if (timed_out) record_.flags.add(Flag::kUT);
    co_return;
  }
  co_await answer_failure(std::move(failure), timed_out);
}

io::Task<void> Exchange::answer_failure(std::optional<Failure> failure, bool timed_out) {
  if (is_over()) co_return;
  if (passage_.refusal() != nullptr && !timed_out) {
    co_return co_await answer(LocalReply(*passage_.refusal()));
  }
  if (body_->client_failure() || (!failure && !timed_out)) {
    record_.flags.add(Flag::kDC);
    record_.details = "downstream_remote_disconnect";
    stream_.reset(h2::ErrorCode::kCancel);
    co_return;
  }
  if (timed_out) {
    failure = Failure{.reply = {.status = 504,
                                .flags = Flag::kUT,
                                .details = "response_timeout",
                                .body = "upstream request timeout"}};
    const config::Forward* forward = decision_.forward();
    failure->reply.grpc_deadline =
        forward != nullptr && route::deadlines(*forward, request_).of_caller;
  }
  co_await answer(std::move(failure->reply));
}

// ---- tries ----

io::Task<Exchange::Tried> Exchange::try_until_answered(const config::Cluster& cluster,
                                                       std::optional<Failure>& failure) {
  using What = balance::Breaker::What;
  const route::Deadlines deadlines = route::deadlines(*decision_.forward(), request_);
  bool holds_retry = false;
  Tried tried = Tried::kOver;
  for (;;) {
    failure.reset();
    wait_.reset();
    ++record_.attempts;
    StreamClock limit(context_.ring, co_await io::current_cancel(), clock_);
    limit.limit_whole(deadlines.per_try);
    limit.limit_idle(deadlines.per_try_idle);
    limit.limit_stream(cluster.http.max_stream_duration);
    try_clock_ = &limit;
    tried = co_await try_once(cluster, failure).under(limit.scope);
    try_clock_ = nullptr;
    if (std::exchange(holds_retry, false)) breaker_->release(What::kRetry);
    if (limit.over() != StreamClock::Over::kNo && !failure) {
      failure = too_long(limit.over());
      if (tried == Tried::kAnswered) {
        record_.flags.add(failure->reply.flags);
        record_.details = failure->reply.details;
      } else if (!body_->client_failure() && again_after(failure->why)) {
        tried = Tried::kAgain;
      }
    }
    if (tried != Tried::kAgain) break;
    holds_retry = wait_.has_value();
    if (wait_ && *wait_ > io::Duration::zero()) {
      const auto slept = co_await io::sleep_for(context_.ring, *wait_);
      if (!slept) {
        tried = Tried::kOver;
        failure.reset();
        break;
      }
    }
  }
  if (holds_retry) breaker_->release(What::kRetry);
  if (failure && retry_->enabled() && retry_->attempt() > 1 && retry_->wants(failure->why)) {
    failure->reply.flags.add(Flag::kURX);
  }
  co_return tried;
}

bool Exchange::timed_out() const {
  return std::ranges::any_of(std::array{clock_, all_tries_, try_clock_}, [](const auto* clock) {
    return clock != nullptr && clock->over() != StreamClock::Over::kNo;
  });
}

// Of a try.
Exchange::Failure Exchange::too_long(StreamClock::Over over) const {
  Failure failure{.reply = {.status = 504,
                            .flags = Flag::kUT,
                            .details = "upstream_per_try_timeout",
                            .body = "upstream request timeout"},
                  .why = balance::TryFailure::kTryTimeout};
  if (over == StreamClock::Over::kIdle) {
    failure.reply.flags = Flag::kSI;
    failure.reply.details = "upstream_per_try_idle_timeout";
  } else if (over == StreamClock::Over::kStream) {
    failure.reply.flags = Flag::kUMSDR;
    failure.reply.details = "upstream_max_stream_duration_reached";
  }
  return failure;
}

// True: another try, after wait_; a place among the retries under way is taken.
bool Exchange::again_after(balance::TryFailure why) {
  if (!body_->replayable() || !retry_->wants(why)) return false;
  if (!breaker_->acquire(balance::Breaker::What::kRetry)) return false;
  wait_ = retry_->next(nullptr, std::chrono::floor<std::chrono::seconds>(context_.ring.wall_now()),
                       context_.dice);
  if (!wait_) breaker_->release(balance::Breaker::What::kRetry);
  return wait_.has_value();
}

bool Exchange::again_after(const wire::Response& head) {
  if (!retry_->wants(head.status, head.headers)) return false;
  bool again = false;
  if (body_->replayable() && breaker_->acquire(balance::Breaker::What::kRetry)) {
    wait_ = retry_->next(&head.headers,
                         std::chrono::floor<std::chrono::seconds>(context_.ring.wall_now()),
                         context_.dice);
    again = wait_.has_value();
    if (!again) breaker_->release(balance::Breaker::What::kRetry);
  }
  if (!again) record_.flags.add(Flag::kURX);
  return again;
}

// ---- one try ----

io::Task<Exchange::Tried> Exchange::try_once(const config::Cluster& cluster,
                                             std::optional<Failure>& failure) {
  const config::Forward& forward = *decision_.forward();
  PickContext pick{.hash = hash_, .dialled = caller_.target};
  if (forward.retry && forward.retry->avoid_previous_hosts) {
    pick.tried = tried_;
    pick.attempts = std::max(forward.retry->host_attempts, 1u);
  }
  const auto picked = context_.fleet.pick(*snapshot_, cluster, pick);
  if (!picked) {
    failure = Failure{.reply = {.status = 503,
                                .flags = Flag::kUH,
                                .details = "no_healthy_upstream",
                                .body = "no healthy upstream"},
                      .why = balance::TryFailure::kOverflow};
    co_return Tried::kOver;
  }
  const config::Endpoint& endpoint = picked->endpoint;
  tried_.push_back(endpoint.key());
  note_upstream(endpoint);
  auto opened = co_await open_endpoint(cluster, endpoint);
  if (!opened) {
    if (opened.error().reason == Reason::kCancelled) co_return Tried::kOver;
    context_.fleet.finished(cluster, *picked, balance::HostResult::kLocalFailure, std::nullopt);
    failure = failure_of(opened.error(), nullptr);
    co_return again_after(failure->why) ? Tried::kAgain : Tried::kOver;
  }
  const int before = record_.status;
  record_.status = 0;
  const Tried tried = co_await ask_endpoint(*opened->stream, endpoint, failure);
  if (record_.status != 0) {
    context_.fleet.finished(cluster, *picked, balance::result_of_status(record_.status),
                            record_.upstream_time);
  } else if (failure) {
    context_.fleet.finished(cluster, *picked, balance::HostResult::kLocalFailure, std::nullopt);
  }
  if (tried != Tried::kAnswered) record_.status = before;
  co_return tried;
}

io::Task<Exchange::Tried> Exchange::ask_endpoint(wire::ClientStream& upstream,
                                                 const config::Endpoint& endpoint,
                                                 std::optional<Failure>& failure) {
  const bool upgrade = !request_.protocol.empty();
  const bool end = body_->none() && !upgrade;
  sent_at_ = context_.ring.now();
  http::Request request = request_for(endpoint);
  if (upgrade) begin_handshake(request, upstream.version());
  io::CancelScope whole(co_await io::current_cancel());
  io::TaskScope pumps(co_await io::current_cancel());
  Pumping pumping{.to = upstream, .whole = whole};
  Result<Done> sent = co_await upstream.send(request, end);
  Result<wire::Response> head = failed(Reason::kCancelled, "request");
  bool answered = false;
  if (sent) {
    if (!end && !upgrade) pumps.spawn(pump(pumping));
    head = co_await read_final_head(upstream).under(whole);
    if (upgrade && head) head = finish_handshake(*std::move(head));
    if (head && again_after(*head)) {
      record_.status = head->status;
      pumps.cancel();
      co_await pumps.join();
      co_return Tried::kAgain;
    }
    if (head) {
      answered = true;
      const auto relayed = co_await relay_response(upstream, *std::move(head)).under(whole);
      if (!relayed) {
        // What began cannot be taken back; the client sees that it is not whole.
        upstream.reset(h2::ErrorCode::kCancel);
        if (!stream_.finished()) stream_.reset(h2::ErrorCode::kInternalError);
      }
    }
  } else {
    head = std::unexpected(sent.error());
  }
  pumps.cancel();
  co_await pumps.join();
  if (answered) co_return Tried::kAnswered;
  if (body_->client_failure() || head.error().reason == Reason::kCancelled) co_return Tried::kOver;
  failure = failure_of(head.error(), &upstream);
  // A connection that had died while it was kept is nobody's fault: once more, without being asked.
  const bool untouched = upstream.was_stale() && is_idempotent(request_.method);
  if (untouched && body_->replayable() && !std::exchange(repeated_unasked_, true)) {
    co_return Tried::kAgain;
  }
  co_return again_after(failure->why) ? Tried::kAgain : Tried::kOver;
}

io::Task<void> Exchange::pump(Pumping& pumping) {
  const auto done = co_await body_->pump(pumping.to, request_complete_);
  // An endpoint that takes no more may still answer; a client that is gone wants no answer.
  if (!done && body_->client_failure()) pumping.whole.request();
}

http::Request Exchange::request_for(const config::Endpoint& endpoint) {
  http::Request request = request_;
  const route::FormatContext context = format_context();
  route::rewrite_request(*http_.routes, decision_, context, request);
  if (decision_.forward()->auto_host_rewrite && !endpoint.hostname.empty()) {
    request.authority = endpoint.hostname;
  }
  if (decision_.host != nullptr && decision_.host->include_attempt_count) {
    http::set_header(request.headers, "x-envoy-attempt-count", std::to_string(record_.attempts));
  }
  return request;
}

// ---- the response ----

io::Task<Result<wire::Response>> Exchange::read_final_head(wire::ClientStream& upstream) {
  for (int interims = 0; interims <= kInterimsMax; ++interims) {
    CO_TRY(wire::Response head, co_await upstream.read_head());
    if (head.status >= 200 || head.status == 101) co_return head;
    clock_->touch();
    CO_TRY_DO(co_await stream_.respond_interim(head));
  }
  co_return failed(Reason::kProtocol, "interim responses without end");
}

io::Task<Result<Done>> Exchange::relay_response(wire::ClientStream& upstream, wire::Response head) {
  clock_->touch();
  try_clock_->limit_whole({});  // there will be no other try: this one may go on
  record_.status = head.status;
  record_.details = "via_upstream";
  record_.upstream_time = context_.ring.now() - sent_at_;
  record_.grpc_status = is_grpc_ ? grpc_status_in(head.headers) : -1;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(record_.upstream_time);
  dress_response(head);
  http::set_header(head.headers, "x-envoy-upstream-service-time", std::to_string(ms.count()));
  if (head.status == 101) co_return co_await relay_upgraded(upstream, std::move(head));
  const bool end = upstream.ended();
  const auto answered = co_await stream_.respond(std::move(head), end);
  if (!answered) {
    note_unsent(answered.error());
    co_return answered;
  }
  if (end) co_return Done{};
  co_return co_await relay_body(upstream);
}

io::Task<Result<Done>> Exchange::relay_body(wire::ClientStream& upstream) {
  for (;;) {
    auto part = co_await upstream.read();
    if (!part) {
      const bool ours = part.error().reason == Reason::kCancelled;
      if (!ours || !timed_out()) record_.flags.add(ours ? Flag::kDC : Flag::kUC);
      if (!ours) record_.details = "upstream_reset_after_response_started";
      co_return std::unexpected(part.error());
    }
    if (part->empty()) break;
    clock_->touch();
    record_.response_bytes += part->size();
    const auto wrote = co_await stream_.write(part->bytes());
    clock_->touch();
    if (!wrote && timed_out()) co_return wrote;
    if (!wrote) {
      note_unsent(wrote.error());
      co_return wrote;
    }
  }
  const h2::Headers trailers = upstream.take_trailers();
  if (is_grpc_ && !trailers.empty()) record_.grpc_status = grpc_status_in(trailers);
  if (!http_.access_logs.empty()) record_.response_trailers = trailers;
  const auto done = co_await stream_.finish(trailers);
  if (!done && !passage_.settled()) record_.flags.add(Flag::kDC);
  co_return done;
}

// ---- what went wrong ----

void Exchange::note_upstream(const config::Endpoint& endpoint) {
  record_.upstream = endpoint.address;
  record_.upstream_workload = endpoint.workload;
}

Exchange::Failure Exchange::failure_of(const Error& error,
                                       const wire::ClientStream* upstream) const {
  Failure failure{.reply = {.status = 503, .flags = Flag::kUF},
                  .why = balance::TryFailure::kConnectFailure};
  LocalReply& reply = failure.reply;
  reply.body = "upstream connect error or disconnect/reset before headers";
  if (upstream == nullptr) {
    switch (error.reason) {
      case Reason::kExhausted:
        failure.why = balance::TryFailure::kOverflow;
        reply.flags = Flag::kUO;
        reply.details = reset_details("overflow");
        reply.headers = {{"x-envoy-overloaded", "true"}};
        break;
      case Reason::kTimedOut:
        reply.details = reset_details("connection_timeout");
        break;
      default:
        reply.details =
            reset_details("remote_connection_failure|" + std::string(reason_name(error.reason)));
        break;
    }
    return failure;
  }
  switch (error.reason) {
    case Reason::kMalformed:
    case Reason::kTooLarge:
    case Reason::kProtocol:
      reply.status = 502;
      reply.flags = Flag::kUPE;
      reply.details = reset_details("protocol_error");
      break;
    default:
      reply.flags = upstream->version() == wire::Version::kHttp2 ? Flag::kUR : Flag::kUC;
      reply.details = reset_details(
          upstream->version() == wire::Version::kHttp2 ? "remote_reset" : "connection_termination");
      break;
  }
  failure.why = upstream->was_refused() ? balance::TryFailure::kRefusedStream
                : upstream->was_stale() ? balance::TryFailure::kResetBeforeRequest
                                        : balance::TryFailure::kReset;
  return failure;
}

}  // namespace mesh::waypoint
