#pragma once
// The lab's address plan: who gets which address, without asking anybody. Pure.
//
//   nodes      192.168.77.N           fd00:77::N            N counts from 1, at most 200
//   control    192.168.77.254         fd00:77::fe           on the link between the nodes
//   pods       10.244.N.2 … .254      fd00:10:244:N::2 …    never reused before the range wraps
//   services   10.96.1.1 …            fd00:10:96::101 …     10.96.0.10 answers DNS
//
// The same plan serves every lab: labs share no link with each other or with the host.

#include <set>
#include <string>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

inline constexpr int kNodesMax = 200;
inline constexpr const char* kControlAddress = "192.168.77.254";
inline constexpr const char* kControlAddress6 = "fd00:77::fe";
inline constexpr const char* kDnsAddress = "10.96.0.10";

std::vector<std::string> node_addresses(int node);  // IPv4 first
std::string node_pod_gateway(int node);             // 10.244.N.1
std::string node_pod_range(int node);               // 10.244.N.0/24
std::string node_pod_range6(int node);              // fd00:10:244:N::/64

// Hands out the pod addresses of one node. The next free one after the last, so that an address
// rests as long as possible between two owners.
class PodAddresses {
 public:
  explicit PodAddresses(int node) : node_(node) {}
  // Both families, IPv4 first. Errors: all 253 in use.
  Outcome<std::vector<std::string>> take();
  void give_back(const std::vector<std::string>& addresses);

 private:
  int node_;
  int last_ = 1;
  std::set<int> used_;
};

// Hands out service addresses; `reserve` keeps one that a manifest names.
class ServiceAddresses {
 public:
  void reserve(const std::string& address) { used_.insert(address); }
  void give_back(const std::string& address) { used_.erase(address); }
  Outcome<std::string> take_v4();
  Outcome<std::string> take_v6();

 private:
  std::set<std::string> used_;
};

}  // namespace mesh::cli::lab
