#pragma once
// Probes: the kubelet's probes reach pods in the mesh from an address of their own, so that
// neither its node's address nor anybody else on the node needs an exemption.
//
// Without links and pins, as capture: what is attached to the kubelet's control group goes on while
// the agent is away, and goes with the group. That nobody else may bind the address is enforced
// while an agent runs: those programs hang on the root of all groups, and must not outlive us
// there.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ebpf/cgroup.h"
#include "ebpf/shared.h"
#include "ebpf/unique_fd.h"
#include "mesh/base/result.h"
#include "mesh/net/address.h"

struct bpf_link;
struct probe_bpf;

namespace mesh::ebpf {

struct ProbeAddresses {
  net::IpAddress v4, v6;
};

class Probes {
 public:
  // In the calling thread's network namespace, the node's; puts the addresses on its loopback.
  // Errors: kSystem.
  static Result<std::unique_ptr<Probes>> create(const ProbeAddresses& addresses);
  Probes(const Probes&) = delete;
  Probes& operator=(const Probes&) = delete;
  ~Probes();  // the kubelet's stay attached

  // Pods whose probes need it; by their addresses.
  void add(const std::vector<net::IpAddress>& pod);
  void remove(const std::vector<net::IpAddress>& pod);
  std::size_t pods() const { return addresses_.size(); }

  // Attaches to the kubelet's control group, in place of what a former agent left there; what is
  // attached already stays. True: something had to be done. Errors: kSystem; with EPERM somebody's
  // programs there allow no others.
  Result<bool> attach(const Cgroup& kubelet);
  // Takes everything off the node.
  void remove_all();

 private:
  explicit Probes(const ProbeAddresses& addresses) : source_(addresses) {}
  Result<Done> guard();
  Result<Done> keep_addresses() const;
  Result<Done> load(const Cgroup& kubelet, probe_bpf** skeleton) const;
  void detach();

  ProbeAddresses source_;
  std::uint64_t netns_ = 0;  // its cookie
  UniqueFd map_;
  std::set<std::string> addresses_;
  probe_bpf* skeleton_ = nullptr;  // of the kubelet's programs
  std::optional<Cgroup> kubelet_;
  std::vector<bpf_link*> guards_;
};

}  // namespace mesh::ebpf
