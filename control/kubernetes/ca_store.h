#pragma once
// CaStore: the authority of a mesh on Kubernetes, in Secrets of control's namespace.
//
// `cacerts`, if it is there, is a plugged-in authority with Istio's file names: it signs, and what
// is wrong with it is a problem; it is never silently replaced by a root of ours. Otherwise
// `weft-ca` has a self-signed root, made by the first replica that finds none: creating is what
// only one can do, the others take what it made. The last good authority stays in force while a
// Secret is broken, gone, or cannot be read.
//
// Every replica reads; the holder of the Lease moves a rotation on (ca/rotation.h).
//
// Threads: that of Http, but for status().

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "control/ca/authority.h"
#include "control/ca/rotation.h"
#include "control/kubernetes/write_queue.h"
#include "mesh/kube/informer.h"

namespace mesh::control::kubernetes {

class CaStore {
 public:
  struct Options {
    std::string ns;
    std::string trust_domain;
    std::int64_t wait_seconds = 0;  // of a rotation's steps: the longest life of a certificate
  };
  struct Status {
    bool plugged_in = false;
    std::string state;  // of a root of ours; see RootSecret::state()
    std::int64_t since = 0, expires = 0;
    std::string version;  // resourceVersion of the Secret in force
    std::string problem;
  };

  // Sets `authority` once there is one and after each change, then calls `changed`. All must
  // outlive `http`.
  CaStore(kube::Http& http, Options options, telemetry::Log& log, ca::Authority& authority,
          std::function<void()> changed);
  void run();

  // What a holder of the Lease has to write now. `everybody_has_it`: see ca::next_state().
  std::optional<Write> plan(std::int64_t now, bool everybody_has_it);
  // Asks for a new root; from any thread but that of Http. What is wrong.
  std::expected<Done, std::string> rotate();

  Status status() const;

 private:
  // One Secret, as it is on the server.
  struct Slot final : kube::Sink {
    explicit Slot(CaStore& store) : store_(store) {}
    void begin_list() override { staged_.reset(); }
    void stage(manifest::Value&& object) override { staged_ = std::move(object); }
    void commit_list() override;
    void put(manifest::Value&& object) override;
    void remove(manifest::Value&& object) override;

    CaStore& store_;
    std::optional<manifest::Value> staged_, object;
    std::shared_ptr<kube::Informer> informer;
    bool complete = false;
  };

  std::shared_ptr<kube::Informer> watch(const std::string& name, Slot& slot);
  void look();
  void take(const AuthorityMaterial& material, const std::string& what);
  void make();
  void say(std::string problem);
  kube::Target secret(std::string name) const;

  kube::Http& http_;
  const Options options_;
  telemetry::Log& log_;
  ca::Authority& authority_;
  const std::function<void()> changed_;
  Slot plugged_in_{*this}, own_{*this};
  std::optional<ca::RootSecret> root_;  // the last good one of ours
  bool making_ = false;
  std::string in_force_;  // the material that signs
  mutable std::mutex mutex_;
  Status status_;
};

inline constexpr const char* kPluggedInSecret = "cacerts";
inline constexpr const char* kRootSecret = "weft-ca";

}  // namespace mesh::control::kubernetes
