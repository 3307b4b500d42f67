#pragma once
// RootMaps: the ConfigMaps `istio-ca-root-cert` and `weft-ca-root-cert` in every namespace, which
// pods mount to know what to trust. Pure but for the two watches that keep their copy.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/kubernetes/write_queue.h"
#include "control/world.h"
#include "mesh/kube/informer.h"

namespace mesh::control::kubernetes {

class RootMaps {
 public:
  // `istio`: istio-ca-root-cert too; not where istiod writes its own roots there. `changed`: a copy
  // has changed. Everything must outlive `http`. Threads: that of `http`.
  RootMaps(kube::Http& http, bool istio, std::function<void()> changed);
  void run();

  // What is to be written for every namespace of `world` that is not ending to have `roots_pem`;
  // nothing before the copies are complete.
  std::vector<Write> plan(const World& world, const std::string& roots_pem) const;

  // Both copies are: an empty plan() means that everything is written.
  bool complete() const;

  std::string problem() const;

 private:
  // By namespace, a hash of the roots in the ConfigMap there; 0 when it has more or less in it.
  struct Copy final : kube::Sink {
    explicit Copy(std::string_view map_name) : name(map_name) {}
    void begin_list() override { staged.clear(); }
    void stage(manifest::Value&& object) override;
    void commit_list() override;
    void put(manifest::Value&& object) override;
    void remove(manifest::Value&& object) override;

    const std::string name;
    std::map<std::string, std::size_t> staged, maps;
    std::shared_ptr<kube::Informer> informer;
    bool complete = false;
  };

  kube::Http& http_;
  const std::function<void()> changed_;
  std::vector<std::unique_ptr<Copy>> copies_;
};

}  // namespace mesh::control::kubernetes
