#include "cli/lab/kubelet.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "cli/lab/agent_client.h"
#include "cli/lab/cgroup.h"
#include "cli/lab/files.h"
#include "cli/lab/network.h"
#include "cli/lab/probe.h"
#include "cli/lab/waypoints.h"

namespace mesh::cli::lab {
namespace {

constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::milliseconds kProbeUntilReady{100};
constexpr std::chrono::seconds kRestartMax{30};
constexpr std::chrono::minutes kStable{10};

template <class Time>
void earliest(std::optional<Time>& next, const std::optional<Time>& other) {
  if (other && (!next || *other < *next)) next = other;
}

std::string new_uid() {
  const std::string hex = random_hex(16);
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-4" + hex.substr(13, 3) + "-a" +
         hex.substr(17, 3) + "-" + hex.substr(20, 12);
}

int last_octet(const std::string& address) {
  return std::atoi(address.c_str() + address.rfind('.') + 1);
}

}  // namespace

Kubelet::Kubelet(Record& record, std::string waypoint, Log log)
    : record_(record), waypoint_(std::move(waypoint)), log_(std::move(log)) {
  service_addresses_.reserve(kDnsAddress);
  for (const NodeRecord& node : record_.nodes) {
    pod_addresses_.emplace(node.name, PodAddresses(node_number(node.name)));
  }
}

int Kubelet::node_number(const std::string& name) const {
  for (std::size_t i = 0; i < record_.nodes.size(); ++i) {
    if (record_.nodes[i].name == name) return static_cast<int>(i) + 1;
  }
  return 0;
}

void Kubelet::reconcile() {
  if (auto arranged = arrange(record_.manifests()); !arranged) log_(arranged.error());
  if (record_.mesh && !waypoint_.empty()) {
    const auto provided = provide_waypoints(record_.manifests(), waypoint_);
    if (!provided) log_("waypoints: " + provided.error());
  }
  const Contents contents = read_contents(record_.manifests());
  for (const std::string& sentence : contents.problems) log_("manifests: " + sentence);
  namespace_modes_ = contents.namespace_modes;
  reconcile_services(contents);
  reconcile_pods(contents);
  reconcile_enrolment(contents);
  write_hosts();
  publish();
}

void Kubelet::reconcile_services(const Contents& contents) {
  for (const auto& [key, found] : contents.services) {
    Service service = found;
    const auto known = services_.find(key);
    if (service.wants_address && service.addresses.empty()) {
      if (known != services_.end()) service.addresses = known->second.addresses;
      if (service.addresses.empty()) {
        const auto v4 = service_addresses_.take_v4();
        const auto v6 = service_addresses_.take_v6();
        if (service.wants_v4 && v4) service.addresses.push_back(*v4);
        if (service.wants_v6 && v6) service.addresses.push_back(*v6);
      }
    }
    if (service.wants_address) {
      for (const std::string& address : service.addresses) service_addresses_.reserve(address);
      const std::string text = with_addresses(service, service.addresses);
      if (text != service.json + "\n") {
        const auto written =
            write_file(service_file(record_.manifests(), service.ns, service.name), text);
        if (!written) log_(written.error());
      }
    }
    services_[key] = service;
  }
  if (!contents.problems.empty()) return;  // what is missing may only be unreadable
  std::erase_if(services_, [&](const auto& entry) {
    if (contents.services.contains(entry.first)) return false;
    for (const std::string& address : entry.second.addresses) service_addresses_.give_back(address);
    return true;
  });
}

void Kubelet::reconcile_pods(const Contents& contents) {
  for (const auto& [key, run] : pods_) {
    if (run->stage == Stage::kEnding) continue;
    const auto wanted = contents.pods.find(key);
    if (wanted == contents.pods.end()) {
      if (contents.problems.empty()) begin_end(*run);
    } else if (wanted->second.fingerprint != run->pod.fingerprint) {
      log_("pod " + key + " has changed");
      begin_end(*run);
    } else if (wanted->second.json + "\n" != run->written && !run->written.empty()) {
      run->pod.json = wanted->second.json;
      write_status(*run);
    }
  }
  for (const auto& [key, pod] : contents.pods) {
    if (!pods_.contains(key)) begin(pod);
  }
}

void Kubelet::reconcile_enrolment(const Contents& contents) {
  for (const auto& [key, run] : pods_) {
    const auto pod = contents.pods.find(key);
    if (run->stage != Stage::kRunning || pod == contents.pods.end()) continue;
    const auto mode = namespace_modes_.find(run->pod.ns);
    const bool enrolled =
        record_.mesh &&
        is_enrolled(pod->second, mode == namespace_modes_.end() ? "" : mode->second);
    if (enrolled == run->record.enrolled && enrolled == run->told) continue;
    run->record.enrolled = enrolled;
    if (enrolled) {
      const auto told = tell_agent(*run);
      log_("pod " + key + (told ? " joined the mesh" : " cannot join the mesh: " + told.error()));
    } else {
      untell_agent(*run);
      log_("pod " + key + " left the mesh");
    }
  }
}

void Kubelet::begin(const Pod& pod) {
  auto run = std::make_unique<PodRun>();
  run->pod = pod;
  run->record.ns = pod.ns;
  run->record.name = pod.name;
  run->record.uid = new_uid();
  run->record.phase = "Pending";
  for (const Container& spec : run->pod.containers) {
    run->containers.emplace_back().spec = &spec;
  }
  PodRun& begun = *run;
  pods_[pod.key()] = std::move(run);
  try_start(begun);
}

// Every step is safe to repeat: what has been done already is not done again.
void Kubelet::try_start(PodRun& run) {
  const auto started = [&]() -> Outcome<Done> {
    TRY_DO(schedule(run));
    TRY_DO(make_place(run));
    write_status(run);
    if (run.record.enrolled && !run.told) TRY_DO(tell_agent(run));
    return start_containers(run);
  }();
  const std::string before = run.record.message;
  run.record.message = started ? "" : started.error();
  if (started) {
    run.stage = Stage::kRunning;
    run.retry_at.reset();
    run.probe_at = Clock::now();
    run.record.phase = "Running";
    log_("pod " + run.pod.key() + " runs on " + run.record.node + " at " + run.record.addresses[0]);
    write_status(run);
  } else {
    run.retry_at = Clock::now() + kRetry;
    if (before != run.record.message) log_("pod " + run.pod.key() + ": " + run.record.message);
  }
  publish();
}

Outcome<Done> Kubelet::schedule(PodRun& run) {
  PodRecord& record = run.record;
  if (!record.node.empty()) return Done{};
  std::string node = run.pod.node;
  if (node.empty()) {  // the node with the fewest pods
    std::map<std::string, int> load;
    for (const auto& [key, other] : pods_) ++load[other->record.node];
    node =
        std::min_element(record_.nodes.begin(), record_.nodes.end(),
                         [&](const auto& a, const auto& b) { return load[a.name] < load[b.name]; })
            ->name;
  }
  const auto addresses = pod_addresses_.find(node);
  if (addresses == pod_addresses_.end()) return problem("spec.nodeName: no node named " + node);
  TRY(record.addresses, addresses->second.take());
  record.node = node;
  run.interface_number = last_octet(record.addresses[0]);
  const auto mode = namespace_modes_.find(run.pod.ns);
  record.enrolled =
      record_.mesh && is_enrolled(run.pod, mode == namespace_modes_.end() ? "" : mode->second);
  return Done{};
}

Outcome<Done> Kubelet::make_place(PodRun& run) {
  PodRecord& record = run.record;
  if (!record.netns.empty()) return Done{};
  const std::string id = record.ns + "." + record.name;
  const std::string netns = "weft-" + record_.name + "-" + record.node + "-" + id;
  const std::string folder = record_.folder + "/pods/" + id;
  TRY_DO(make_folders(folder));
  record.cgroup = record_.cgroup + "/" + record.node + "/" + id;
  record.resolv_conf = folder + "/resolv.conf";
  record.hosts = folder + "/hosts";
  record.working_dir = record_.folder + "/source";
  record.netns = netns;
  publish();  // so that it can be taken down, whatever happens next
  const auto recorded = write_record(record_);
  TRY_DO(recorded);
  const std::string search = record.ns + ".svc.cluster.local svc.cluster.local cluster.local";
  TRY_DO(write_file(record.resolv_conf, std::string("nameserver ") + kDnsAddress + "\nsearch " +
                                            search + "\noptions ndots:5\n"));
  TRY_DO(write_file(record.hosts, "127.0.0.1 localhost\n::1 localhost\n"));
  const auto made = [&]() -> Outcome<Done> {
    TRY_DO(make_cgroup(record.cgroup));
    TRY_DO(make_netns(netns));
    const NodeRecord* node = record_.node(record.node);
    return connect_pod({.node_netns = node->netns,
                        .pod_netns = netns,
                        .interface = "pod" + std::to_string(run.interface_number),
                        .gateway = node_pod_gateway(node_number(record.node)),
                        .addresses = record.addresses});
  }();
  if (!made) {
    [[maybe_unused]] const auto removed = remove_netns(netns);
    record.netns.clear();
  }
  return made;
}

Outcome<Done> Kubelet::tell_agent(PodRun& run) {
  TRY_DO(agent_add(record_.node(run.record.node)->agent_socket,
                   {.uid = run.record.uid,
                    .name = run.pod.name,
                    .ns = run.pod.ns,
                    .service_account = run.pod.service_account,
                    .ips = run.record.addresses,
                    .netns = netns_path(run.record.netns)}));
  run.told = true;
  return Done{};
}

void Kubelet::untell_agent(PodRun& run) {
  if (!run.told) return;
  run.told = false;
  const auto done = agent_del(record_.node(run.record.node)->agent_socket, run.record.uid);
  if (!done) log_("pod " + run.pod.key() + ": " + done.error());
}

void Kubelet::resync_agent(const std::string& node_name) {
  const NodeRecord* node = record_.node(node_name);
  if (node == nullptr) return;
  const auto known = agent_list(node->agent_socket);
  if (!known) return log_(known.error());
  std::set<std::string> stale = *known;
  for (const auto& [key, run] : pods_) {
    if (run->record.node != node_name || !run->told) continue;
    stale.erase(run->record.uid);
    if (known->contains(run->record.uid)) continue;
    if (const auto told = tell_agent(*run); !told) log_("pod " + key + ": " + told.error());
  }
  for (const std::string& uid : stale) {
    if (const auto done = agent_del(node->agent_socket, uid); !done) log_(done.error());
  }
}

Place Kubelet::place_of(const PodRun& run, const std::string& cgroup) const {
  return {.cgroup = cgroup,
          .netns = netns_path(run.record.netns),
          .resolv_conf = run.record.resolv_conf,
          .hosts = run.record.hosts,
          .working_dir = run.record.working_dir};
}

Outcome<Done> Kubelet::start_containers(PodRun& run) {
  for (ContainerRun& container : run.containers) {
    if (container.pid == 0 && !container.finished) TRY_DO(start_container(run, container));
  }
  return Done{};
}

// What the downward API, the projected token and the root's ConfigMap give a container of a mesh:
// who it is, and where the control plane is. The token is its service account's.
Outcome<std::vector<std::string>> Kubelet::identity_of(const PodRun& run) const {
  const std::string& account = run.pod.service_account;
  // The name by which control knows whose token it is: control/tokens.h.
  const std::string token = record_.control_state() + "/tokens/" + run.pod.ns + "~" + account;
  if (::access(token.c_str(), F_OK) != 0) {
    TRY_DO(write_file(token, random_hex(kTokenBytes) + "\n", 0600));
  }
  return std::vector<std::string>{
      "POD_NAME=" + run.pod.name,
      "POD_NAMESPACE=" + run.pod.ns,
      "SERVICE_ACCOUNT=" + account,
      "INSTANCE_IP=" + (run.record.addresses.empty() ? "" : run.record.addresses[0]),
      "NODE_NAME=" + run.record.node,
      "XDS_ADDRESS=https://" + std::string(kControlAddress) + ":15012",
      "XDS_ROOT_CA=" + record_.control_state() + "/ca/root-cert.pem",
      "AUTH_TOKEN=" + token};
}

Outcome<Done> Kubelet::start_container(PodRun& run, ContainerRun& container) {
  container.cgroup = run.record.cgroup + "/" + container.spec->name;
  TRY_DO(make_cgroup(container.cgroup));
  Launch what{.place = place_of(run, container.cgroup),
              .argv = container.spec->command,
              .env = {},
              .log = record_.log_of(run.pod.key())};
  if (!container.spec->working_dir.empty()) what.place.working_dir = container.spec->working_dir;
  if (record_.mesh) {
    TRY(what.env, identity_of(run));
  }
  for (const auto& [name, value] : container.spec->env) what.env.push_back(name + "=" + value);
  TRY(container.pid, launch(what));
  container.started = Clock::now();
  container.restart_at.reset();
  return Done{};
}

bool Kubelet::ended(pid_t pid, int wait_status) {
  for (const auto& [key, run] : pods_) {
    for (ContainerRun& container : run->containers) {
      if (container.pid != pid) continue;
      container_ended(*run, container, wait_status);
      return true;
    }
  }
  return false;
}

void Kubelet::container_ended(PodRun& run, ContainerRun& container, int wait_status) {
  container.pid = 0;
  [[maybe_unused]] const auto emptied = kill_cgroup(container.cgroup);
  const bool failed = !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0;
  if (run.stage == Stage::kEnding) return;
  const bool restart = run.pod.restart == RestartPolicy::kAlways ||
                       (run.pod.restart == RestartPolicy::kOnFailure && failed);
  container.finished = !restart;
  container.failed = failed;
  run.record.ready = false;
  if (restart) {
    const auto now = Clock::now();
    container.quick_ends = now - container.started > kStable ? 0 : container.quick_ends + 1;
    container.restart_at =
        now + std::min<Clock::duration>(
                  std::chrono::milliseconds(250) * (1 << std::min(container.quick_ends - 1, 8)),
                  kRestartMax);
    ++run.record.restarts;
    log_("pod " + run.pod.key() + ": container " + container.spec->name + " ended, restarting");
  } else if (std::ranges::all_of(run.containers, &ContainerRun::finished)) {
    const bool any_failed = std::ranges::any_of(run.containers, &ContainerRun::failed);
    run.record.phase = any_failed ? "Failed" : "Succeeded";
  }
  write_status(run);
  write_hosts();
  publish();
}

std::optional<Kubelet::Clock::time_point> Kubelet::tick(Clock::time_point now) {
  std::optional<Clock::time_point> next;
  std::vector<PodRun*> over;
  for (const auto& [key, run] : pods_) {
    if (run->retry_at && *run->retry_at <= now) try_start(*run);
    for (ContainerRun& container : run->containers) {
      if (container.restart_at && *container.restart_at <= now && run->stage == Stage::kRunning) {
        if (!start_container(*run, container)) container.restart_at = now + kRestartMax;
        run->probe_at = now;
      }
      if (run->stage == Stage::kRunning) earliest(next, container.restart_at);
    }
    if (run->probe_at && *run->probe_at <= now) probe(*run, now);
    if (run->stage == Stage::kEnding) {
      const bool empty =
          std::ranges::all_of(run->containers, [](const auto& c) { return c.pid == 0; });
      if (empty || *run->kill_at <= now) over.push_back(run.get());
    }
    earliest(next, run->retry_at);
    earliest(next, run->probe_at);
    earliest(next, run->kill_at);
  }
  for (PodRun* run : over) finish_end(*run);
  if (!over.empty()) reconcile();  // a changed pod starts anew
  return next;
}

void Kubelet::probe(PodRun& run, Clock::time_point now) {
  if (run.stage != Stage::kRunning) return run.probe_at.reset();
  bool ready = true;
  auto again = std::chrono::seconds(0);
  for (const ContainerRun& container : run.containers) {
    const Probe& spec = container.spec->readiness;
    if (container.pid == 0) {
      ready = ready && container.finished && run.record.phase == "Succeeded";
      continue;
    }
    if (now < container.started + spec.initial_delay) {
      ready = false;
      continue;
    }
    ready = ready && probe_once(spec, {.netns = run.record.netns,
                                       .address = run.record.addresses[0],
                                       .place = place_of(run, container.cgroup)});
    if (spec.kind != Probe::Kind::kNone) again = std::max(again, spec.period);
  }
  run.probe_failures = ready ? 0 : run.probe_failures + 1;
  const int threshold = run.containers[0].spec->readiness.failure_threshold;
  const bool was_ready = run.record.ready;
  run.record.ready = ready || (was_ready && run.probe_failures < threshold);
  if (run.record.ready) {
    run.probe_at = again.count() > 0 ? std::optional(Clock::now() + again) : std::nullopt;
  } else {
    run.probe_at = Clock::now() + kProbeUntilReady;
  }
  if (run.record.ready == was_ready) return;
  log_("pod " + run.pod.key() + (run.record.ready ? " is ready" : " is not ready any more"));
  write_status(run);
  write_hosts();
  publish();
}

void Kubelet::begin_end(PodRun& run) {
  run.stage = Stage::kEnding;
  run.record.phase = "Terminating";
  run.record.ready = false;
  run.retry_at.reset();
  run.probe_at.reset();
  run.kill_at = Clock::now() + run.pod.grace;
  for (const ContainerRun& container : run.containers) {
    for (const pid_t pid : cgroup_processes(container.cgroup)) ::kill(pid, SIGTERM);
  }
  publish();
}

void Kubelet::finish_end(PodRun& run) {
  const std::string key = run.pod.key();
  untell_agent(run);
  if (!run.record.cgroup.empty()) {
    if (auto gone = remove_cgroup(run.record.cgroup); !gone) log_(gone.error());
  }
  if (!run.record.netns.empty()) {
    if (auto gone = remove_netns(run.record.netns); !gone) log_(gone.error());
  }
  if (const auto pool = pod_addresses_.find(run.record.node); pool != pod_addresses_.end()) {
    pool->second.give_back(run.record.addresses);
  }
  for (const ContainerRun& container : run.containers) {
    if (container.pid != 0) ::waitpid(container.pid, nullptr, 0);
  }
  log_("pod " + key + " has ended");
  pods_.erase(key);
  publish();
}

}  // namespace mesh::cli::lab
