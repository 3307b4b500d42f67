#include "ebpf/program_template.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <vector>

// A string of the programs, longer than every compiler must take.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Woverlength-strings"
#include "weft.skel.h"
#pragma clang diagnostic pop

namespace mesh::ebpf {
namespace {

Result<UniqueFd> make_map(const bpf_map* model, std::uint32_t btf) {
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = bpf_map__map_flags(model);
  if (btf != 0) {
    options.btf_fd = btf;
    options.btf_key_type_id = bpf_map__btf_key_type_id(model);
    options.btf_value_type_id = bpf_map__btf_value_type_id(model);
  }
  const int fd =
      bpf_map_create(bpf_map__type(model), bpf_map__name(model), bpf_map__key_size(model),
                     bpf_map__value_size(model), bpf_map__max_entries(model), &options);
  if (fd < 0) return failed_with_errno(-fd, "create map");
  return UniqueFd(fd);
}

// Another version's map means something else by its numbers.
UniqueFd keep(const bpf_map* model, const UniqueFd& kept) {
  bpf_map_info info{};
  std::uint32_t size = sizeof info;
  if (!kept || bpf_map_get_info_by_fd(kept.get(), &info, &size) < 0) return {};
  const bool same = info.type == static_cast<std::uint32_t>(bpf_map__type(model)) &&
                    info.key_size == bpf_map__key_size(model) &&
                    info.value_size == bpf_map__value_size(model) &&
                    info.max_entries == bpf_map__max_entries(model);
  return same ? UniqueFd(fcntl(kept.get(), F_DUPFD_CLOEXEC, 3)) : UniqueFd();
}

bool names_map(const bpf_insn& instruction) {
  return instruction.code == (BPF_LD | BPF_IMM | BPF_DW) &&
         (instruction.src_reg == BPF_PSEUDO_MAP_FD || instruction.src_reg == BPF_PSEUDO_MAP_VALUE);
}

}  // namespace

Result<const ProgramTemplate*> ProgramTemplate::get() {
  static std::mutex mutex;
  static const ProgramTemplate* made = nullptr;  // for the life of the process
  const std::lock_guard lock(mutex);
  if (made == nullptr) {
    TRY(made, make());
  }
  return made;
}

Result<ProgramTemplate*> ProgramTemplate::make() {
  int error = 0;
  for (const std::uint32_t read_by_helper : {1u, 0u}) {
    weft_bpf* skeleton = weft_bpf__open();
    if (skeleton == nullptr) return failed_with_errno(errno, "open programs");
    skeleton->rodata->read_by_helper = read_by_helper;
    error = weft_bpf__load(skeleton);
    if (error == 0) return new ProgramTemplate(skeleton);
    weft_bpf__destroy(skeleton);
  }
  return failed_with_errno(-error, "load programs");
}

Result<UniqueFd> ProgramTemplate::load(Which which, const Maps& maps) const {
  const bpf_program* const programs[] = {
      skeleton_->progs.weft_egress, skeleton_->progs.weft_steer, skeleton_->progs.weft_inbound,
      skeleton_->progs.weft_mark_older, skeleton_->progs.weft_list_sockets};
  const bpf_program* program = programs[static_cast<int>(which)];
  const std::pair<const bpf_map*, int> exchanged[] = {
      {skeleton_->maps.exempt_cgroups, maps.exempt_cgroups},
      {skeleton_->maps.outcomes, maps.outcomes},
      {skeleton_->maps.sockets, maps.sockets},
      {skeleton_->maps.rodata, maps.pod}};
  const bpf_insn* finished = bpf_program__insns(program);
  std::vector<bpf_insn> instructions(finished, finished + bpf_program__insn_cnt(program));
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    if (!names_map(instructions[i])) continue;
    bool known = false;
    for (const auto& [model, fd] : exchanged) {
      if (instructions[i].imm != bpf_map__fd(model)) continue;
      instructions[i].imm = fd;
      known = true;
      break;
    }
    if (!known) return failed(Reason::kSystem, "exchange a program's maps");
    ++i;  // its second half
  }
  bpf_prog_load_opts options{};
  options.sz = sizeof options;
  options.expected_attach_type = bpf_program__expected_attach_type(program);
  if (which == Which::kMarkOlder || which == Which::kListSockets) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_prog_get_info_by_fd(bpf_program__fd(program), &info, &size) < 0)
      return failed_with_errno(errno, "inspect program");
    options.attach_btf_id = info.attach_btf_id;
  }
  const int fd = bpf_prog_load(bpf_program__type(program), bpf_program__name(program), "GPL",
                               instructions.data(), instructions.size(), &options);
  if (fd < 0) return failed_with_errno(-fd, "load program");
  return UniqueFd(fd);
}

Result<UniqueFd> ProgramTemplate::make_outcomes() const {
  return make_map(skeleton_->maps.outcomes, 0);
}

// Storage of sockets is known to the kernel by the types of its key and value.
Result<UniqueFd> ProgramTemplate::make_sockets() const {
  return make_map(skeleton_->maps.sockets,
                  static_cast<std::uint32_t>(bpf_object__btf_fd(skeleton_->obj)));
}

// Frozen: the verifier takes what is in it for constants.
Result<UniqueFd> ProgramTemplate::make_pod(const weft_pod& pod) const {
  const bpf_map* model = skeleton_->maps.rodata;
  std::size_t size = 0;
  const auto* initial = static_cast<const std::byte*>(bpf_map__initial_value(model, &size));
  if (initial == nullptr) return failed(Reason::kSystem, "read constants");
  std::vector<std::byte> constants(initial, initial + size);
  const auto at = reinterpret_cast<const std::byte*>(&skeleton_->rodata->pod) -
                  reinterpret_cast<const std::byte*>(skeleton_->rodata);
  std::memcpy(constants.data() + at, &pod, sizeof pod);
  TRY(UniqueFd map, make_map(model, 0));
  const std::uint32_t only = 0;
  int error = bpf_map_update_elem(map.get(), &only, constants.data(), BPF_ANY);
  if (error == 0) error = bpf_map_freeze(map.get());
  if (error < 0) return failed_with_errno(-error, "fill map");
  return map;
}

UniqueFd ProgramTemplate::keep_outcomes(const UniqueFd& kept) const {
  return keep(skeleton_->maps.outcomes, kept);
}

UniqueFd ProgramTemplate::keep_sockets(const UniqueFd& kept) const {
  return keep(skeleton_->maps.sockets, kept);
}

}  // namespace mesh::ebpf
