#pragma once
// KubeStore: the API server as the store. Keeps a copy of every kind that control reads, and says
// what is in force after each change, gathered for 30 ms, 200 ms at most.
//
// Nothing is served before every kind has been listed once (or is absent: its CRD is not there);
// what is missing is among the problems, by its name and with the server's words. Later failures do
// not take anything back: what is known stays in force.
//
// Threads: that of Http calls `changed`; the rest from any other thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/kubernetes/status_plan.h"
#include "control/store.h"
#include "mesh/kube/http.h"
#include "mesh/kube/reflector.h"

namespace mesh::control {

class KubeStore {
 public:
  // A server that does not answer is waited for. `http` is stopped before this ends.
  KubeStore(kube::Http& http, std::function<void(const StoreState&)> changed);
  ~KubeStore();
  KubeStore(const KubeStore&) = delete;
  KubeStore& operator=(const KubeStore&) = delete;

  // Publishes what has arrived until now: returns when `changed` was called for it, or after
  // `timeout_ms`.
  void settle(int timeout_ms);

  // What the status of the objects is on the server. From the thread of Http only.
  const kubernetes::StatusCopies& statuses() const;

  struct KindHealth {
    std::string kind;
    kube::Reflector::Health health;
  };
  std::vector<KindHealth> health() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::control
