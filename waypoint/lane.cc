#include "waypoint/lane.h"

#include <utility>

#include "mesh/io/timer.h"

namespace mesh::waypoint {
namespace {

constexpr io::Duration kLastSpans = std::chrono::seconds(1);

hbone::ServerOptions server_options() {
  hbone::ServerOptions options;
  options.h2.max_concurrent_streams = 100;
  // Streams live as long as the client's connections do, and are answered before anything is asked.
  options.answer_deadline = std::chrono::seconds(10);
  return options;
}

}  // namespace

Lane::Lane(io::Ring& ring, const Settings& settings, Recorder& recorder, Limiters& limiters,
           Breakers& breakers, HealthBoard& health, Checks checks,
           identity::CertificateView::Wanted wanted)
    : ring_(ring),
      settings_(settings),
      id_(net::SpiffeId::parse(settings.identity()).value()),
      dice_(ring.random()),
      certificates_(ring, std::move(wanted)),
      tunnels_(ring, {}),
      upstreams_(ring, tunnels_, [this] { return own(); }, settings.pod_name, {}),
      names_(ring, {}, [this] { look_again(); }),
      fleet_(ring, dice_, breakers, &health, &names_),
      snapshot_changed_(ring),
      context_{.ring = ring,
               .upstreams = upstreams_,
               .fleet = fleet_,
               .recorder = recorder,
               .dice = dice_,
               .limiters = limiters,
               .snapshot = std::make_shared<config::Snapshot>(),
               .snapshot_changed = &snapshot_changed_,
               .mirrors = &mirrors_,
               .tracer = &tracer_,
               .remote_keys = &remote_keys_,
               .names = &names_},
      mirrors_(context_),
      tracer_(context_, settings.pod_name + "." + settings.pod_namespace),
      remote_keys_(context_),
      gate_(context_, [this] { return own(); }),
      server_(ring, server_options(), gate_),
      stop_(ring),
      served_(ring) {
  if (checks == Checks::kYes) checks_.emplace(context_, health);
}

Lane::~Lane() = default;

Result<Done> Lane::listen() {
  io::ListenOptions options{.at = settings_.hbone, .backlog = 1024, .mark = {}};
  auto listener = io::Listener::listen(ring_, options);
  if (!listener && listener.error().os_errno == EAFNOSUPPORT && options.at.ip.is_unspecified()) {
    options.at.ip = net::IpAddress();
    listener = io::Listener::listen(ring_, options);
  }
  if (!listener) return std::unexpected(listener.error());
  listener_.emplace(*std::move(listener));
  return Done{};
}

io::Task<void> Lane::run() {
  io::TaskScope background;
  background.spawn(accept());
  background.spawn(upstreams_.tend());
  background.spawn(fleet_.tend());
  background.spawn(tracer_.run());
  (void)co_await stop_.wait();
  listener_->close();
  gate_.drain();
  server_.drain();
  const io::TimePoint until = ring_.now() + grace_;
  while (server_.connections() > 0) {
    const auto ended =
        co_await io::with_deadline(ring_, until - ring_.now(), "drain", served_.wait());
    if (!ended) break;
  }
  server_.end();
  background.cancel();
  co_await background.join();
  co_await serving_.join();
  co_await mirrors_.close();
  co_await tracer_.flush(kLastSpans);
  co_await remote_keys_.close();
  if (checks_) co_await checks_->close();
  co_await names_.close();
  co_await upstreams_.close();
  co_await tunnels_.close(io::Duration::zero());
}

void Lane::stop(io::Duration grace) {
  grace_ = grace;
  stop_.set();
}

io::Task<void> Lane::accept() {
  for (;;) {
    auto socket = co_await listener_->accept();
    if (socket) {
      serving_.spawn(serve(*std::move(socket)));
      continue;
    }
    if (socket.error().reason != Reason::kExhausted) co_return;
    const auto slept = co_await io::sleep_for(ring_, std::chrono::milliseconds(100));
    if (!slept) co_return;
  }
}

io::Task<void> Lane::serve(io::Socket socket) {
  if (server_.connections() >= kTunnelsMax || handshakes_ >= kHandshakesMax) {
    socket.reset();
    co_return;
  }
  ++handshakes_;
  const auto certificate = co_await certificates_.wait(id_, context_.limits.ready_deadline);
  --handshakes_;
  if (certificate) {
    (void)co_await server_.serve(std::move(socket), (*certificate)->server);
  } else {
    socket.reset();
  }
  served_.set();
  served_.reset();
}

void Lane::use(config::SnapshotPtr snapshot) {
  context_.snapshot = std::move(snapshot);
  if (context_.snapshot->ready) {
    upstreams_.accept_only(context_.snapshot->originate.server_names);
  }
  fleet_.forget_others(*context_.snapshot);
  remote_keys_.prepare(*context_.snapshot);
  names_.prepare(*context_.snapshot);
  look_again();
  snapshot_changed_.set();
  snapshot_changed_.reset();
}

// Who is there to be asked changed.
void Lane::look_again() {
  if (checks_) checks_->prepare(*context_.snapshot);
}

void Lane::use(const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> certificate) {
  certificates_.update(id, std::move(certificate));
}

Lane::Report Lane::report() const {
  return {.connections = gate_.connections(),
          .tunnels_in = server_.connections(),
          .upstream_connections = upstreams_.counts().connections,
          .upstream_dialled = upstreams_.counts().dialled,
          .upstream_reused = upstreams_.counts().reused,
          .ejections = fleet_.ejections(),
          .dry_runs = context_.dry_runs,
          .mirrors = mirrors_.counts(),
          .spans = tracer_.counts(),
          .checks = checks_ ? checks_->counts() : HealthChecks::Counts{},
          .clusters = cluster_rows(fleet_)};
}

}  // namespace mesh::waypoint
