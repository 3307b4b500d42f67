#include "ebpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

namespace mesh::ebpf {
namespace {

constexpr std::size_t kConnectionsMax = 1u << 20;  // a run of the iterator that never ends is a bug

constexpr const char* kOutcomeNames[] = {
#define WEFT_OUTCOME_NAME(name, text) text,
    WEFT_OUTCOMES_OF(WEFT_OUTCOME_NAME)
#undef WEFT_OUTCOME_NAME
};

// Runs an iterator to its end in the calling thread's namespace; `output` collects what it writes.
Result<Done> run_iterator(int program, std::vector<std::byte>* output) {
  const int attached = bpf_link_create(program, 0, BPF_TRACE_ITER, nullptr);
  if (attached < 0) return failed_with_errno(-attached, "attach socket iterator");
  const UniqueFd link(attached);
  const int started = bpf_iter_create(link.get());
  if (started < 0) return failed_with_errno(-started, "start socket iterator");
  const UniqueFd iterator(started);
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

// Has this namespace any TCP socket that is not closed? An iterator looks through the whole
// machine's table; the namespace's own count is there for the asking.
bool has_sockets() {
  for (const char* path : {"/proc/thread-self/net/sockstat", "/proc/thread-self/net/sockstat6"}) {
    std::ifstream file(path);
    if (!file) return true;  // not known: look
    std::string line;
    while (std::getline(file, line))
      if (line.starts_with("TCP") && line.find(" inuse 0") == line.npos) return true;
  }
  return false;
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
  using Which = ProgramTemplate::Which;
  TRY(const ProgramTemplate* model, ProgramTemplate::get());
  Programs programs;
  programs.exempt_ = UniqueFd(fcntl(exempt.fd(), F_DUPFD_CLOEXEC, 3));
  if (!programs.exempt_) return failed_with_errno(errno, "share map");
  programs.outcomes_ = model->keep_outcomes(kept.outcomes);
  if (!programs.outcomes_) {
    TRY(programs.outcomes_, model->make_outcomes());
  }
  programs.sockets_ = model->keep_sockets(kept.sockets);
  if (!programs.sockets_) {
    TRY(programs.sockets_, model->make_sockets());
  }
  TRY(programs.pod_, model->make_pod(pod));
  TRY(programs.egress_, model->load(Which::kEgress, programs.maps()));
  TRY(programs.steer_, model->load(Which::kSteer, programs.maps()));
  TRY(programs.inbound_, model->load(Which::kInbound, programs.maps()));
  return programs;
}

ProgramTemplate::Maps Programs::maps() const {
  return {.exempt_cgroups = exempt_.get(),
          .outcomes = outcomes_.get(),
          .sockets = sockets_.get(),
          .pod = pod_.get()};
}

Result<Done> Programs::mark_older() {
  if (!has_sockets()) return Done{};
  TRY(const ProgramTemplate* model, ProgramTemplate::get());
  TRY(const UniqueFd program, model->load(ProgramTemplate::Which::kMarkOlder, maps()));
  return run_iterator(program.get(), nullptr);
}

Result<std::vector<weft_connection>> Programs::list_sockets() {
  if (!has_sockets()) return std::vector<weft_connection>();
  TRY(const ProgramTemplate* model, ProgramTemplate::get());
  TRY(const UniqueFd program, model->load(ProgramTemplate::Which::kListSockets, maps()));
  std::vector<std::byte> bytes;
  TRY_DO(run_iterator(program.get(), &bytes));
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
    if (bpf_map_lookup_elem(outcomes_.get(), &key, per_cpu.data()) < 0) continue;
    for (const std::uint64_t packets : per_cpu) totals[key] += packets;
  }
  return totals;
}

}  // namespace mesh::ebpf
