#pragma once
// The kernel programs as libbpf loaded them once, to be loaded again for each pod with other maps.
//
// Of what libbpf does for an object, most is the same for every pod: ELF, the running kernel's
// types (5 MiB to read and search), relocation. A pod's programs differ in their maps alone. So the
// finished instructions are kept, and the maps in them are exchanged.

#include <mutex>

#include "ebpf/shared.h"
#include "ebpf/unique_fd.h"
#include "mesh/base/result.h"

struct bpf_map;
struct bpf_program;
struct weft_bpf;

namespace mesh::ebpf {

class ProgramTemplate {
 public:
  // One for the process, made when it is first asked for. Errors: those of Programs::load().
  static Result<const ProgramTemplate*> get();
  ProgramTemplate(const ProgramTemplate&) = delete;
  ProgramTemplate& operator=(const ProgramTemplate&) = delete;

  // The maps of one pod's programs.
  struct Maps {
    int exempt_cgroups = -1;
    int outcomes = -1;
    int sockets = -1;
    int pod = -1;
  };
  enum class Which { kEgress, kSteer, kInbound, kMarkOlder, kListSockets };
  Result<UniqueFd> load(Which which, const Maps& maps) const;

  Result<UniqueFd> make_outcomes() const;
  Result<UniqueFd> make_sockets() const;
  Result<UniqueFd> make_pod(const weft_pod& pod) const;

  // A duplicate of `kept` if it is such a map as we would make; else none.
  UniqueFd keep_outcomes(const UniqueFd& kept) const;
  UniqueFd keep_sockets(const UniqueFd& kept) const;

 private:
  explicit ProgramTemplate(weft_bpf* skeleton) : skeleton_(skeleton) {}
  static Result<ProgramTemplate*> make();
  weft_bpf* skeleton_;
};

}  // namespace mesh::ebpf
