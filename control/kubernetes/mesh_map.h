#pragma once
// MeshMap: the mesh's configuration in a ConfigMap of control's namespace, under the key `mesh`, as
// Istio's `istio` has it; watched. One that is not there configures nothing.
//
// Threads: that of Http; version() and name() any.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "control/mesh_state.h"
#include "mesh/kube/informer.h"

namespace mesh::control::kubernetes {

class MeshMap final : public kube::Sink {
 public:
  // `changed` is called once it is known, or what hinders that is, and after each change. Both must
  // outlive `http`'s work.
  MeshMap(kube::Http& http, std::string ns, std::string name,
          std::function<void(const MeshState&)> changed);
  void run();

  std::string name() const { return ns_ + "/" + name_; }
  // The resourceVersion that was taken in last, and is published; "": it is not there. None: nobody
  // knows yet.
  std::optional<std::string> version() const;

  void begin_list() override { staged_ = {}; }
  void stage(manifest::Value&& object) override { staged_ = std::move(object); }
  void commit_list() override;
  void put(manifest::Value&& object) override;
  void remove(manifest::Value&& object) override;

 private:
  void take(bool news);
  void take(bool news, std::string version);
  void look();

  kube::Http& http_;
  const std::string ns_, name_;
  const std::function<void(const MeshState&)> changed_;
  MeshState state_;
  mutable std::mutex mutex_;
  std::optional<std::string> version_;  // under mutex_
  std::optional<manifest::Value> staged_;
  std::shared_ptr<kube::Informer> informer_;
};

}  // namespace mesh::control::kubernetes
