// What the kubelet tells others: the pods' status in the manifests, their hosts files, the record.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "cli/lab/files.h"
#include "cli/lab/kubelet.h"

namespace mesh::cli::lab {

void Kubelet::write_status(PodRun& run) {
  if (run.stage == Stage::kEnding) return;
  const NodeRecord* node = record_.node(run.record.node);
  const std::string text =
      with_status(run.pod, {.uid = run.record.uid,
                            .node = run.record.node,
                            .host_ip = node == nullptr ? "" : node->addresses[0],
                            .ips = run.record.addresses,
                            .phase = run.record.phase,
                            .ready = run.record.ready,
                            .restarts = run.record.restarts});
  const std::string path = pod_file(record_.manifests(), run.pod.ns, run.pod.name);
  if (!exists(path)) return;  // deleted meanwhile; the next reconcile ends it
  if (auto written = write_file(path, text); !written) return log_(written.error());
  run.written = text;
  changed_ = true;
}

// Pods outside the mesh have no DNS proxy; the names of services lead them straight to a pod. The
// file is written in place, because the pods see its inode.
void Kubelet::write_hosts() {
  std::string names;
  for (const auto& [service_key, service] : services_) {
    for (const auto& [key, run] : pods_) {
      if (run->pod.ns != service.ns || !run->record.ready || !selects(service, run->pod)) continue;
      const std::string full = service.name + "." + service.ns;
      for (const std::string& address : run->record.addresses) {
        names += address + " " + full + ".svc.cluster.local " + full + ".svc " + full + " " +
                 service.name + "\n";
      }
      break;
    }
  }
  for (const auto& [key, run] : pods_) {
    if (run->record.netns.empty() || run->record.hosts.empty()) continue;
    std::string text = "127.0.0.1 localhost\n::1 localhost\n";
    text += run->record.addresses[0] + " " + run->pod.name + "\n";
    if (!run->record.enrolled) text += names;
    if (text == run->hosts_written) continue;
    // At no moment is a name missing that is in both the old text and the new.
    const int file = ::open(run->record.hosts.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) continue;
    const ssize_t written = ::pwrite(file, text.data(), text.size(), 0);
    if (written == static_cast<ssize_t>(text.size()) &&
        ::ftruncate(file, static_cast<off_t>(text.size())) == 0) {
      run->hosts_written = text;
    }
    ::close(file);
  }
}

void Kubelet::publish() {
  record_.pods.clear();
  for (const auto& [key, run] : pods_) {
    run->record.pids.clear();
    for (const ContainerRun& container : run->containers) {
      if (container.pid != 0) run->record.pids.push_back(container.pid);
    }
    record_.pods.push_back(run->record);
  }
  changed_ = true;
}

bool Kubelet::all_ready() const {
  return std::ranges::all_of(pods_, [](const auto& entry) {
    return entry.second->record.ready || entry.second->record.phase == "Succeeded";
  });
}

std::string Kubelet::not_ready() const {
  std::string text;
  for (const auto& [key, run] : pods_) {
    if (run->record.ready || run->record.phase == "Succeeded") continue;
    text += (text.empty() ? "" : "; ") + key + " (" + run->record.phase +
            (run->record.message.empty() ? "" : ": " + run->record.message) + ")";
  }
  return text;
}

}  // namespace mesh::cli::lab
