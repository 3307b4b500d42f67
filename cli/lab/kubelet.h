#pragma once
// Scheduler and kubelet of a lab: makes the run folder's manifests true. Each Pod gets a node,
// addresses, a network namespace, a control group and its processes; its status is written back for
// the control server to read. A Pod that goes away, or changes, is ended, and started anew.
//
// The order is the kubelet's: addresses are published, the node's agent is told (and attaches
// capture), then the application starts. An enrolled pod whose agent does not answer stays Pending
// and is tried again: it never runs outside the mesh.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/lab/addresses.h"
#include "cli/lab/folder.h"
#include "cli/lab/process.h"
#include "cli/lab/record.h"
#include "cli/outcome.h"

namespace mesh::cli::lab {

class Kubelet {
 public:
  using Clock = std::chrono::steady_clock;
  using Log = std::function<void(const std::string&)>;

  // Borrows the record; keeps record.pods current. `waypoint` is weft-waypoint's path; without one
  // Gateways get no parts. `log` hears one line an event.
  Kubelet(Record& record, std::string waypoint, Log log);

  // Reads the folder, and begins what is to be done about it.
  void reconcile();
  // Probes, restarts and endings that are due; returns when to call again.
  std::optional<Clock::time_point> tick(Clock::time_point now);
  // A child ended. True if it was a container's.
  bool ended(pid_t pid, int wait_status);
  // An agent came (back): tells it of the pods it does not know, and of those that are gone.
  void resync_agent(const std::string& node);

  bool all_ready() const;
  // Pods that are not ready, with what is known of the reason.
  std::string not_ready() const;
  // A record has changed since the last call.
  bool take_changed() { return std::exchange(changed_, false); }

 private:
  struct ContainerRun {
    const Container* spec = nullptr;
    std::string cgroup = "";
    pid_t pid = 0;
    int quick_ends = 0;
    bool finished = false;  // ended, and not to be restarted
    bool failed = false;
    Clock::time_point started;
    std::optional<Clock::time_point> restart_at;
  };
  enum class Stage { kWaiting, kRunning, kEnding };
  struct PodRun {
    Pod pod;
    PodRecord record;
    Stage stage = Stage::kWaiting;
    std::vector<ContainerRun> containers;
    bool told = false;  // the agent knows it
    int interface_number = 0;
    int probe_failures = 0;
    std::string written;                        // its file's last content
    std::string hosts_written;                  // of its /etc/hosts
    std::optional<Clock::time_point> retry_at;  // kWaiting
    std::optional<Clock::time_point> probe_at;  // kRunning
    std::optional<Clock::time_point> kill_at;   // kEnding
  };

  void reconcile_services(const Contents& contents);
  void reconcile_pods(const Contents& contents);
  void reconcile_enrolment(const Contents& contents);
  void begin(const Pod& pod);
  void try_start(PodRun& run);
  Outcome<Done> schedule(PodRun& run);
  Outcome<Done> make_place(PodRun& run);
  Outcome<Done> tell_agent(PodRun& run);
  void untell_agent(PodRun& run);
  Outcome<Done> start_containers(PodRun& run);
  Outcome<std::vector<std::string>> identity_of(const PodRun& run) const;
  Outcome<Done> start_container(PodRun& run, ContainerRun& container);
  void container_ended(PodRun& run, ContainerRun& container, int wait_status);
  void probe(PodRun& run, Clock::time_point now);
  void begin_end(PodRun& run);
  void finish_end(PodRun& run);
  void write_status(PodRun& run);
  void write_hosts();
  void publish();
  int node_number(const std::string& name) const;
  Place place_of(const PodRun& run, const std::string& cgroup) const;

  Record& record_;
  std::string waypoint_;
  Log log_;
  bool changed_ = false;
  std::map<std::string, std::unique_ptr<PodRun>> pods_;  // by NAMESPACE/NAME
  std::map<std::string, std::string> namespace_modes_;
  std::map<std::string, Service> services_;
  std::map<std::string, std::string> service_written_;
  std::map<std::string, PodAddresses> pod_addresses_;  // by node
  ServiceAddresses service_addresses_;
};

}  // namespace mesh::cli::lab
