#include "ebpf/node.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "ebpf/node_log.h"

namespace mesh::ebpf {
namespace {

std::string describe(const PodInfo& pod) { return pod.ns + "/" + pod.name + " (" + pod.uid + ")"; }

std::string in_words(std::string_view what, const Error& error) {
  return std::string(what) + ": " + explain(error);
}

}  // namespace

std::expected<std::unique_ptr<Node>, std::string> Node::start(NodeOptions options) {
  auto exempt = ExemptCgroups::create();
  if (!exempt) return std::unexpected(in_words("cannot use BPF", exempt.error()));
  // Loaded once for nothing: a kernel that refuses the programs says so now and not at a pod.
  if (const auto trial = Programs::load(weft_pod{}, *exempt, KeptMaps{}); !trial)
    return std::unexpected(in_words("the kernel refuses the programs", trial.error()));
  std::unique_ptr<Node> node(new Node(std::move(options), *std::move(exempt)));
  const auto stored = node->store_.load();
  if (!stored) return std::unexpected(stored.error());
  for (const StoredPod& pod : *stored)
    if (const auto taken = node->take_up(pod); !taken)
      log_error("pod " + describe(pod.info) + " is given up: " + taken.error());
  node->take_up_cgroups();
  if (const auto saved = node->save(); !saved) return std::unexpected(saved.error());
  return node;
}

std::expected<void, std::string> Node::take_up(const StoredPod& stored) {
  auto netns = find_namespace(stored);
  if (!netns) return std::unexpected("its network namespace is gone");
  CaptureOptions options = capture_options(stored.info);
  options.keep_older_connections = false;
  options.saved_settings = stored.saved_settings;
  options.made_clsact = stored.made_clsact;
  auto capture = Capture::establish(*netns, std::move(options), exempt_);
  if (!capture) return std::unexpected(explain(capture.error()));
  log_info("pod " + describe(stored.info) + " taken up again");
  pods_.emplace(stored.info.uid, Pod{.info = stored.info,
                                     .netns = *std::move(netns),
                                     .cookie = stored.netns_cookie,
                                     .capture = *std::move(capture)});
  return {};
}

// A former agent's exempt cgroups came with its pods' maps; keep those that still live.
void Node::take_up_cgroups() {
  for (const std::uint64_t id : exempt_.list()) {
    auto cgroup = find_cgroup(id);
    if (cgroup && is_populated(*cgroup))
      cgroups_.emplace(id, *std::move(cgroup));
    else
      exempt_.remove(id);
  }
}

void Node::handle(AgentRequest request, std::vector<UniqueFd> descriptors, OnReply reply) {
  switch (request.operation) {
    case Operation::kAdd:
      return add(std::move(request.pod), std::move(descriptors), std::move(reply));
    case Operation::kDel:
      return remove(request.pod.uid, [reply = std::move(reply)](const std::string& error) {
        reply(error.empty() ? format_ok() : format_error(error));
      });
    case Operation::kList:
      return reply(list());
    case Operation::kConnections:
      return reply(connections(request.pod.uid));
    case Operation::kEndConnections:
      return reply(end_connections(request.pod.uid));
    case Operation::kStatus:
      return reply(
          format_status({.node = options_.name,
                         .pods = pods_.size(),
                         .ztunnels = ztunnels_.size(),
                         .refused_callers = refusals_.count(Refusals::Kind::kCaller),
                         .refused_requests = refusals_.count(Refusals::Kind::kRequest),
                         .refused_ztunnels = refusals_.count(Refusals::Kind::kZtunnel),
                         .attach = options_.attach == AttachKind::kTcx ? "tcx" : "clsact"}));
    case Operation::kShutdown:
      if (request.detach) detach_all();
      should_stop_ = true;
      return reply(format_ok());
    default:
      return reply(format_error("the agent knows no pods by labels: it runs without --kubernetes"));
  }
}

std::expected<net::NetworkNamespace, std::string> Node::namespace_of(UniqueFd descriptor) const {
  auto netns = net::NetworkNamespace::adopt(descriptor.release());
  if (!netns) return std::unexpected("the descriptor is no network namespace");
  const auto own = net::NetworkNamespace::current();
  if (own && own->inode() == netns->inode())
    return std::unexpected("the namespace is the node's own: such pods cannot be in the mesh");
  return *std::move(netns);
}

std::expected<void, std::string> Node::check_room(const PodInfo& info, std::uint64_t cookie) {
  for (const auto& [uid, pod] : pods_)
    if (uid != info.uid && pod.cookie == cookie)
      return std::unexpected("the namespace is enrolled as pod " + describe(pod.info));
  if (pods_.size() >= options_.pods_max && !pods_.contains(info.uid))
    return std::unexpected("the limit of " + std::to_string(options_.pods_max) +
                           " pods a node is reached (--max-pods)");
  return {};
}

void Node::add(PodInfo info, std::vector<UniqueFd> descriptors, OnReply reply) {
  if (descriptors.size() != 1)
    return reply(
        format_error("add takes one descriptor, that of the pod's network namespace; got " +
                     std::to_string(descriptors.size())));
  enrol(
      std::move(info), std::move(descriptors.front()),
      [reply = std::move(reply)](const Enrolled& outcome) {
        reply(outcome.error.empty() ? format_added(outcome.ztunnel) : format_error(outcome.error));
      });
}

void Node::enrol(PodInfo info, UniqueFd descriptor, std::function<void(Enrolled)> done) {
  auto netns = namespace_of(std::move(descriptor));
  if (!netns) return done({.error = netns.error()});
  const std::string uid = info.uid;
  const std::string described = describe(info);
  if (const auto captured = capture(std::move(info), *std::move(netns)); !captured) {
    log_error("pod " + described + " cannot be enrolled: " + captured.error());
    return done({.error = captured.error()});
  }
  log_info("pod " + described + " enrolled");
  if (probes_ != nullptr) probes_->add(pods_.at(uid).info.ips);
  tell_newest(pods_.at(uid), std::move(done));
}

std::expected<void, std::string> Node::capture(PodInfo info, net::NetworkNamespace netns) {
  const auto cookie = cookie_of(netns);
  if (!cookie) return std::unexpected(explain(cookie.error()));
  if (auto room = check_room(info, *cookie); !room) return room;
  CaptureOptions options = capture_options(info);
  Pod* known = find(info.uid);
  if (known != nullptr && known->leaving)
    return std::unexpected("a pod of that uid is being removed; try again");
  if (known != nullptr && known->cookie == *cookie) {
    options.saved_settings = known->capture.saved_settings();
    options.made_clsact = known->capture.made_clsact();
  }
  auto capture = Capture::establish(netns, std::move(options), exempt_);
  if (!capture) return std::unexpected(explain(capture.error()));
  Pod pod{.info = std::move(info),
          .netns = std::move(netns),
          .cookie = *cookie,
          .capture = *std::move(capture)};
  const std::string uid = pod.info.uid;
  if (known == nullptr) {
    pods_.emplace(uid, std::move(pod));
  } else {
    std::swap(*known, pod);
    // Under the same uid in another namespace: the pod has moved, and leaves nothing behind.
    if (pod.cookie != *cookie) static_cast<void>(pod.capture.remove(pod.netns));
  }
  if (auto saved = save(); !saved) {
    Pod& unsaved = pods_.at(uid);
    static_cast<void>(unsaved.capture.remove(unsaved.netns));
    pods_.erase(uid);
    return saved;
  }
  return {};
}

void Node::tell_newest(const Pod& pod, std::function<void(Enrolled)> done) {
  if (ztunnels_.empty()) return done({.captured = true});
  const std::string described = describe(pod.info);
  ztunnels_.back()->add(
      pod.info, pod.netns.fd(), [described, done = std::move(done)](const ZdsAnswer& answer) {
        if (answer.kind == ZdsAnswer::Kind::kAcked)
          return done({.ztunnel = true, .captured = true});
        log_warning("ztunnel did not take pod " + described + ": " + answer.error);
        if (answer.kind == ZdsAnswer::Kind::kLost) return done({.captured = true});
        done({.error = "the pod is captured, but ztunnel refused it: " + answer.error,
              .captured = true});
      });
}

void Node::remove(const std::string& uid, std::function<void(std::string)> done) {
  Pod* pod = find(uid);
  if (pod == nullptr) return done({});
  if (pod->leaving) return done("the pod is being removed already");
  // ztunnels first: until they let go, the pod's traffic stays captured.
  pod->leaving = true;
  if (ztunnels_.empty()) return finish_remove(uid, done);
  const auto waiting = std::make_shared<std::size_t>(ztunnels_.size());
  for (const auto& ztunnel : ztunnels_)
    ztunnel->del(uid, [this, uid, waiting, done](const ZdsAnswer& answer) {
      if (answer.kind != ZdsAnswer::Kind::kAcked)
        log_warning("ztunnel did not confirm that pod " + uid + " is gone: " + answer.error);
      if (--*waiting == 0) finish_remove(uid, done);
    });
}

void Node::let_go(const std::string& uid) {
  Pod* pod = find(uid);
  if (pod == nullptr || pod->leaving || pod->let_go) return;
  CaptureOptions options = capture_options(pod->info);
  options.lets_go = true;
  options.saved_settings = pod->capture.saved_settings();
  options.made_clsact = pod->capture.made_clsact();
  auto capture = Capture::establish(pod->netns, std::move(options), exempt_);
  if (!capture) {
    log_error("pod " + describe(pod->info) +
              " cannot be let go, so its connections end: " + explain(capture.error()));
    return remove(uid, [](const std::string&) {});
  }
  pod->capture = *std::move(capture);
  pod->let_go = true;
  forget_probes(pod->info.ips);
  log_info("pod " + describe(pod->info) + " is let go: only its open connections are in the mesh");
}

void Node::remove_those_let_go() {
  std::vector<std::string> done;
  for (auto& [uid, pod] : pods_) {
    if (!pod.let_go || pod.leaving) continue;
    const auto left = pod.capture.captured(pod.netns);
    if (!left || *left == 0) done.push_back(uid);
  }
  for (const std::string& uid : done) remove(uid, [](const std::string&) {});
}

void Node::finish_remove(const std::string& uid, const std::function<void(std::string)>& done) {
  Pod* pod = find(uid);
  if (pod == nullptr) return done({});
  const auto removed = pod->capture.remove(pod->netns);
  log_info("pod " + describe(pod->info) + " removed");
  const std::vector<net::IpAddress> ips = std::move(pod->info.ips);
  pods_.erase(uid);
  forget_probes(ips);
  const auto saved = save();
  if (!removed) return done(in_words("capture was not fully removed", removed.error()));
  done(saved ? std::string() : saved.error());
}

void Node::set_probes(Probes& probes) {
  probes_ = &probes;
  for (const auto& [uid, pod] : pods_) probes_->add(pod.info.ips);
}

// An address may be another pod's by now.
void Node::forget_probes(const std::vector<net::IpAddress>& ips) {
  if (probes_ == nullptr) return;
  probes_->remove(ips);
  for (const auto& [uid, pod] : pods_)
    if (!pod.let_go && std::ranges::find_first_of(pod.info.ips, ips) != pod.info.ips.end())
      probes_->add(pod.info.ips);
}

const PodInfo* Node::enrolled(const std::string& uid) const {
  const auto found = pods_.find(uid);
  const bool stays = found != pods_.end() && !found->second.leaving && !found->second.let_go;
  return stays ? &found->second.info : nullptr;
}

std::vector<const PodInfo*> Node::all_enrolled() const {
  std::vector<const PodInfo*> all;
  for (const auto& [uid, pod] : pods_)
    if (!pod.leaving && !pod.let_go) all.push_back(&pod.info);
  return all;
}

std::vector<const PodInfo*> Node::all_let_go() const {
  std::vector<const PodInfo*> all;
  for (const auto& [uid, pod] : pods_)
    if (!pod.leaving && pod.let_go) all.push_back(&pod.info);
  return all;
}

bool Node::has_ztunnel() const {
  return std::ranges::any_of(ztunnels_, [](const auto& each) { return each->greeted(); });
}

std::string Node::list() {
  std::vector<std::array<std::uint64_t, WEFT_OUTCOMES>> counters;
  counters.reserve(pods_.size());
  std::vector<PodStatus> statuses;
  for (auto& [uid, pod] : pods_) {
    counters.push_back(pod.capture.counters());
    const auto older = pod.capture.older(pod.netns);
    statuses.push_back({.pod = &pod.info,
                        .older_connections = older ? older->size() : 0,
                        .counters = counters.back()});
  }
  return format_list(statuses, ztunnels_.size());
}

std::string Node::connections(const std::string& uid) {
  Pod* pod = find(uid);
  if (pod == nullptr) return format_error("no pod with uid " + uid + " is enrolled");
  const auto older = pod->capture.older(pod->netns);
  if (!older) return format_error(explain(older.error()));
  return format_connections(*older);
}

std::string Node::end_connections(const std::string& uid) {
  Pod* pod = find(uid);
  if (pod == nullptr) return format_error("no pod with uid " + uid + " is enrolled");
  const auto ended = pod->capture.end_older(pod->netns);
  if (!ended) return format_error(explain(ended.error()));
  log_info("pod " + describe(pod->info) + ": " + std::to_string(*ended) +
           " connections older than its enrolment ended");
  return format_ended(*ended);
}

void Node::add_ztunnel(Peer peer) {
  const std::string name = "ztunnel (process " + std::to_string(peer.pid) + ")";
  auto cgroup = cgroup_of_process(peer.pid);
  const auto refuse = [&](const std::string& why) {
    refused(Refusals::Kind::kZtunnel, name + " refused: " + why);
  };
  if (!cgroup)
    return refuse(explain(cgroup.error()) +
                  "; the agent must see the node's processes and cgroup v2");
  if (cgroup->root)
    return refuse("it is in the root cgroup, with everything else; give it its own");
  if (const auto added = exempt_.add(cgroup->id); !added) return refuse(explain(added.error()));
  const std::uint64_t id = cgroup->id;
  cgroups_.insert_or_assign(id, *std::move(cgroup));
  auto session = std::make_unique<ZdsSession>(std::move(peer.socket), name, Clock::now());
  cgroup_of_[session.get()] = id;
  tell_all_pods(*session);
  session->snapshot_sent([name, pods = pods_.size()](const ZdsAnswer& answer) {
    if (answer.kind == ZdsAnswer::Kind::kAcked)
      log_info(name + " has all " + std::to_string(pods) + " pods");
  });
  log_info(name + " connected");
  ztunnels_.push_back(std::move(session));
}

void Node::end_ztunnel(const ZdsSession* session, const std::string& why) {
  const auto found = std::ranges::find(ztunnels_, session, &std::unique_ptr<ZdsSession>::get);
  if (found == ztunnels_.end()) return;
  if (session->broke_protocol())
    refused(Refusals::Kind::kZtunnel, session->name() + " is cut off: " + why);
  else
    log_info(session->name() + " disconnected: " + why);
  const std::unique_ptr<ZdsSession> ended = std::move(*found);
  const bool was_newest = std::next(found) == ztunnels_.end();
  ztunnels_.erase(found);
  cgroup_of_.erase(session);
  if (was_newest && !ztunnels_.empty()) tell_all_pods(*ztunnels_.back());
}

void Node::refused(Refusals::Kind kind, std::string_view what) {
  if (const auto line = refusals_.note(kind, what, Clock::now())) log_warning(*line);
}

void Node::end_all_ztunnels(const std::string& why) {
  while (!ztunnels_.empty()) end_ztunnel(ztunnels_.front().get(), why);
}

// To be told twice does no harm: an add of a pod that ztunnel has is acked.
void Node::tell_all_pods(ZdsSession& session) {
  for (const auto& [uid, pod] : pods_) {
    if (pod.leaving) continue;
    session.add(pod.info, pod.netns.fd(), [described = describe(pod.info)](const auto& answer) {
      if (answer.kind != ZdsAnswer::Kind::kAcked)
        log_warning("ztunnel did not take pod " + described + ": " + answer.error);
    });
  }
}

void Node::audit() {
  ++audits_;
  for (auto& [uid, pod] : pods_)
    if (!pod.leaving) audit(pod);
  audit_cgroups();
  remove_those_let_go();
}

void Node::audit(Pod& pod) {
  constexpr unsigned kRoutingEvery = 10;
  const auto mended = pod.capture.mend(pod.netns);
  if (mended && *mended > 0)
    log_warning("pod " + describe(pod.info) + ": programs were missing in " +
                std::to_string(*mended) + " places; attached again");
  Result<Done> routing = Done{};
  if (audits_ % kRoutingEvery == 0) routing = pod.capture.mend_routing(pod.netns);
  const bool ailing = !mended || !routing;
  if (ailing && !pod.ailing)
    log_error("pod " + describe(pod.info) +
              " cannot be checked: " + explain(!mended ? mended.error() : routing.error()));
  pod.ailing = ailing;
}

void Node::audit_cgroups() {
  std::erase_if(cgroups_, [this](const auto& each) {
    const bool in_use = std::ranges::any_of(
        cgroup_of_, [&](const auto& session) { return session.second == each.first; });
    if (in_use || is_populated(each.second)) return false;
    exempt_.remove(each.first);
    log_info("cgroup " + each.second.path + " is no longer exempt: its ztunnel is gone");
    return true;
  });
}

void Node::detach_all() {
  for (auto& [uid, pod] : pods_) {
    for (const auto& ztunnel : ztunnels_) {
      ztunnel->del(uid, [](const ZdsAnswer&) {});
      static_cast<void>(ztunnel->advance(Clock::now()));
    }
    if (const auto removed = pod.capture.remove(pod.netns); !removed)
      log_error("pod " + describe(pod.info) + ": " + explain(removed.error()));
    else
      log_info("pod " + describe(pod.info) + " removed");
  }
  pods_.clear();
  if (const auto saved = save(); !saved) log_error(saved.error());
}

CaptureOptions Node::capture_options(const PodInfo& info) const {
  return {.addresses = info.ips,
          .probe_v4 = options_.probe_v4,
          .probe_v6 = options_.probe_v6,
          .attach = options_.attach};
}

std::expected<void, std::string> Node::save() {
  std::vector<StoredPod> stored;
  for (const auto& [uid, pod] : pods_)
    stored.push_back({.info = pod.info,
                      .netns_inode = pod.netns.inode(),
                      .netns_cookie = pod.cookie,
                      .saved_settings = pod.capture.saved_settings(),
                      .made_clsact = pod.capture.made_clsact()});
  return store_.save(stored);
}

Node::Pod* Node::find(const std::string& uid) {
  const auto found = pods_.find(uid);
  return found == pods_.end() ? nullptr : &found->second;
}

}  // namespace mesh::ebpf
