#pragma once
// Attaching programs to the interfaces of the calling thread's network namespace.
//
// TCX where the kernel has it (6.6), a clsact filter where it does not. Either way the attachment
// belongs to the interface: it stays when we exit or are killed, needs no pin and no mounted bpffs,
// and goes with the interface. Programs of others on the same interface are left alone; ours come
// first and let them have their say.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"

namespace mesh::ebpf {

enum class AttachKind { kTcx, kClsact };
enum class Direction { kIngress, kEgress };

struct AttachPoint {
  unsigned ifindex = 0;
  Direction direction = Direction::kIngress;
  const char* program = "";  // by its name in the kernel we know our own again
};

// What this kernel has.
AttachKind best_attach_kind();

class Attacher {
 public:
  explicit Attacher(AttachKind kind) : kind_(kind) {}

  // Attaches, in place of an older program of that name if there is one, without a gap.
  // Errors: kSystem; with ENODEV the interface is gone.
  Result<Done> attach(const AttachPoint& point, int program_fd);
  // The kernel's id of the program of that name at that place, if there is one.
  Result<std::optional<std::uint32_t>> find(const AttachPoint& point) const;
  // Fine when it is not there, or the interface is gone. Takes a clsact qdisc away that attach()
  // made, once nobody has a filter on it.
  Result<Done> detach(const AttachPoint& point);

  AttachKind kind() const { return kind_; }
  // Interfaces on which we made the clsact qdisc; the owner keeps them across a restart.
  std::vector<unsigned>& made_clsact() { return made_clsact_; }
  const std::vector<unsigned>& made_clsact() const { return made_clsact_; }

 private:
  AttachKind kind_;
  std::vector<unsigned> made_clsact_;
};

}  // namespace mesh::ebpf
