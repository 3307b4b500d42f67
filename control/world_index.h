#pragma once
// WorldIndex: what the translation of one object must know of others, kept up to date change by
// change: nobody has to look through the world for it. Borrows the objects that it was told of.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/world.h"

namespace mesh::control {

using NamedAs = std::pair<std::string, std::string>;  // namespace, name

class WorldIndex {
 public:
  // One object came (`before` is null), changed, or went (`after` is null).
  void change(const manifest::Object* before, const manifest::Object* after);

  template <class T>
  using ByName = std::map<std::string, const T*>;
  template <class T>
  using ByKey = std::map<NamedAs, const T*>;

  // Of a namespace, the Services that select pods; and its ServiceEntries.
  const ByName<manifest::Service>& selecting(const std::string& ns) const;
  const ByName<manifest::ServiceEntry>& entries(const std::string& ns) const;
  // Everywhere, the ServiceEntries that have that host.
  const ByKey<manifest::ServiceEntry>& entries_of_host(const std::string& host) const;
  // The running pod with that address of its own: the last by name, should several have it.
  const manifest::Pod* pod_at(const net::IpAddress& ip) const;
  const ByKey<manifest::Pod>& pods_at(const net::IpAddress& ip) const;
  // The hand-written EndpointSlices that have that address.
  const ByKey<manifest::EndpointSlice>& slices_at(const net::IpAddress& ip) const;
  const ByKey<manifest::Pod>& pods_on(const std::string& node) const;
  // Namespaces in which something names that Gateway as its waypoint, or is of it.
  std::vector<std::string> users_of(const NamedAs& gateway) const;

 private:
  void change_pod(const manifest::Pod* before, const manifest::Pod* after);
  void change_slice(const manifest::EndpointSlice* before, const manifest::EndpointSlice* after);
  void change_entry(const manifest::ServiceEntry* before, const manifest::ServiceEntry* after);
  void count_waypoints(const manifest::Metadata& object, const std::string& ns, int by);

  std::map<std::string, ByName<manifest::Service>> selecting_;
  std::map<std::string, ByName<manifest::ServiceEntry>> entries_;
  std::map<std::string, ByKey<manifest::ServiceEntry>> by_host_;
  std::map<net::IpAddress, ByKey<manifest::Pod>> pods_;
  std::map<net::IpAddress, ByKey<manifest::EndpointSlice>> slices_;
  std::map<std::string, ByKey<manifest::Pod>> by_node_;
  std::map<NamedAs, std::map<std::string, int>> waypoint_users_;
};

// The addresses of a slice that it does not say whose they are.
std::vector<net::IpAddress> untargeted(const manifest::EndpointSlice& slice);

}  // namespace mesh::control
