#pragma once
// KubeStore: the API server as the store. Keeps a copy of every kind that control reads, and says
// what is in force after each change, gathered for 30 ms, 200 ms at most.
//
// Nothing is served before every kind has been listed once (or is absent: its CRD is not there);
// what is missing is among the problems, by its name and with the server's words. Later failures do
// not take anything back: what is known stays in force.
//
// Threads: one of its own, which calls `changed`; the rest from any thread.

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/store.h"
#include "mesh/kube/config.h"
#include "mesh/kube/reflector.h"

namespace mesh::control {

class KubeStore {
 public:
  // Errors: what is wrong with the credentials. A server that does not answer is waited for.
  static std::expected<std::unique_ptr<KubeStore>, std::string> open(
      kube::Access access, std::function<void(const StoreState&)> changed);
  ~KubeStore();
  KubeStore(const KubeStore&) = delete;
  KubeStore& operator=(const KubeStore&) = delete;

  // Publishes what has arrived until now: returns when `changed` was called for it, or after
  // `timeout_ms`.
  void settle(int timeout_ms);

  struct KindHealth {
    std::string kind;
    kube::Reflector::Health health;
  };
  std::vector<KindHealth> health() const;

 private:
  struct Impl;
  explicit KubeStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::control
