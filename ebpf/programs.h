#pragma once
// The kernel programs of one pod, loaded; and the map of exempt cgroups that all pods share.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ebpf/program_template.h"
#include "ebpf/shared.h"
#include "ebpf/unique_fd.h"
#include "mesh/base/result.h"
#include "mesh/net/address.h"

namespace mesh::ebpf {

// The names of weft_outcome, in its order: "egress_captured", ...
std::span<const char* const> outcome_names();

// The cgroups whose sockets are ztunnel's. One map in the kernel for all pods of the node.
// Limits: WEFT_EXEMPT_CGROUPS entries; add() is kExhausted beyond.
class ExemptCgroups {
 public:
  static Result<ExemptCgroups> create();

  Result<Done> add(std::uint64_t cgroup_id);
  void remove(std::uint64_t cgroup_id);
  std::vector<std::uint64_t> list() const;
  // Takes over what another such map holds: one left in force by a former agent.
  Result<Done> add_all_of(int map_fd);
  int fd() const { return map_.get(); }

 private:
  explicit ExemptCgroups(UniqueFd map) : map_(std::move(map)) {}
  UniqueFd map_;
};

// Maps of programs that are in force already, to be kept by those that replace them.
struct KeptMaps {
  UniqueFd sockets;
  UniqueFd outcomes;
  UniqueFd exempt_cgroups;
};
// The maps of the program with this id that still have the shape we would make.
Result<KeptMaps> maps_of_program(std::uint32_t program_id);

class Programs {
 public:
  // Errors: kSystem with EPERM (no CAP_BPF), EINVAL or EACCES (refused by the verifier: the kernel
  // is too old), ESRCH (no BTF), ENOMEM.
  static Result<Programs> load(const weft_pod& pod, const ExemptCgroups& exempt,
                               const KeptMaps& kept);
  // Programs that are attached stay in force when this goes.

  int egress() const { return egress_.get(); }
  int steer() const { return steer_.get(); }
  int inbound() const { return inbound_.get(); }

  // Run in the calling thread's namespace.
  Result<Done> mark_older();
  Result<std::vector<weft_connection>> list_sockets();

  // One value an outcome, summed over the CPUs.
  std::array<std::uint64_t, WEFT_OUTCOMES> counters() const;

 private:
  Programs() = default;
  ProgramTemplate::Maps maps() const;
  UniqueFd exempt_, outcomes_, sockets_, pod_;
  UniqueFd egress_, steer_, inbound_;
};

}  // namespace mesh::ebpf
