#pragma once
// World -> istio.workload.Address: a Workload for each place where something runs, a Service for
// each name in front of them. Pure.

#include <map>
#include <string>

#include "control/translate_policies.h"
#include "control/world.h"
#include "control/world_index.h"

namespace istio::workload {
class Address;
}

namespace mesh::control {

// By resource name: a workload's uid, a service's "NAMESPACE/HOSTNAME".
using Addresses = std::map<std::string, istio::workload::Address>;

// Of one object at a time. Borrows all that it is made from.
class WorkloadTranslator {
 public:
  WorkloadTranslator(const World& world, const Settings& settings, const WorldIndex& index,
                     const PolicySelection& selection)
      : world_(&world), settings_(&settings), index_(&index), selection_(&selection) {}

  void add_pod(const manifest::Pod& pod, Addresses& into) const;
  void add_entry(const manifest::WorkloadEntry& entry, Addresses& into) const;
  void add_endpoints(const manifest::ServiceEntry& service, Addresses& into) const;
  // What no pod stands for.
  void add_slice(const manifest::EndpointSlice& slice, Addresses& into) const;

 private:
  struct Parts;
  const World* world_;
  const Settings* settings_;
  const WorldIndex* index_;
  const PolicySelection* selection_;
};

std::string pod_uid(const Settings& settings, const std::string& ns, const std::string& name);
std::string entry_uid(const Settings& settings, const std::string& ns, const std::string& name);

// Of the whole world. translation.h does it change by change, with the same outcome.
Addresses translate_workloads(const World& world, const Settings& settings);

}  // namespace mesh::control
