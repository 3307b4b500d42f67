#include "test/sim/ztunnel_node.h"

#include "mesh/io/timer.h"
#include "mesh/xds/ads_state.h"
#include "mesh/xds/directory_sink.h"

namespace mesh::sim {

io::Task<Result<identity::Issued>> SimCa::issue(net::SpiffeId id, std::string csr_pem) {
  (void)id;
  const auto delay = io::Duration(world_.random() % static_cast<std::uint64_t>(slowest.count()));
  CO_TRY_DO(co_await io::sleep_for(*ring, delay));
  if (world_.chance(fails)) co_return failed(Reason::kUnreachable, "certificate authority");
  const auto now = std::chrono::floor<std::chrono::seconds>(ring->wall_now());
  auto answer = ca_.sign_request(csr_pem, now, lifetime);
  co_return identity::Issued{.chain_pem = std::move(answer[0]), .roots_pem = std::move(answer[1])};
}

// One run of the process.
struct ZtunnelNode::Life {
  Life(io::Ring& main_ring, const ztunnel::Config& config, SimCa& ca, telemetry::Log& log)
      : ring(main_ring),
        telemetry(log),
        store(
            ring, ca, {},
            [this](const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> one) {
              node.publish(id, std::move(one));
            },
            [&log](std::string_view line) { log.debug("identity", line); }),
        node(
            ring, config, telemetry,
            [this](const net::SpiffeId& id, bool used) {
              if (!used) return store.remove_user(id);
              MESH_CHECK(store.add_user(id).has_value());
            },
            [this](const net::SpiffeId& id) { store.wanted_now(id); }),
        stop(ring),
        discovery({.node = {.id = config.node_name}}) {}

  io::Ring& ring;
  ztunnel::Telemetry telemetry;
  identity::CertificateStore store;
  ztunnel::Node node;
  io::Event stop;
  io::TaskScope feeds;
  xds::AdsState discovery;
  xds::DirectorySink sink;
  bool started = false;
};

ZtunnelNode::ZtunnelNode(io::sim::World& world, io::sim::Host& host, const test::TestCa& ca,
                         telemetry::Log& log, ztunnel::Config config, Findings& findings)
    : world_(world),
      host_(host),
      log_(log),
      config_(std::move(config)),
      ca_(world, ca),
      ring_(*host.make_ring()),
      control_(findings, host.name()) {
  ca_.ring = ring_.get();
}

ZtunnelNode::~ZtunnelNode() { MESH_CHECK(life_ == nullptr); }

void ZtunnelNode::start() {
  MESH_CHECK(life_ == nullptr);
  over_ = false;
  life_ = std::make_unique<Life>(*ring_, config_, ca_, log_);
  world_.start(*ring_, live(*life_));
}

void ZtunnelNode::stop() {
  ring_->post([this] {
    if (life_) life_->stop.set();
  });
}

void ZtunnelNode::forget() {
  MESH_CHECK(over_);
  restarted();
  life_.reset();
}

void ZtunnelNode::kill() {
  // The memory of dead processes: nothing of it runs again, and nothing may be destroyed, because
  // what waits in it waits for ever.
  static auto& graveyard =
      *new std::vector<std::pair<std::unique_ptr<io::Ring>, std::unique_ptr<Life>>>;
  restarted();
  host_.kill();
  graveyard.emplace_back(std::move(ring_), std::move(life_));
  ring_ = *host_.make_ring();
  ca_.ring = ring_.get();
}

io::Task<void> ZtunnelNode::live(Life& life) {
  const auto started = co_await life.node.start();
  MESH_CHECK(started.has_value());
  life.started = true;
  life.feeds.spawn(life.store.run());
  life.feeds.spawn(life.node.tend());
  life.feeds.spawn(expire_held());
  connect(true);
  for (const auto& [number, netns] : pods_) life.feeds.spawn(add_one(number, netns));
  life.node.set_agent_ready(true);
  (void)co_await life.stop.wait();
  co_await life.node.drain();
  life.feeds.cancel();
  co_await life.feeds.join();
  over_ = true;
}

io::Task<void> ZtunnelNode::add_one(int number, Netns netns) {
  const std::string text = std::to_string(number);
  std::string problem;
  // A failure is retried by tend().
  (void)co_await life_->node.add_pod({.uid = "uid-" + text,
                                      .name = "pod" + text,
                                      .ns = "ns" + text,
                                      .service_account = "sa" + text},
                                     std::move(netns), problem);
}

void ZtunnelNode::add_pod(int number, io::sim::Host& host) {
  auto netns = std::make_shared<const net::NetworkNamespace>(
      net::NetworkNamespace::simulated(host.netns().inode()));
  pods_[number] = netns;
  ring_->post([this, number, netns] {
    if (life_ && life_->started && !life_->feeds.cancelled()) {
      life_->feeds.spawn(add_one(number, netns));
    }
  });
}

void ZtunnelNode::remove_pod(int number) {
  pods_.erase(number);
  ring_->post([this, number] {
    if (life_) life_->node.remove_pod("uid-" + std::to_string(number));
  });
}

// ---- discovery ----

void ZtunnelNode::deliver(const Response& response) {
  for (const auto& [pod, rule] : response.begins) rules_[pod].published(rule, world_.now());
  std::map<int, std::size_t> ends;
  for (const int pod : response.ends) ends[pod] = rules_[pod].size() - 1;
  control_.tell(response.delta, ends);
  listen();
}

void ZtunnelNode::listen() {
  ring_->post([this] {
    if (life_ && life_->started) talk();
  });
}

void ZtunnelNode::reconnect() {
  ring_->post([this] {
    if (!life_ || !life_->started) return;
    connect(false);
  });
}

void ZtunnelNode::connect(bool fresh) {
  life_->discovery.disconnected();
  life_->discovery.connected();
  control_.connected(fresh);
  talk();
}

void ZtunnelNode::talk() {
  bool taken = false;
  for (bool more = true; more;) {
    more = false;
    while (const auto request = life_->discovery.next_request()) control_.receive(*request);
    if (!life_->discovery.can_receive()) break;
    if (const auto message = control_.next()) {
      more = true;
      taken |= take(*message);
    }
  }
  if (taken) publish();
}

bool ZtunnelNode::take(const Control::Message& message) {
  if (!message.response.type_url.empty()) {
    life_->sink.set_now(world_.now().time_since_epoch());
    const auto update = life_->discovery.receive(message.response, life_->sink);
    if (!update) connect(false);  // what cannot be answered
    if (!update || !*update) return false;
  }
  for (const auto& [pod, rule] : message.ends) ended_[pod][life_->sink.taken()] = rule;
  return true;
}

io::Task<void> ZtunnelNode::expire_held() {
  for (;;) {
    const auto slept = co_await io::sleep_for(*ring_, std::chrono::milliseconds(20));
    if (!slept) co_return;
    const auto now = world_.now().time_since_epoch();
    const auto deadline = life_->sink.deadline();
    if (!deadline || *deadline > now) continue;
    (void)life_->sink.expire(now);
    publish();
  }
}

std::vector<std::pair<int, std::size_t>> ZtunnelNode::newest_rules() const {
  std::vector<std::pair<int, std::size_t>> newest;
  for (const auto& [pod, ended] : ended_) {
    const auto beyond = ended.upper_bound(life_->sink.in_force());
    if (beyond != ended.begin()) newest.emplace_back(pod, std::prev(beyond)->second);
  }
  return newest;
}

void ZtunnelNode::restarted() {
  for (const auto& [pod, index] : newest_rules()) rules_[pod].applied(index, world_.now());
  ended_.clear();  // control tells the next process of all
}

void ZtunnelNode::publish() {
  if (life_->sink.directory() == nullptr) return;
  const std::uint64_t in_force = life_->sink.in_force();
  life_->node.publish(life_->sink.directory(), [this, in_force, newest = newest_rules()] {
    for (const auto& [pod, index] : newest) rules_[pod].applied(index, world_.now());
    life_->discovery.applied(in_force);
    talk();
  });
}

bool ZtunnelNode::all_up() const {
  if (!life_ || !life_->node.pending().empty()) return false;
  return life_->node.pods().size() == pods_.size();
}

void ZtunnelNode::ask_connections() {
  connections = 0;
  ring_->post([this] {
    if (life_ && !life_->feeds.cancelled()) life_->feeds.spawn(count_connections());
  });
}

io::Task<void> ZtunnelNode::count_connections() {
  const auto rows = co_await life_->node.connections(10'000);
  connections = rows.size();
}

}  // namespace mesh::sim
