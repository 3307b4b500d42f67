#include "control/envoy/waypoint_hub.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "control/envoy/waypoint_cache.h"
#include "control/waypoints.h"

namespace mesh::control {
namespace {

// How long the world must be quiet before it is computed, and how long that may put it off.
constexpr std::chrono::milliseconds kQuiet{20};
constexpr std::chrono::milliseconds kLatest{250};
constexpr std::size_t kMaxNotes = 10'000;

// In the incumbent's words and order.
constexpr std::pair<EnvoyType, const char*> kTypeNames[] = {{EnvoyType::kCluster, "CDS"},
                                                            {EnvoyType::kListener, "LDS"},
                                                            {EnvoyType::kEndpoint, "EDS"},
                                                            {EnvoyType::kRoute, "RDS"}};

const char* name_of(WaypointSession::Delivery delivery) {
  switch (delivery) {
    case WaypointSession::Delivery::kIgnored:
      return "IGNORED";
    case WaypointSession::Delivery::kStale:
      return "STALE";
    case WaypointSession::Delivery::kRefused:
      return "ERROR";
    case WaypointSession::Delivery::kSynced:
      break;
  }
  return "SYNCED";
}

}  // namespace

// ---- WaypointConversation -----------------------------------------------------------------------

WaypointConversation::WaypointConversation(Caller caller, bool delta, std::function<void()> wake)
    : caller_(std::move(caller)), delta_(delta), wake_(std::move(wake)), session_(delta) {}

std::optional<std::string> WaypointConversation::receive(std::string_view bytes) {
  auto decoded = decode_envoy_request(delta_, bytes);
  if (!decoded) return "not a discovery request";
  const std::lock_guard lock(mutex_);
  if (decoded->node_id && !node_) {
    auto node = parse_waypoint_id(*decoded->node_id);
    if (!node) return "the node's id is not a waypoint's: waypoint~ADDRESS~POD.NAMESPACE~DOMAIN";
    if (node->ns != caller_.ns || (!caller_.pod.empty() && node->pod != caller_.pod)) {
      return caller_.to_string() + " may not be the waypoint " + node->ns + "/" + node->pod;
    }
    node->sds_folder = decoded->sds_folder;
    node->checks_through_tunnels = decoded->checks_through_tunnels;
    node_ = std::move(node);
  }
  if (!node_) return "the first request has no node";
  const auto received = session_.receive(decoded->request);
  if (!received) return std::string(received.error().during);
  note_progress();
  return {};
}

void WaypointConversation::note_progress() {
  if (configured_ != nullptr && session_.is_current()) acked_version_ = version_;
}

std::optional<std::string> WaypointConversation::next() {
  const std::lock_guard lock(mutex_);
  const auto response = session_.next();
  if (!response) return {};
  return encode_envoy_response(delta_, *response);
}

std::optional<WaypointNode> WaypointConversation::node() const {
  const std::lock_guard lock(mutex_);
  return node_;
}

void WaypointConversation::configure(std::shared_ptr<const WaypointSnapshot> snapshot,
                                     std::uint64_t version) {
  {
    const std::lock_guard lock(mutex_);
    version_ = version;
    left_ = false;
    if (configured_ == snapshot) return note_progress();
    configured_ = snapshot;
    session_.update(std::move(snapshot));
    note_progress();
  }
  wake_();
}

void WaypointConversation::leave() {
  const std::lock_guard lock(mutex_);
  left_ = true;
}

WaypointConversation::Status WaypointConversation::status() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::string>> types;
  for (const auto& [type, name] : kTypeNames) {
    types.emplace_back(name, name_of(session_.delivery(type)));
  }
  return {.pod = node_ ? node_->pod : "",
          .ns = node_ ? node_->ns : "",
          .configured = configured_ != nullptr && !left_,
          .current = session_.is_current(),
          .acked_version = acked_version_,
          .last_nack = session_.last_nack(),
          .types = std::move(types)};
}

std::uint64_t WaypointConversation::nacks() const {
  const std::lock_guard lock(mutex_);
  return session_.nacks();
}

// ---- WaypointHub --------------------------------------------------------------------------------

const manifest::Gateway* gateway_of(const World& world, const Caller& caller,
                                    const WaypointNode& node) {
  if (node.ns != caller.ns) return nullptr;
  const auto* pod = world.find<manifest::Pod>(node.ns, node.pod);
  if (pod == nullptr || pod->service_account != caller.service_account) return nullptr;
  return own_gateway(world, pod->metadata);
}

struct WaypointHub::Computed {
  explicit Computed(const Settings& settings) : cache(settings) {}
  WaypointCache cache;
  std::set<std::string> said;
};

WaypointHub::WaypointHub(Settings settings, Note note)
    : settings_(std::move(settings)),
      note_(std::move(note)),
      computed_(std::make_unique<Computed>(settings_)) {}

std::shared_ptr<WaypointHub> WaypointHub::make(Hub& hub, Note note) {
  std::shared_ptr<WaypointHub> made(new WaypointHub(hub.settings(), std::move(note)));
  made->thread_ = std::thread([raw = made.get()] { raw->run(); });
  hub.add(made);
  return made;
}

WaypointHub::~WaypointHub() { stop(); }

void WaypointHub::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void WaypointHub::add(const std::shared_ptr<WaypointConversation>& conversation) {
  {
    const std::lock_guard lock(mutex_);
    conversations_.push_back(conversation);
  }
  look();
}

void WaypointHub::remove(const WaypointConversation* conversation) {
  const std::lock_guard lock(mutex_);
  std::erase_if(conversations_, [&](const auto& one) {
    const auto alive = one.lock();
    return alive == nullptr || alive.get() == conversation;
  });
}

void WaypointHub::look() {
  {
    const std::lock_guard lock(mutex_);
    due_ = true;
  }
  changed_.notify_all();
}

void WaypointHub::follow(std::shared_ptr<const Snapshot> snapshot) {
  {
    const std::lock_guard lock(mutex_);
    snapshot_ = std::move(snapshot);
    due_ = true;
  }
  changed_.notify_all();
}

std::vector<Follower::Status> WaypointHub::proxies() const {
  std::vector<std::shared_ptr<WaypointConversation>> alive;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& one : conversations_) {
      if (auto conversation = one.lock()) alive.push_back(std::move(conversation));
    }
  }
  std::vector<Status> statuses;
  for (const auto& one : alive) {
    WaypointConversation::Status of = one->status();
    if (!of.configured) continue;
    statuses.push_back({.node = "waypoint " + of.ns + "/" + of.pod,
                        .current = of.current,
                        .acked_version = of.acked_version,
                        .last_nack = std::move(of.last_nack),
                        .types = std::move(of.types)});
  }
  return statuses;
}

std::vector<PolicyNote> WaypointHub::notes() const {
  const std::lock_guard lock(mutex_);
  return notes_;
}

void WaypointHub::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait(lock, [this] { return stopping_ || due_; });
    const auto latest = std::chrono::steady_clock::now() + kLatest;
    while (due_ && !stopping_ && std::chrono::steady_clock::now() < latest) {
      due_ = false;
      changed_.wait_for(lock, kQuiet, [this] { return stopping_ || due_; });
    }
    due_ = false;
    const auto snapshot = snapshot_;
    if (stopping_ || snapshot == nullptr || conversations_.empty()) continue;
    lock.unlock();
    compute(snapshot);
    lock.lock();
  }
}

void WaypointHub::compute(const std::shared_ptr<const Snapshot>& snapshot) {
  std::vector<std::shared_ptr<WaypointConversation>> alive;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& one : conversations_) {
      if (auto conversation = one.lock()) alive.push_back(std::move(conversation));
    }
  }
  Computed& computed = *computed_;
  const World& world = *snapshot->world;
  computed.cache.follow(snapshot);
  for (const auto& conversation : alive) {
    const auto node = conversation->node();
    const manifest::Gateway* gateway =
        node ? gateway_of(world, conversation->caller(), *node) : nullptr;
    if (gateway == nullptr) {
      conversation->leave();
      continue;
    }
    const auto* pod = world.find<manifest::Pod>(node->ns, node->pod);
    const WaypointClient client{.gateway = gateway,
                                .locality = locality_of(world, *pod),
                                .labels = pod->metadata.labels,
                                .sds_folder = node->sds_folder,
                                .checks_through_tunnels = node->checks_through_tunnels};
    conversation->configure(computed.cache.of(client), snapshot->version);
  }
  std::set<std::string> now;
  std::vector<PolicyNote> notes;
  for (PolicyNote& note : computed.cache.notes()) {
    std::string text = note.object.to_string() + ": " + note.text;
    if (now.size() >= kMaxNotes || !now.insert(text).second) continue;
    if (note_ && !computed.said.contains(text)) note_(note);
    notes.push_back(std::move(note));
  }
  computed.said = std::move(now);
  const std::lock_guard lock(mutex_);
  notes_ = std::move(notes);
}

}  // namespace mesh::control
