#include "control/kubernetes/replica.h"

#include <atomic>
#include <ctime>
#include <iterator>
#include <mutex>
#include <utility>

#include "control/auth/token_reviews.h"
#include "control/kubernetes/address_plan.h"
#include "control/kubernetes/mesh_map.h"
#include "control/kubernetes/root_maps.h"
#include "control/kubernetes/shared_token.h"
#include "control/kubernetes/status_plan.h"
#include "control/kubernetes/store.h"
#include "control/kubernetes/waypoint_writer.h"
#include "control/kubernetes/write_queue.h"

namespace mesh::control::kubernetes {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kWarnSeconds = 30 * 86'400;
constexpr const char* kLease = "weft-control";
constexpr std::chrono::milliseconds kGather{100};
constexpr std::chrono::seconds kLook{5};  // for what time alone changes

}  // namespace

struct Replica::Impl {
  Impl(Options given, std::unique_ptr<kube::Http> connection, Hub& to, ca::Authority& signing,
       telemetry::Log& to_log)
      : options(std::move(given)),
        hub(to),
        authority(signing),
        log(to_log),
        http(std::move(connection)),
        reviews(*http, hub, {.node_accounts = options.node_accounts}),
        debug_token(*http, options.ns, log),
        root_maps(*http, options.istio_root_map, [this] { note(); }),
        waypoints(*http, options.waypoints, [this] { note(); }) {}

  const Options options;
  Hub& hub;
  ca::Authority& authority;
  telemetry::Log& log;
  std::unique_ptr<kube::Http> http;  // stopped before anything below ends
  auth::TokenReviews reviews;
  SharedToken debug_token;
  RootMaps root_maps;
  WaypointWriter waypoints;
  std::shared_ptr<kube::Election> election;
  std::shared_ptr<WriteQueue> queue;
  std::unique_ptr<CaStore> ca;
  std::unique_ptr<KubeStore> store;
  std::unique_ptr<MeshMap> mesh_map;  // if there is to be one
  bool due = false;                   // a plan() is on its way
  Clock::time_point next_warning{}, next_word{};
  std::atomic<std::uint64_t> plans{0};
  mutable std::mutex mutex;
  std::vector<Unacknowledged> waiting;  // under mutex

  void begin(std::function<void(const StoreState&)> state_changed,
             std::function<void(const MeshState&)> mesh_changed,
             std::function<void()> authority_changed);
  void note();
  void look();
  void warn_of_the_end();
  bool acknowledged(const Snapshot& snapshot);
  void plan();
  void won_or_lost(bool held);
};

void Replica::Impl::begin(std::function<void(const StoreState&)> state_changed,
                          std::function<void(const MeshState&)> mesh_changed,
                          std::function<void()> authority_changed) {
  kube::Lease::Options lease;
  lease.ns = options.ns;
  lease.name = kLease;
  lease.identity = kube::unique_identity(options.pod);
  election = std::make_shared<kube::Election>(*http, std::move(lease),
                                              [this](bool held) { won_or_lost(held); });
  queue = std::make_shared<WriteQueue>(
      *http, log, [this] { return election->held(); }, [this] { note(); });
  ca = std::make_unique<CaStore>(*http,
                                 CaStore::Options{.ns = options.ns,
                                                  .trust_domain = hub.settings().trust_domain,
                                                  .wait_seconds = options.rotation_wait.count()},
                                 log, authority, [this, changed = std::move(authority_changed)] {
                                   changed();
                                   note();
                                 });
  store = std::make_unique<KubeStore>(
      *http, [this, changed = std::move(state_changed)](const StoreState& state) {
        changed(state);
        note();
      });
  if (!options.mesh_map.empty()) {
    mesh_map = std::make_unique<MeshMap>(
        *http, options.ns, options.mesh_map,
        [this, changed = std::move(mesh_changed)](const MeshState& state) {
          changed(state);
          note();
        });
  }
  http->post([this] {
    if (mesh_map != nullptr) mesh_map->run();
    ca->run();
    root_maps.run();
    waypoints.run();
    debug_token.run();
    look();
  });
  election->run();
}

void Replica::Impl::won_or_lost(bool held) {
  if (held) {
    log.info("lease", "this replica writes from now on", {{"lease", kLease}});
    return note();
  }
  log.warn("lease", "this replica does not write any more", {{"lease", kLease}});
  queue->clear();
}

void Replica::Impl::note() {
  if (std::exchange(due, true)) return;
  http->at(Clock::now() + kGather, [this] { plan(); });
}

// Once an hour, for as long as it is true; `weft_control_ca_expires_seconds` says it before.
void Replica::Impl::warn_of_the_end() {
  const auto status = ca->status();
  const auto left = status.expires - std::time(nullptr);
  if (status.expires == 0 || left > kWarnSeconds || Clock::now() < next_warning) return;
  next_warning = Clock::now() + std::chrono::hours(1);
  log.warn("ca",
           status.plugged_in ? "the plugged-in authority ends soon: replace the Secret cacerts"
                             : "the root ends soon: rotate it",
           {{"days", std::to_string(left / 86'400)}});
}

// Everybody whom we know trusts the roots of now. Who does not is named, once an hour in the log.
bool Replica::Impl::acknowledged(const Snapshot& snapshot) {
  const auto signer = authority.now();
  const auto status = ca->status();
  const bool rotating = !status.plugged_in && !status.state.empty() && status.state != "settled";
  std::vector<Unacknowledged> now;
  if (signer != nullptr && rotating) {
    if (!root_maps.complete()) now.push_back({"ConfigMaps", "they are not known yet"});
    const std::int64_t until = status.since + options.rotation_wait.count();
    if (std::time(nullptr) < until) {
      now.push_back({"certificates that are not known here",
                     "other replicas, or this one before it was started, may have signed some with "
                     "the roots of before: the last ends by " +
                         kube::timestamp(until)});
    }
    auto left = unacknowledged(snapshot, signer->root_pem(),
                               root_maps.plan(*snapshot.world, signer->root_pem()),
                               authority.holders(), std::time(nullptr));
    now.insert(now.end(), std::make_move_iterator(left.begin()),
               std::make_move_iterator(left.end()));
  }
  if (!now.empty() && Clock::now() >= next_word) {
    next_word = Clock::now() + std::chrono::hours(1);
    log.warn("ca", "the rotation of the root waits for an acknowledgement",
             {{"who", now.front().who},
              {"what", now.front().what},
              {"all", std::to_string(now.size())}});
  }
  const bool all = signer != nullptr && now.empty();
  const std::lock_guard lock(mutex);
  waiting = std::move(now);
  return all;
}

void Replica::Impl::look() {
  note();
  if (const auto snapshot = hub.snapshot()) (void)acknowledged(*snapshot);
  warn_of_the_end();
  http->at(Clock::now() + kLook, [this] { look(); });
}

void Replica::Impl::plan() {
  due = false;
  const auto snapshot = hub.snapshot();
  if (!election->held() || snapshot == nullptr) return;
  ++plans;
  if (auto write = ca->plan(std::time(nullptr), acknowledged(*snapshot)))
    queue->put(*std::move(write));
  if (const auto signer = authority.now()) {
    for (Write& write : root_maps.plan(*snapshot->world, signer->root_pem())) {
      queue->put(std::move(write));
    }
  }
  for (Write& write : waypoints.plan(*snapshot->world, hub.settings())) {
    queue->put(std::move(write));
  }
  for (Write& write : plan_addresses(*snapshot->world)) queue->put(std::move(write));
  for (Write& write : plan_statuses(compute_statuses(*snapshot->world, hub.settings()),
                                    store->statuses(), kube::timestamp(std::time(nullptr)))) {
    queue->put(std::move(write));
  }
}

Replica::Replica(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Replica::~Replica() { stop(); }

void Replica::stop() {
  if (impl_->election != nullptr) impl_->election->release();
  impl_->http->stop();
}

std::expected<std::unique_ptr<Replica>, std::string> Replica::open(
    Options options, Hub& hub, ca::Authority& authority, telemetry::Log& log,
    std::function<void(const StoreState&)> state_changed,
    std::function<void(const MeshState&)> mesh_changed, std::function<void()> authority_changed) {
  auto http = kube::Http::open(options.access);
  if (!http) return std::unexpected(http.error());
  auto impl = std::make_unique<Impl>(std::move(options), *std::move(http), hub, authority, log);
  impl->begin(std::move(state_changed), std::move(mesh_changed), std::move(authority_changed));
  return std::unique_ptr<Replica>(new Replica(std::move(impl)));
}

std::string Replica::debug_token() const { return impl_->debug_token.token(); }
Authenticator& Replica::tokens() { return impl_->reviews; }
void Replica::settle(int timeout_ms) { impl_->store->settle(timeout_ms); }
std::expected<Done, std::string> Replica::rotate() { return impl_->ca->rotate(); }
CaStore::Status Replica::ca_status() const { return impl_->ca->status(); }
std::vector<Unacknowledged> Replica::ca_waiting() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->waiting;
}
std::string Replica::mesh_map() const {
  return impl_->mesh_map == nullptr ? "" : impl_->mesh_map->name();
}
std::optional<std::string> Replica::mesh_map_version() const {
  return impl_->mesh_map == nullptr ? std::nullopt : impl_->mesh_map->version();
}
kube::Election::Health Replica::election() const { return impl_->election->health(); }

std::vector<std::string> Replica::problems() const {
  std::vector<std::string> all = impl_->queue->problems();
  const auto add = [&](std::string text) {
    if (!text.empty()) all.push_back(std::move(text));
  };
  add(impl_->ca->status().problem);
  add(impl_->election->health().problem);
  add(impl_->reviews.problem());
  add(impl_->root_maps.problem());
  for (std::string& problem : impl_->waypoints.problems()) add(std::move(problem));
  return all;
}

std::string Replica::metrics() const {
  std::string text;
  const auto add = [&](const char* name, const char* type, const char* help, std::uint64_t value) {
    text.append("# HELP ").append(name).append(" ").append(help);
    text.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
    text.append(name).append(" ").append(std::to_string(value)).append("\n");
  };
  const auto reviews = impl_->reviews.counters();
  const auto writes = impl_->queue->counters();
  const auto lease = impl_->election->health();
  const auto ca = impl_->ca->status();
  std::uint64_t lists = 0, watches = 0, events = 0, failures = 0, complete = 0;
  const auto kinds = impl_->store->health();
  for (const auto& kind : kinds) {
    lists += kind.health.lists;
    watches += kind.health.watches;
    events += kind.health.events;
    failures += kind.health.failures;
    complete += kind.health.complete ? 1 : 0;
  }
  add("weft_control_kinds", "gauge", "Kinds of objects that are kept.", kinds.size());
  add("weft_control_kinds_complete", "gauge", "Kinds of which there is a whole copy.", complete);
  add("weft_control_lists_total", "counter", "Lists begun.", lists);
  add("weft_control_watches_total", "counter", "Watches begun.", watches);
  add("weft_control_watch_events_total", "counter", "Changes that came by a watch.", events);
  add("weft_control_watch_failures_total", "counter", "Lists and watches that failed.", failures);
  add("weft_control_token_reviews_total", "counter", "Tokens asked about.", reviews.asked);
  add("weft_control_token_reviews_refused_total", "counter", "Tokens that are no good.",
      reviews.refused);
  add("weft_control_token_reviews_failed_total", "counter", "Questions without an answer.",
      reviews.failed);
  add("weft_control_tokens_cached_total", "counter", "Callers known without a question.",
      reviews.cached);
  add("weft_control_writer", "gauge", "This replica holds the Lease.", lease.held ? 1 : 0);
  add("weft_control_lease_failures_total", "counter", "Requests about the Lease that failed.",
      lease.failures);
  add("weft_control_plans_total", "counter", "Times that what is to be written was derived.",
      impl_->plans);
  add("weft_control_writes_total", "counter", "Objects written.", writes.written);
  add("weft_control_write_conflicts_total", "counter", "Writes that somebody was before.",
      writes.conflicts);
  add("weft_control_writes_failed_total", "counter", "Writes that were refused.", writes.failed);
  add("weft_control_ca_expires_seconds", "gauge",
      "When the authority, or one above it, ends; seconds since 1970.",
      static_cast<std::uint64_t>(ca.expires));
  add("weft_control_ca_settled", "gauge", "No rotation of the root is under way.",
      ca.state == "settled" || ca.state == "plugged in" ? 1 : 0);
  add("weft_control_ca_waiting", "gauge",
      "Nodes, waypoints and namespaces that a rotation of the root waits for.",
      ca_waiting().size());
  return text;
}

}  // namespace mesh::control::kubernetes
