#pragma once
// WaypointWriter: the copies of waypoints' parts and of their parameters, and what is to be written
// so that the parts are as they should be.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control/kubernetes/waypoint_parts.h"
#include "mesh/kube/informer.h"

namespace mesh::control::kubernetes {

class WaypointWriter {
 public:
  // `changed`: a copy has changed. Everything must outlive `http`. Threads: that of `http`.
  WaypointWriter(kube::Http& http, WaypointOptions options, std::function<void()> changed);
  void run();

  // What differs; nothing of a kind before its copy is complete.
  std::vector<Write> plan(const World& world, const Settings& settings);

  // Of the last plan; from any thread.
  std::vector<std::string> problems() const;

 private:
  // By "NAMESPACE/NAME".
  struct Copy final : kube::Sink {
    void begin_list() override { staged.clear(); }
    void stage(manifest::Value&& object) override;
    void commit_list() override;
    void put(manifest::Value&& object) override;
    void remove(manifest::Value&& object) override;

    std::map<std::string, manifest::Value> staged, objects;
    std::shared_ptr<kube::Informer> informer;
    bool complete = false;
  };

  void watch(Copy& copy, kube::Reflector::Options options);
  // The data of the ConfigMaps that are named; watches those that it did not know.
  Parameters parameters(const World& world, bool& complete);

  kube::Http& http_;
  const WaypointOptions options_;
  const std::function<void()> changed_;
  std::map<std::string, std::unique_ptr<Copy>> parts_;        // by plural
  std::map<std::string, std::unique_ptr<Copy>> config_maps_;  // by "NAMESPACE/NAME"
  mutable std::mutex mutex_;
  std::vector<std::string> problems_;
};

}  // namespace mesh::control::kubernetes
