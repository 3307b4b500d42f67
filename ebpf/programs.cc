#include "ebpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "weft.skel.h"

namespace mesh::ebpf {
namespace {

constexpr std::size_t kConnectionsMax = 1u << 20;  // a run of the iterator that never ends is a bug

constexpr const char* kOutcomeNames[] = {
#define WEFT_OUTCOME_NAME(name, text) text,
    WEFT_OUTCOMES_OF(WEFT_OUTCOME_NAME)
#undef WEFT_OUTCOME_NAME
};

bool has_shape(const bpf_map_info& info, const bpf_map* map) {
  return info.type == static_cast<std::uint32_t>(bpf_map__type(map)) &&
         info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
         info.max_entries == bpf_map__max_entries(map);
}

Result<Done> keep(bpf_map* map, const UniqueFd& kept) {
  if (!kept) return Done{};
  bpf_map_info info{};
  std::uint32_t size = sizeof info;
  if (bpf_map_get_info_by_fd(kept.get(), &info, &size) < 0)
    return failed_with_errno(errno, "inspect map");
  // Another version's map: its numbers mean something else. Begin anew.
  if (!has_shape(info, map)) return Done{};
  if (bpf_map__reuse_fd(map, kept.get()) < 0) return failed_with_errno(errno, "keep map");
  return Done{};
}

// Runs an iterator to its end in the calling thread's namespace; `output` collects what it writes.
Result<Done> run_iterator(bpf_program* program, std::vector<std::byte>* output) {
  bpf_link* link = bpf_program__attach_iter(program, nullptr);
  if (link == nullptr) return failed_with_errno(errno, "attach socket iterator");
  const UniqueFd iterator(bpf_iter_create(bpf_link__fd(link)));
  const int error = errno;
  bpf_link__destroy(link);
  if (!iterator) return failed_with_errno(error, "start socket iterator");
  std::array<std::byte, 16384> chunk;
  for (;;) {
    const ssize_t size = ::read(iterator.get(), chunk.data(), chunk.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size < 0) return failed_with_errno(errno, "read socket iterator");
    if (size == 0) return Done{};
    if (output == nullptr) continue;
    if (output->size() > kConnectionsMax * sizeof(weft_connection))
      return failed(Reason::kTooLarge, "read socket iterator");
    output->insert(output->end(), chunk.begin(), chunk.begin() + size);
  }
}

}  // namespace

std::span<const char* const> outcome_names() { return kOutcomeNames; }

Result<ExemptCgroups> ExemptCgroups::create() {
  const int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "exempt_cgroups", sizeof(std::uint64_t),
                                sizeof(std::uint32_t), WEFT_EXEMPT_CGROUPS, nullptr);
  if (fd < 0) return failed_with_errno(-fd, "create map");
  return ExemptCgroups(UniqueFd(fd));
}

Result<Done> ExemptCgroups::add(std::uint64_t cgroup_id) {
  const std::uint32_t exempt = 1;
  const int error = bpf_map_update_elem(fd(), &cgroup_id, &exempt, BPF_ANY);
  if (error == -E2BIG) return failed(Reason::kExhausted, "exempt cgroups");
  if (error < 0) return failed_with_errno(-error, "exempt cgroup");
  return Done{};
}

void ExemptCgroups::remove(std::uint64_t cgroup_id) { bpf_map_delete_elem(fd(), &cgroup_id); }

std::vector<std::uint64_t> ExemptCgroups::list() const {
  std::vector<std::uint64_t> ids;
  std::uint64_t key = 0;
  const std::uint64_t* previous = nullptr;
  while (ids.size() < WEFT_EXEMPT_CGROUPS && bpf_map_get_next_key(fd(), previous, &key) == 0) {
    ids.push_back(key);
    previous = &ids.back();
  }
  return ids;
}

Result<Done> ExemptCgroups::add_all_of(int map_fd) {
  std::uint64_t key = 0;
  std::uint64_t previous = 0;
  for (int i = 0; i < WEFT_EXEMPT_CGROUPS; ++i) {
    if (bpf_map_get_next_key(map_fd, i == 0 ? nullptr : &previous, &key) < 0) break;
    TRY_DO(add(key));
    previous = key;
  }
  return Done{};
}

Result<KeptMaps> maps_of_program(std::uint32_t program_id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(program_id));
  if (!program) return failed_with_errno(errno, "open attached program");
  std::array<std::uint32_t, 16> ids{};
  bpf_prog_info info{};
  info.nr_map_ids = ids.size();
  info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
  std::uint32_t size = sizeof info;
  if (bpf_prog_get_info_by_fd(program.get(), &info, &size) < 0)
    return failed_with_errno(errno, "inspect attached program");
  KeptMaps kept;
  for (std::uint32_t i = 0; i < info.nr_map_ids && i < ids.size(); ++i) {
    UniqueFd map(bpf_map_get_fd_by_id(ids[i]));
    bpf_map_info map_info{};
    size = sizeof map_info;
    if (!map || bpf_map_get_info_by_fd(map.get(), &map_info, &size) < 0)
      return failed_with_errno(errno, "open map of attached program");
    const std::string_view name = map_info.name;
    if (name == "sockets") kept.sockets = std::move(map);
    if (name == "outcomes") kept.outcomes = std::move(map);
    if (name == "exempt_cgroups") kept.exempt_cgroups = std::move(map);
  }
  return kept;
}

Result<Programs> Programs::load(const weft_pod& pod, const ExemptCgroups& exempt,
                                const KeptMaps& kept) {
  Programs programs(weft_bpf__open());
  if (programs.skeleton_ == nullptr) return failed_with_errno(errno, "open programs");
  weft_bpf& skeleton = *programs.skeleton_;
  std::memcpy(&skeleton.rodata->pod, &pod, sizeof pod);
  if (bpf_map__reuse_fd(skeleton.maps.exempt_cgroups, exempt.fd()) < 0)
    return failed_with_errno(errno, "share map");
  TRY_DO(keep(skeleton.maps.sockets, kept.sockets));
  TRY_DO(keep(skeleton.maps.outcomes, kept.outcomes));
  const int error = weft_bpf__load(&skeleton);
  if (error < 0) return failed_with_errno(-error, "load programs");
  return programs;
}

Programs::Programs(Programs&& other) noexcept
    : skeleton_(std::exchange(other.skeleton_, nullptr)) {}

Programs& Programs::operator=(Programs&& other) noexcept {
  std::swap(skeleton_, other.skeleton_);
  return *this;
}

Programs::~Programs() { weft_bpf__destroy(skeleton_); }

int Programs::egress() const { return bpf_program__fd(skeleton_->progs.weft_egress); }
int Programs::steer() const { return bpf_program__fd(skeleton_->progs.weft_steer); }
int Programs::inbound() const { return bpf_program__fd(skeleton_->progs.weft_inbound); }

Result<Done> Programs::mark_older() {
  return run_iterator(skeleton_->progs.weft_mark_older, nullptr);
}

Result<std::vector<weft_connection>> Programs::list_sockets() {
  std::vector<std::byte> bytes;
  TRY_DO(run_iterator(skeleton_->progs.weft_list_sockets, &bytes));
  std::vector<weft_connection> connections(bytes.size() / sizeof(weft_connection));
  if (!connections.empty())
    std::memcpy(connections.data(), bytes.data(), connections.size() * sizeof(weft_connection));
  return connections;
}

std::array<std::uint64_t, WEFT_OUTCOMES> Programs::counters() const {
  std::array<std::uint64_t, WEFT_OUTCOMES> totals{};
  const int cpus = libbpf_num_possible_cpus();
  std::vector<std::uint64_t> per_cpu(cpus > 0 ? static_cast<std::size_t>(cpus) : 1);
  for (std::uint32_t key = 0; key < WEFT_OUTCOMES; ++key) {
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.outcomes), &key, per_cpu.data()) < 0)
      continue;
    for (const std::uint64_t packets : per_cpu) totals[key] += packets;
  }
  return totals;
}

}  // namespace mesh::ebpf
