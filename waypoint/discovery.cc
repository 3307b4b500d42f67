#include "waypoint/discovery.h"

#include <utility>

#include "mesh/io/both.h"
#include "mesh/io/timer.h"
#include "mesh/xds/ads_codec.h"
#include "mesh/xds/backoff.h"

namespace mesh::waypoint {
namespace {

constexpr std::string_view kSotwPath =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
constexpr std::string_view kPath =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

std::string text_of(const Error& error) {
  return std::string(reason_name(error.reason)) + " during " + error.during;
}

}  // namespace

Discovery::Discovery(io::Ring& ring, grpc::ChannelOptions channel, xds::Node node, bool delta,
                     ConfigStore& store, Publish publish, Log log)
    : ring_(ring),
      channel_(ring, std::move(channel)),
      state_(std::move(node)),
      delta_(delta),
      store_(store),
      publish_(std::move(publish)),
      log_(std::move(log)),
      to_send_(ring),
      can_receive_(ring) {}
Discovery::~Discovery() = default;

io::Task<void> Discovery::run() {
  xds::Backoff backoff;
  for (;;) {
    const Ending ending = co_await one_connection();
    if (ending.cancelled) break;
    auto outcome = xds::Backoff::Outcome::kRefusedUs;
    if (!ending.connected) {
      outcome = xds::Backoff::Outcome::kNoConnection;
    } else if (state_.made_progress()) {
      outcome = xds::Backoff::Outcome::kProgress;
    }
    const io::Duration wait = backoff.next(outcome, ring_.random());
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(wait).count();
    log_(LogLevel::kWarn,
         "xds: disconnected: " + ending.why + "; next try in " + std::to_string(ms) + " ms");
    const auto slept = co_await io::sleep_for(ring_, wait);
    if (!slept) break;
  }
  co_await channel_.close();
}

io::Task<Discovery::Ending> Discovery::one_connection() {
  // A new connection for each stream: roots are read again, and a half-dead one is not kept.
  co_await channel_.close();
  auto call = co_await channel_.start(delta_ ? kPath : kSotwPath);
  if (!call) {
    co_return Ending{.cancelled = call.error().reason == Reason::kCancelled,
                     .why = text_of(call.error())};
  }
  log_(LogLevel::kInfo, delta_ ? "xds: connected" : "xds: connected, without delta");
  sotw_.connected();
  connected_ = true;
  state_.connected();
  auto ended = co_await io::first_of(read(*call), write(*call));
  state_.disconnected();
  connected_ = false;
  const io::CancelScope* cancel = co_await io::current_cancel();
  if (cancel != nullptr && cancel->requested()) co_return Ending{.cancelled = true};
  Ending ending{.connected = true};
  if (ended.first) {
    ending.why = grpc::status_code_name(ended.first->code);
    if (delta_ && ended.first->code == grpc::StatusCode::kUnimplemented) delta_ = false;
    if (!ended.first->message.empty()) ending.why += ": " + ended.first->message;
  } else {
    const bool write_failed = ended.first.error().reason == Reason::kCancelled;
    ending.why =
        text_of(write_failed && !ended.second ? ended.second.error() : ended.first.error());
  }
  co_return ending;
}

io::Task<Result<grpc::Status>> Discovery::read(grpc::Call& call) {
  for (;;) {
    while (!state_.can_receive()) {
      can_receive_.reset();
      CO_TRY_DO(co_await can_receive_.wait());
    }
    CO_TRY(const auto message, co_await call.receive());
    if (!message) co_return call.status();
    CO_TRY_DO(receive(*message));
  }
}

io::Task<Result<Done>> Discovery::write(grpc::Call& call) {
  for (;;) {
    to_send_.reset();
    while (auto request = state_.next_request()) {
      can_receive_.set();
      std::string message;
      if (delta_) {
        message = xds::encode(*request);
      } else if (const auto other = sotw_.translate(*request)) {
        message = xds::encode(*other);
      } else {
        continue;
      }
      const auto sent = co_await call.send(message);
      // The server's answer says more than our failure to send: let the reader find it.
      if (!sent && sent.error().reason == Reason::kPeerReset) break;
      CO_TRY_DO(sent);
    }
    CO_TRY_DO(co_await to_send_.wait());
  }
}

Result<Done> Discovery::receive(std::string_view message) {
  xds::DeltaResponse response;
  if (delta_) {
    TRY(response, xds::decode_response(message));
  } else {
    TRY(const xds::SotwResponse whole, xds::decode_sotw_response(message));
    response = sotw_.translate(whole);
  }
  const std::string before = state_.last_nack();
  TRY(const bool changed, state_.receive(response, store_));
  to_send_.set();
  if (state_.last_nack() != before) log_(LogLevel::kWarn, "xds: refused " + state_.last_nack());
  if (changed) publish_(state_.sequence());
  return Done{};
}

void Discovery::applied(std::uint64_t sequence) {
  state_.applied(sequence);
  to_send_.set();
  can_receive_.set();
}

}  // namespace mesh::waypoint
