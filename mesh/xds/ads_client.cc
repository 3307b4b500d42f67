#include "mesh/xds/ads_client.h"

#include <utility>

#include "mesh/base/check.h"
#include "mesh/io/both.h"
#include "mesh/io/event.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"
#include "mesh/xds/ads_codec.h"
#include "mesh/xds/backoff.h"
#include "mesh/xds/directory_sink.h"

namespace mesh::xds {
namespace {

constexpr std::string_view kPath =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
constexpr std::size_t kRejectionsLogged = 8;

std::string text_of(const Error& error) {
  return std::string(reason_name(error.reason)) + " during " + error.during;
}

std::string text_of(const grpc::Status& status) {
  std::string text(grpc::status_code_name(status.code));
  if (!status.message.empty()) text.append(": ").append(status.message);
  return text;
}

// gRPC codes that say nothing about us: the connection under the stream went away.
bool is_transient(grpc::StatusCode code) {
  using enum grpc::StatusCode;
  return code == kUnknown || code == kCancelled || code == kDeadlineExceeded ||
         code == kUnavailable;
}

}  // namespace

std::string_view termination_name(Termination termination) {
  switch (termination) {
    case Termination::kConnectionError:
      return "ConnectionError";
    case Termination::kError:
      return "Error";
    case Termination::kReconnect:
      return "Reconnect";
    case Termination::kComplete:
      return "Complete";
  }
  return "";
}

struct AdsClient::Impl {
  Impl(io::Ring& r, AdsClientOptions o, Publish p, Log l)
      : ring(r),
        channel(r, std::move(o.channel)),
        state(std::move(o.ads)),
        sink(std::move(o.decode), o.waits),
        publish(std::move(p)),
        log(std::move(l)),
        to_send(r),
        can_receive(r),
        taken(r) {}

  // How one connection ended.
  struct Ending {
    Termination termination = Termination::kConnectionError;
    std::string why{};
    bool cancelled = false;
  };
  io::Task<Ending> one_connection();
  io::Task<Result<grpc::Status>> read(grpc::Call& call);
  io::Task<Result<Done>> write(grpc::Call& call);
  Result<Done> receive(std::string_view message);
  io::Task<void> run_connections();
  io::Task<void> expire_held();
  void report(const Update& update, ResourceType type);

  io::Ring& ring;
  grpc::Channel channel;
  AdsState state;
  DirectorySink sink;
  Publish publish;
  Log log;
  AdsCounters counters;
  io::Event to_send;
  io::Event can_receive;
  io::Event taken;  // a response was
};

AdsClient::AdsClient(io::Ring& ring, AdsClientOptions options, Publish publish, Log log)
    : impl_(std::make_unique<Impl>(ring, std::move(options), std::move(publish), std::move(log))) {}
AdsClient::~AdsClient() = default;

io::Task<void> AdsClient::run() {
  io::TaskScope scope(co_await io::current_cancel());
  scope.spawn(impl_->run_connections());
  scope.spawn(impl_->expire_held());
  co_await scope.join();
}

io::Task<void> AdsClient::Impl::run_connections() {
  Backoff backoff;
  for (;;) {
    const Ending ending = co_await one_connection();
    if (ending.cancelled) break;
    ++counters.terminations[static_cast<int>(ending.termination)];
    Backoff::Outcome outcome = Backoff::Outcome::kRefusedUs;
    if (ending.termination == Termination::kConnectionError) {
      outcome = Backoff::Outcome::kNoConnection;
    } else if (state.made_progress()) {
      outcome = Backoff::Outcome::kProgress;
    }
    const io::Duration wait = backoff.next(outcome, ring.random());
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(wait).count();
    log(LogLevel::kWarn,
        "xds: disconnected: " + ending.why + "; next try in " + std::to_string(ms) + " ms");
    const auto slept = co_await io::sleep_for(ring, wait);
    if (!slept) break;
  }
  co_await channel.close();
}

// What waits for another resource does so for a while only, connected or not.
io::Task<void> AdsClient::Impl::expire_held() {
  for (;;) {
    taken.reset();
    Result<Done> woken = Done{};
    if (const auto deadline = sink.deadline()) {
      const io::Duration left = *deadline - ring.now().time_since_epoch();
      woken = co_await io::with_deadline(ring, left, "wait for policies", taken.wait());
    } else {
      woken = co_await taken.wait();
    }
    if (woken) continue;
    if (woken.error().reason == Reason::kCancelled) co_return;
    const auto without = sink.expire(ring.now().time_since_epoch());
    for (const std::string& name : without) {
      log(LogLevel::kWarn, "xds: " + name + " is in force without the policies it belongs with");
    }
    publish(sink.directory(), sink.in_force());
  }
}

io::Task<AdsClient::Impl::Ending> AdsClient::Impl::one_connection() {
  // A new connection for each stream: roots are read again, and a half-dead one is not kept.
  co_await channel.close();
  auto call = co_await channel.start(kPath);
  if (!call) {
    co_return Ending{.termination = Termination::kConnectionError,
                     .why = text_of(call.error()),
                     .cancelled = call.error().reason == Reason::kCancelled};
  }
  log(LogLevel::kInfo, "xds: connected");
  counters.connected = true;
  state.connected();
  auto ended = co_await io::first_of(read(*call), write(*call));
  state.disconnected();
  counters.connected = false;

  const io::CancelScope* cancel = co_await io::current_cancel();
  if (cancel != nullptr && cancel->requested()) co_return Ending{.cancelled = true};
  if (!ended.first) {
    // The reader was stopped because writing failed, or it read what it could not accept.
    const bool write_failed = ended.first.error().reason == Reason::kCancelled;
    const Error& error = write_failed && !ended.second ? ended.second.error() : ended.first.error();
    co_return Ending{.termination = Termination::kError, .why = text_of(error)};
  }
  const grpc::Status& status = *ended.first;
  Ending ending{.termination = Termination::kError, .why = text_of(status)};
  if (status.ok()) ending.termination = Termination::kComplete;
  if (is_transient(status.code)) ending.termination = Termination::kReconnect;
  co_return ending;
}

io::Task<Result<grpc::Status>> AdsClient::Impl::read(grpc::Call& call) {
  for (;;) {
    while (!state.can_receive()) {
      can_receive.reset();
      CO_TRY_DO(co_await can_receive.wait());
    }
    CO_TRY(const auto message, co_await call.receive());
    if (!message) co_return call.status();
    CO_TRY_DO(receive(*message));
  }
}

io::Task<Result<Done>> AdsClient::Impl::write(grpc::Call& call) {
  for (;;) {
    to_send.reset();
    while (auto request = state.next_request()) {
      can_receive.set();
      const std::string message = encode(*request);
      const auto sent = co_await call.send(message);
      // The server's answer says more than our failure to send: let the reader find it.
      if (!sent && sent.error().reason == Reason::kPeerReset) break;
      CO_TRY_DO(sent);
    }
    CO_TRY_DO(co_await to_send.wait());
  }
}

Result<Done> AdsClient::Impl::receive(std::string_view message) {
  TRY(const DeltaResponse response, decode_response(message));
  sink.set_now(ring.now().time_since_epoch());
  TRY(const std::optional<Update> update, state.receive(response, sink));
  to_send.set();
  if (!update) {
    log(LogLevel::kWarn, "xds: " + state.last_nack());
    return Done{};
  }
  const ResourceType type = *type_of_url(response.type_url);
  ++counters.messages[static_cast<int>(type)];
  counters.message_bytes[static_cast<int>(type)] += message.size();
  report(*update, type);
  MESH_CHECK(update->sequence == sink.taken());
  taken.set();
  publish(sink.directory(), sink.in_force());
  return Done{};
}

void AdsClient::Impl::report(const Update& update, ResourceType type) {
  log(LogLevel::kDebug, "xds: " + std::string(type_name(type)) + " version " +
                            update.control_version + ": " + std::to_string(update.upserts) +
                            " set, " + std::to_string(update.removals) + " removed");
  if (update.rejections.empty()) return;
  ++counters.nacks[static_cast<int>(type)];
  std::size_t logged = 0;
  for (const Rejection& rejection : update.rejections) {
    if (++logged > kRejectionsLogged) break;
    log(LogLevel::kWarn, "xds: rejected " + rejection.name + ": " + rejection.error);
  }
  if (update.rejections.size() > kRejectionsLogged) {
    log(LogLevel::kWarn, "xds: and more rejected in the same response");
  }
}

void AdsClient::applied(std::uint64_t sequence) {
  impl_->state.applied(sequence);
  impl_->to_send.set();
  impl_->can_receive.set();
}

bool AdsClient::complete() const { return impl_->state.complete(); }
std::string_view AdsClient::control_version() const { return impl_->state.control_version(); }
const AdsCounters& AdsClient::counters() const { return impl_->counters; }
const AdsState& AdsClient::state() const { return impl_->state; }

Result<Done> AdsClient::subscribe(ResourceType type, std::string name) {
  TRY_DO(impl_->state.subscribe(type, std::move(name)));
  impl_->to_send.set();
  return Done{};
}

}  // namespace mesh::xds
