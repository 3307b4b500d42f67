#include "ebpf/agent.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ranges>
#include <vector>

#include "ebpf/node_log.h"

namespace mesh::ebpf {
namespace {

using Kind = Refusals::Kind;

constexpr std::size_t kCallersMax = 128;
constexpr std::size_t kZtunnelsMax = 8;
constexpr int kLastNewsWithinMs = 300;
constexpr std::size_t kZdsAcceptsPerSecond = 5;
constexpr Clock::duration kAuditInterval = std::chrono::seconds(1);

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

std::expected<std::unique_ptr<Agent>, std::string> Agent::start(AgentOptions options,
                                                                UniqueFd signals) {
  // The sockets first: they also keep a second agent of this node from taking up the same pods.
  std::unique_ptr<Agent> agent(new Agent(std::move(options), nullptr, std::move(signals)));
  if (auto listening = agent->listen(); !listening) return std::unexpected(listening.error());
  auto node = Node::start(agent->options_.node);
  if (!node) return std::unexpected(node.error());
  agent->node_ = *std::move(node);
  if (agent->options_.kubelet_probes) {
    const NodeOptions& options = agent->options_.node;
    auto probes = Probes::create({.v4 = *options.probe_v4, .v6 = *options.probe_v6});
    if (!probes) return std::unexpected("kubelet probes: " + explain(probes.error()));
    agent->probes_ = *std::move(probes);
    agent->node_->set_probes(*agent->probes_);
    agent->keep_probes();
  }
  if (agent->options_.kubernetes) {
    auto cluster = ClusterSide::start(*agent->options_.kubernetes, *agent->node_);
    if (!cluster) return std::unexpected(cluster.error());
    agent->cluster_ = *std::move(cluster);
  }
  if (agent->options_.install) {
    auto installer = cni::Installer::start(*agent->options_.install);
    if (!installer) return std::unexpected(installer.error());
    agent->installer_ = *std::move(installer);
    agent->installer_->mend();
  }
  log_info("node " + agent->options_.node.name + ": ready; ztunnel connects to " +
           agent->options_.zds_socket + ", callers to " + agent->options_.socket);
  return agent;
}

std::expected<void, std::string> Agent::listen() {
  auto callers = listen_seqpacket(options_.socket);
  if (!callers) return std::unexpected(options_.socket + ": " + explain(callers.error()));
  listener_ = *std::move(callers);
  auto ztunnels = listen_seqpacket(options_.zds_socket);
  if (!ztunnels) return std::unexpected(options_.zds_socket + ": " + explain(ztunnels.error()));
  zds_listener_ = *std::move(ztunnels);
  return {};
}

Agent::~Agent() {
  // Sessions answer what still waits, to the cluster's side and to callers: both must be there.
  if (node_ != nullptr) node_->end_all_ztunnels("the agent stops");
  cluster_.reset();
  node_.reset();
  if (listener_) unlink(options_.socket.c_str());
  if (zds_listener_) unlink(options_.zds_socket.c_str());
}

void Agent::run() {
  while (turn()) {
  }
  leave();
  log_info("stopped");
}

// What goes with us. Our DaemonSet's end may be known a moment after the signal.
void Agent::leave() {
  if (cluster_ != nullptr && cluster_->stays()) {
    pollfd news{cluster_->fd(), POLLIN, 0};
    if (poll(&news, 1, kLastNewsWithinMs) > 0) cluster_->take_news();
  }
  const bool for_good = cluster_ != nullptr && !cluster_->stays();
  if (for_good && installer_ != nullptr)
    if (const auto removed = cni::Installer::remove(installer_->options()); !removed)
      log_error("weft-cni cannot be removed: " + removed.error());
  if (for_good) cluster_->keeper().say_goodbye();
  if (for_good || options_.detach_on_exit) {
    node_->detach_all();
    if (probes_ != nullptr) probes_->remove_all();
  }
  if (for_good) cluster_->settle();
}

Result<Cgroup> Agent::kubelet_cgroup() {
  if (!options_.kubelet_cgroup.empty()) return cgroup_at(options_.kubelet_cgroup);
  if (!kubelet_ || !is_there(*kubelet_)) {
    kubelet_.reset();
    TRY(kubelet_, find_kubelet());
  }
  return kubelet_->cgroup;
}

// Once a second: kubelets are restarted, and come back in a new control group.
void Agent::keep_probes() {
  if (probes_ == nullptr) return;
  const auto cgroup = kubelet_cgroup();
  const auto attached =
      cgroup ? probes_->attach(*cgroup) : Result<bool>(std::unexpected(cgroup.error()));
  if (attached && *attached) log_info("kubelet probes: the kubelet is in " + cgroup->path);
  const std::string said = attached ? std::string() : explain(attached.error());
  if (said != probes_said_ && !said.empty())
    log_warning(
        "kubelet probes cannot be told from other traffic of the node, and fail where mutual TLS "
        "is "
        "a must: " +
        said + " (--kubelet-cgroup)");
  probes_said_ = said;
}

void Agent::keep_installed(const std::map<int, short>& ready) {
  if (installer_ == nullptr) return;
  if (ready.contains(installer_->fd()) || Clock::now() >= next_audit_) installer_->mend();
}

// Waits for something to happen, and handles it. False: it is time to stop.
bool Agent::turn() {
  std::vector<pollfd> polled{{signals_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  if (may_accept_ztunnel()) polled.push_back({zds_listener_.get(), POLLIN, 0});
  for (const auto& ztunnel : node_->ztunnels()) polled.push_back({ztunnel->fd(), POLLIN, 0});
  if (cluster_ != nullptr) polled.push_back({cluster_->fd(), POLLIN, 0});
  if (installer_ != nullptr) polled.push_back({installer_->fd(), POLLIN, 0});
  for (const auto& [id, caller] : callers_)
    if (!caller.busy) polled.push_back({caller.socket.get(), POLLIN, 0});
  if (poll(polled.data(), polled.size(), timeout_ms()) < 0 && errno != EINTR) {
    log_error(explain(failed_with_errno(errno, "poll").error()));
    return false;
  }
  std::map<int, short> ready;
  for (const pollfd& each : polled)
    if (each.revents != 0) ready.emplace(each.fd, each.revents);
  if (ready.contains(signals_.get())) return false;

  advance_ztunnels(ready);
  std::vector<std::uint64_t> speaking;
  for (const auto& [id, caller] : callers_)
    if (ready.contains(caller.socket.get())) speaking.push_back(id);
  for (const std::uint64_t id : speaking) on_caller(id);
  if (ready.contains(listener_.get())) on_listener();
  if (ready.contains(zds_listener_.get())) on_zds_listener();
  if (cluster_ != nullptr) cluster_->advance(Clock::now());
  // Both may have queued something.
  advance_ztunnels({});
  keep_installed(ready);
  if (Clock::now() >= next_audit_) {
    node_->audit();
    keep_probes();
    next_audit_ = Clock::now() + kAuditInterval;
  }
  return !node_->should_stop();
}

int Agent::timeout_ms() const {
  Clock::time_point wake = next_audit_;
  for (const auto& ztunnel : node_->ztunnels())
    if (const auto deadline = ztunnel->deadline()) wake = std::min(wake, *deadline);
  if (cluster_ != nullptr) wake = std::min(wake, cluster_->keeper().wake());
  if (!may_accept_ztunnel() && !accepted_.empty())
    wake = std::min(wake, accepted_.front() + std::chrono::seconds(1));
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(wake - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 1000));
}

bool Agent::may_accept_ztunnel() const {
  const auto recent = std::ranges::count_if(
      accepted_, [now = Clock::now()](auto at) { return now - at < std::chrono::seconds(1); });
  return static_cast<std::size_t>(recent) < kZdsAcceptsPerSecond;
}

void Agent::on_zds_listener() {
  auto peer = accept_peer(zds_listener_.get());
  if (!peer) return;
  accepted_.push_back(Clock::now());
  if (accepted_.size() > kZdsAcceptsPerSecond) accepted_.pop_front();
  if (peer->uid != 0)
    return node_->refused(Kind::kZtunnel, "a process of user " + std::to_string(peer->uid) +
                                              " tried to be a ztunnel: refused");
  if (node_->ztunnels().size() >= kZtunnelsMax)
    return node_->refused(Kind::kZtunnel, "a ninth ztunnel wants to connect: refused");
  node_->add_ztunnel(*std::move(peer));
}

void Agent::on_listener() {
  auto peer = accept_peer(listener_.get());
  if (!peer) return;
  if (peer->uid != 0)
    return node_->refused(Kind::kCaller, "a process of user " + std::to_string(peer->uid) +
                                             " tried to give orders: refused");
  if (callers_.size() >= kCallersMax) {
    auto idle = callers_.end();
    for (auto each = callers_.begin(); each != callers_.end(); ++each)
      if (!each->second.busy &&
          (idle == callers_.end() || each->second.last_heard < idle->second.last_heard))
        idle = each;
    if (idle == callers_.end())
      return node_->refused(Kind::kCaller, "128 callers wait for an answer: refused one");
    callers_.erase(idle);
  }
  callers_.emplace(
      next_caller_++,
      Caller{.socket = std::move(peer->socket), .process = peer->pid, .last_heard = Clock::now()});
}

void Agent::on_caller(std::uint64_t id) {
  Caller& caller = callers_.at(id);
  auto packet = receive_packet(caller.socket.get(), kRequestBytesMax);
  if (!packet || packet->bytes.empty()) {
    if (!packet && packet.error().os_errno == EAGAIN) return;
    callers_.erase(id);
    return;
  }
  caller.last_heard = Clock::now();
  caller.busy = true;
  if (packet->truncated)
    return refuse(id, "the request is over 64 KiB, or has too many descriptors");
  auto request =
      parse_request({reinterpret_cast<const char*>(packet->bytes.data()), packet->bytes.size()});
  if (!request) return refuse(id, request.error());
  serve(*std::move(request), std::move(packet->descriptors),
        [this, id](const std::string& text) { answer(id, text); });
}

// With a cluster, who is in the mesh is decided by its labels, and nobody else enrols.
void Agent::serve(AgentRequest request, std::vector<UniqueFd> descriptors, OnReply reply) {
  const Operation operation = request.operation;
  if (cluster_ == nullptr) return node_->handle(std::move(request), std::move(descriptors), reply);
  if (operation == Operation::kAdd || operation == Operation::kDel)
    return reply(
        format_error("pods are enrolled by their labels here: see istio.io/dataplane-mode"));
  if (is_of_cni(operation))
    return cluster_->keeper().handle(std::move(request), std::move(descriptors), std::move(reply),
                                     Clock::now());
  node_->handle(std::move(request), std::move(descriptors), std::move(reply));
}

// Who does not speak the protocol is told, and let go.
void Agent::refuse(std::uint64_t id, const std::string& why) {
  node_->refused(Kind::kRequest, "a request of process " + std::to_string(callers_.at(id).process) +
                                     " was refused: " + why);
  answer(id, format_error(why));
  callers_.erase(id);
}

void Agent::answer(std::uint64_t id, const std::string& text) {
  const auto caller = callers_.find(id);
  if (caller == callers_.end()) return;
  caller->second.busy = false;
  if (!send_packet(caller->second.socket.get(), bytes_of(text))) callers_.erase(caller);
}

void Agent::advance_ztunnels(const std::map<int, short>& ready) {
  // A session that ends answers its requests, which may reach back into the node: collect first.
  std::vector<std::pair<const ZdsSession*, std::string>> ended;
  for (const auto& ztunnel : node_->ztunnels()) {
    const auto now = Clock::now();
    auto alive = ready.contains(ztunnel->fd()) ? ztunnel->on_readable(now)
                                               : std::expected<void, std::string>();
    if (alive) alive = ztunnel->advance(now);
    if (!alive) ended.emplace_back(ztunnel.get(), alive.error());
    const bool greets = ztunnel->greeted() && greeted_.insert(ztunnel.get()).second;
    if (greets && cluster_ != nullptr) cluster_->keeper().touch();
  }
  for (const auto& each : ended) greeted_.erase(each.first);
  for (const auto& [session, why] : ended) node_->end_ztunnel(session, why);
}

}  // namespace mesh::ebpf
