#include "mesh/hbone/tunnel_pool.h"

#include <algorithm>
#include <map>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/hbone/tunnel.h"
#include "mesh/io/task_scope.h"

namespace mesh::hbone {
namespace {

constexpr Error kRetired = {.reason = Reason::kDraining, .during = "tunnel retired"};

// One that stands or is being made. Kept alive by its own task and by those who probe it.
struct Entry final : Tunnel::Listener {
  explicit Entry(io::Ring& ring) : probed(ring) {}
  void on_request(std::shared_ptr<StreamState>, h2::Headers) override { MESH_CHECK(false); }

  std::unique_ptr<Tunnel> tunnel{};
  bool probing = false;
  io::internal::WaitList probed;  // those who wait for another's probe
};

// The tunnels of one key, and those who wait for one.
struct Group {
  explicit Group(io::Ring& ring) : changed(ring) {}

  std::vector<std::shared_ptr<Entry>> entries{};  // ready ones
  bool dialling = false;
  io::CancelScope* dial = nullptr;  // cancels the handshake under way
  std::size_t waiters = 0;
  std::uint64_t dials_ended = 0;
  std::optional<Error> dial_error{};  // of the last one
  bool retired = false;               // purged: what is being dialled is not used
  io::internal::WaitList changed;
};

}  // namespace

struct TunnelPool::Impl {
  Impl(io::Ring& on, PoolOptions with) : ring(on), options(std::move(with)), empty(on) {}

  io::Ring& ring;
  PoolOptions options;
  std::map<TunnelKey, std::shared_ptr<Group>> groups{};
  io::TaskScope tasks{};
  std::size_t tunnels = 0;
  io::Event empty;  // set when closed and without tunnels
  bool closed = false;
  Counts counts{};

  // The phases of open() have frames of their own (noinline): in a burst of connections every one
  // of them waits in acquire(), and what they hold then is the proxy's peak.
  [[clang::noinline]] io::Task<Result<std::shared_ptr<Entry>>> acquire(const OpenRequest& request,
                                                                       bool& reused);
  io::Task<Result<Done>> wait_for_dial(std::shared_ptr<Group> group);
  [[clang::noinline]] io::Task<Result<Done>> probe(std::shared_ptr<Entry> entry);
  std::shared_ptr<Entry> pick(const Group& group) const;
  [[gnu::noinline]] void start_dial(const OpenRequest& request, std::shared_ptr<Group> group);
  io::Task<void> dial(OpenRequest request, std::shared_ptr<Group> group);
  io::Task<Result<std::shared_ptr<Entry>>> dial_tunnel(const OpenRequest& request);
  [[clang::noinline]] io::Task<Result<OpenOutcome>> ask(const OpenRequest& request,
                                                        std::shared_ptr<Entry> entry, bool reused,
                                                        bool& try_again);
  void tidy(const TunnelKey& key, const std::shared_ptr<Group>& group);
  void tunnel_gone(const TunnelKey& key, const std::shared_ptr<Group>& group);
  template <class Matches>
  void retire_if(Matches matches, bool end_streams);
};

TunnelPool::TunnelPool(io::Ring& ring, PoolOptions options)
    : impl_(std::make_unique<Impl>(ring, std::move(options))) {}
TunnelPool::~TunnelPool() = default;

// ---- finding a tunnel ----

// The first with room: the others can then become idle.
std::shared_ptr<Entry> TunnelPool::Impl::pick(const Group& group) const {
  for (const std::shared_ptr<Entry>& entry : group.entries) {
    if (entry->tunnel->accepts_requests() &&
        entry->tunnel->streams() < options.streams_per_tunnel) {
      return entry;
    }
  }
  return nullptr;
}

io::Task<Result<std::shared_ptr<Entry>>> TunnelPool::Impl::acquire(const OpenRequest& request,
                                                                   bool& reused) {
  reused = true;
  for (;;) {
    if (closed) co_return failed(Reason::kDraining, "tunnel pool");
    std::shared_ptr<Group>& slot = groups[request.key];
    if (!slot) slot = std::make_shared<Group>(ring);
    const std::shared_ptr<Group> group = slot;
    const std::shared_ptr<Entry> entry = pick(*group);
    if (entry) {
      const bool silent = ring.now() - entry->tunnel->heard_at() > options.probe_after;
      if (!silent) co_return entry;
      const auto alive = co_await probe(entry);
      if (!alive && alive.error().reason == Reason::kCancelled)
        co_return std::unexpected(alive.error());
      continue;  // it answered, or it is out of the group
    }
    if (group->waiters >= options.waiters_per_key_max) {
      co_return failed(Reason::kExhausted, "connections that wait for a tunnel");
    }
    if (!group->dialling) {
      if (tunnels >= options.tunnels_max) co_return failed(Reason::kExhausted, "tunnels");
      start_dial(request, group);
      reused = false;
    }
    const auto waited = co_await wait_for_dial(group);
    tidy(request.key, group);
    CO_TRY_DO(waited);
  }
}

io::Task<Result<Done>> TunnelPool::Impl::wait_for_dial(std::shared_ptr<Group> group) {
  const std::uint64_t ended_before = group->dials_ended;
  // The dial may have ended already, while start_dial() ran.
  while (group->dialling && group->dials_ended == ended_before) {
    ++group->waiters;
    const bool woken = co_await group->changed.wait();
    --group->waiters;
    if (!woken) {
      // The last one who waited takes the handshake along.
      if (group->waiters == 0 && group->dial != nullptr) group->dial->request();
      co_return failed(Reason::kCancelled, "wait for a tunnel");
    }
  }
  if (group->dial_error) co_return std::unexpected(*group->dial_error);
  co_return Done{};
}

// One PING for all who ask; a tunnel that does not answer ends.
io::Task<Result<Done>> TunnelPool::Impl::probe(std::shared_ptr<Entry> entry) {
  if (entry->probing) {
    if (!co_await entry->probed.wait()) co_return failed(Reason::kCancelled, "probe of the tunnel");
    co_return Done{};
  }
  entry->probing = true;
  const auto alive = co_await io::with_deadline(ring, options.probe_deadline, "probe of the tunnel",
                                                entry->tunnel->probe());
  entry->probing = false;
  if (!alive && alive.error().reason == Reason::kTimedOut) {
    ++counts.dead;
    entry->tunnel->end(alive.error());
  }
  entry->probed.wake_all();
  co_return alive;
}

void TunnelPool::Impl::tidy(const TunnelKey& key, const std::shared_ptr<Group>& group) {
  if (!group->entries.empty() || group->dialling || group->waiters > 0) return;
  const auto found = groups.find(key);
  if (found != groups.end() && found->second == group) groups.erase(found);
}

void TunnelPool::Impl::tunnel_gone(const TunnelKey& key, const std::shared_ptr<Group>& group) {
  if (--tunnels == 0 && closed) empty.set();
  tidy(key, group);
}

// ---- making one ----

void TunnelPool::Impl::start_dial(const OpenRequest& request, std::shared_ptr<Group> group) {
  group->dialling = true;
  group->retired = false;
  group->dial_error.reset();
  ++tunnels;
  ++counts.dialled;
  OpenRequest copy = request;
  copy.headers.clear();
  copy.more_headers = nullptr;  // what it borrows may be gone before the tunnel is
  tasks.spawn(dial(std::move(copy), std::move(group)));
}

io::Task<void> TunnelPool::Impl::dial(OpenRequest request, std::shared_ptr<Group> group) {
  Result<std::shared_ptr<Entry>> made = failed(Reason::kCancelled, "dial");
  {
    io::CancelScope scope(co_await io::current_cancel());
    group->dial = &scope;
    made = co_await dial_tunnel(request).under(scope);
    group->dial = nullptr;
  }
  if (made && group->retired) {
    (*made)->tunnel->retire();
    made = std::unexpected(kRetired);
  }
  group->dialling = false;
  ++group->dials_ended;
  if (!made) {
    group->dial_error = made.error();
    group->changed.wake_all();
    tunnel_gone(request.key, group);
    co_return;
  }
  const std::shared_ptr<Entry> entry = *std::move(made);
  request.context = nullptr;  // a newer one may exist by the time this tunnel ends
  group->entries.push_back(entry);
  group->changed.wake_all();
  (void)co_await entry->tunnel->run();
  std::erase(group->entries, entry);
  tunnel_gone(request.key, group);
}

io::Task<Result<std::shared_ptr<Entry>>> TunnelPool::Impl::dial_tunnel(const OpenRequest& request) {
  io::ConnectOptions connect_options;
  connect_options.to = request.key.address;
  connect_options.mark = request.mark;
  connect_options.netns = request.netns;
  connect_options.congestion_control = options.congestion.at_first;
  connect_options.deadline = options.connect_deadline;
  CO_TRY(io::Socket socket, co_await io::connect(ring, std::move(connect_options)));

  tls::SessionOptions session_options;
  session_options.now = std::chrono::floor<std::chrono::seconds>(ring.wall_now());
  session_options.accepted = request.key.accepted;
  session_options.any_of_own_domain = request.key.any_of_own_domain;
  CO_TRY(auto session, tls::Session::create(request.context, std::move(session_options)));
  auto entry = std::make_shared<Entry>(ring);
  TunnelOptions tunnel_options{.h2 = options.h2,
                               .idle_limit = options.idle_release,
                               .first_limit = options.idle_release,
                               .congestion = options.congestion};
  entry->tunnel = std::make_unique<Tunnel>(ring, std::move(socket), std::move(session),
                                           std::move(tunnel_options), *entry);
  CO_TRY_DO(co_await io::with_deadline(ring, options.handshake_deadline, "tls handshake",
                                       entry->tunnel->handshake()));
  co_return entry;
}

// ---- opening a stream ----

namespace {

io::Task<Result<Done>> wait_for_answer(std::shared_ptr<StreamState> state) {
  while (!state->has_response) {
    if (state->failure) co_return std::unexpected(*state->failure);
    if (!co_await state->answered.wait()) co_return failed(Reason::kCancelled, "CONNECT");
  }
  co_return Done{};
}

h2::Headers request_headers(const OpenRequest& request) {
  h2::Headers headers = {{":method", "CONNECT"}, {":authority", request.authority}};
  headers.insert(headers.end(), request.headers.begin(), request.headers.end());
  if (request.more_headers) {
    for (h2::Header& header : request.more_headers()) headers.push_back(std::move(header));
  }
  return headers;
}

// The peer says itself, or the tunnel was found dead at once, that it did nothing for us.
bool was_not_processed(const StreamState& state) {
  return state.reset_code == h2::ErrorCode::kRefusedStream;
}

}  // namespace

io::Task<Result<OpenOutcome>> TunnelPool::Impl::ask(const OpenRequest& request,
                                                    std::shared_ptr<Entry> entry, bool reused,
                                                    bool& try_again) {
  const io::TimePoint asked_at = ring.now();
  auto asked = entry->tunnel->request(request_headers(request));
  if (!asked) {
    try_again = asked.error().reason == Reason::kDraining;
    co_return std::unexpected(asked.error());
  }
  const std::shared_ptr<StreamState> state = *asked;
  Stream stream(state);
  if (reused) ++counts.reused;
  OpenOutcome outcome{.stream = {},
                      .headers = {},
                      .peer = *entry->tunnel->session().peer(),
                      .local_address = entry->tunnel->socket().local_address()};
  const auto answered = co_await io::with_deadline(ring, options.response_deadline, "CONNECT",
                                                   wait_for_answer(state));
  if (!answered) {
    const bool tunnel_broke = state->tunnel == nullptr && !state->reset_code;
    const bool silent_since = entry->tunnel->heard_at() <= asked_at;
    try_again = reused && answered.error().reason != Reason::kCancelled &&
                (was_not_processed(*state) || (tunnel_broke && silent_since));
    co_return std::unexpected(answered.error());
  }
  outcome.status = h2::status_of(state->response);
  outcome.headers = std::move(state->response);
  if (outcome.status == 200) {
    outcome.stream = std::move(stream);
  } else {
    stream.reset(h2::ErrorCode::kCancel);
  }
  co_return outcome;
}

io::Task<Result<OpenOutcome>> TunnelPool::open(const OpenRequest& request) {
  MESH_CHECK((!request.key.accepted.empty() || request.key.any_of_own_domain) && request.context);
  for (bool again = false;; again = true) {
    bool reused = false;
    CO_TRY(std::shared_ptr<Entry> entry, co_await impl_->acquire(request, reused));
    bool try_again = false;
    auto outcome = co_await impl_->ask(request, std::move(entry), reused, try_again);
    if (outcome || again || !try_again) co_return outcome;
  }
}

// ---- taking away ----

template <class Matches>
void TunnelPool::Impl::retire_if(Matches matches, bool end_streams) {
  for (const auto& [key, group] : groups) {
    if (!matches(key)) continue;
    group->retired = true;
    if (end_streams && group->dial != nullptr) group->dial->request();
    for (const std::shared_ptr<Entry>& entry : group->entries) {
      end_streams ? entry->tunnel->end(kRetired) : entry->tunnel->retire();
    }
  }
}

void TunnelPool::purge_destination(const std::string& destination_uid) {
  impl_->retire_if([&](const TunnelKey& key) { return key.destination_uid == destination_uid; },
                   false);
}

void TunnelPool::purge_source(const std::string& source_uid) {
  impl_->retire_if([&](const TunnelKey& key) { return key.source_uid == source_uid; }, false);
}

void TunnelPool::end_source(const std::string& source_uid) {
  impl_->retire_if([&](const TunnelKey& key) { return key.source_uid == source_uid; }, true);
}

io::Task<void> TunnelPool::close(io::Duration grace) {
  Impl& impl = *impl_;
  impl.closed = true;
  impl.retire_if([](const TunnelKey&) { return true; }, false);
  if (impl.tunnels > 0) {
    (void)co_await io::with_deadline(impl.ring, grace, "close of the pool", impl.empty.wait());
  }
  impl.retire_if([](const TunnelKey&) { return true; }, true);
  co_await impl.tasks.join();
}

TunnelPool::Counts TunnelPool::counts() const {
  Counts counts = impl_->counts;
  counts.tunnels = impl_->tunnels;
  for (const auto& [key, group] : impl_->groups) {
    for (const std::shared_ptr<Entry>& entry : group->entries) {
      counts.streams += entry->tunnel->streams();
    }
  }
  return counts;
}

}  // namespace mesh::hbone
