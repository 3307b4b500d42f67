#include "ebpf/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <array>

#include "ebpf/netlink.h"
#include "ebpf/unique_fd.h"

namespace mesh::ebpf {
namespace {

constexpr std::size_t kProgramsMax = 64;  // of one hook of one interface; the kernel's own limit
constexpr unsigned kPriority = 1;
constexpr unsigned kHandle = 0x77656674;  // "weft"

bpf_attach_type tcx_type(Direction direction) {
  return direction == Direction::kIngress ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
}

bpf_tc_attach_point clsact_point(Direction direction) {
  return direction == Direction::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

std::uint32_t clsact_parent(Direction direction) {
  return TC_H_MAKE(TC_H_CLSACT,
                   static_cast<std::uint32_t>(direction == Direction::kIngress ? TC_H_MIN_INGRESS
                                                                               : TC_H_MIN_EGRESS));
}

bool has_name(int program_fd, std::string_view name) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  return bpf_prog_get_info_by_fd(program_fd, &info, &size) == 0 && name == info.name;
}

bpf_tc_hook clsact_hook(const AttachPoint& point) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = static_cast<int>(point.ifindex);
  hook.attach_point = clsact_point(point.direction);
  return hook;
}

bpf_tc_opts clsact_options() {
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.handle = kHandle;
  options.priority = kPriority;
  return options;
}

Result<std::optional<std::uint32_t>> find_tcx(const AttachPoint& point) {
  std::array<std::uint32_t, kProgramsMax> ids{};
  struct bpf_prog_query_opts query{};
  query.sz = sizeof query;
  query.prog_ids = ids.data();
  query.prog_cnt = static_cast<std::uint32_t>(ids.size());
  const int error =
      bpf_prog_query_opts(static_cast<int>(point.ifindex), tcx_type(point.direction), &query);
  if (error == -ENOENT) return std::nullopt;
  if (error < 0) return failed_with_errno(-error, "query tcx");
  for (std::uint32_t i = 0; i < query.prog_cnt && i < ids.size(); ++i) {
    const UniqueFd program(bpf_prog_get_fd_by_id(ids[i]));
    if (program && has_name(program.get(), point.program)) return ids[i];
  }
  return std::nullopt;
}

Result<std::optional<std::uint32_t>> find_clsact(const AttachPoint& point) {
  const bpf_tc_hook hook = clsact_hook(point);
  bpf_tc_opts options = clsact_options();
  const int error = bpf_tc_query(&hook, &options);
  if (error == -ENOENT || error == -EINVAL) return std::nullopt;  // no filter, no qdisc
  if (error < 0) return failed_with_errno(-error, "query clsact");
  const UniqueFd program(bpf_prog_get_fd_by_id(options.prog_id));
  if (program && has_name(program.get(), point.program)) return options.prog_id;
  return std::nullopt;
}

Result<Done> attach_tcx(const AttachPoint& point, int program_fd) {
  TRY(const std::optional<std::uint32_t> older, find_tcx(point));
  struct bpf_prog_attach_opts options{};
  options.sz = sizeof options;
  options.flags = BPF_F_BEFORE;  // in front of all others: nothing decides before we did
  UniqueFd replaced;
  if (older) {
    replaced = UniqueFd(bpf_prog_get_fd_by_id(*older));
    if (!replaced) return failed_with_errno(errno, "open attached program");
    options.flags = BPF_F_REPLACE;
    options.replace_prog_fd = replaced.get();
  }
  const int error = bpf_prog_attach_opts(program_fd, static_cast<int>(point.ifindex),
                                         tcx_type(point.direction), &options);
  if (error < 0) return failed_with_errno(-error, "attach tcx");
  return Done{};
}

Result<Done> detach_tcx(const AttachPoint& point) {
  TRY(const std::optional<std::uint32_t> id, find_tcx(point));
  if (!id) return Done{};
  const UniqueFd program(bpf_prog_get_fd_by_id(*id));
  if (!program) return failed_with_errno(errno, "open attached program");
  struct bpf_prog_detach_opts options{};
  options.sz = sizeof options;
  const int error = bpf_prog_detach_opts(program.get(), static_cast<int>(point.ifindex),
                                         tcx_type(point.direction), &options);
  if (error < 0) return failed_with_errno(-error, "detach tcx");
  return Done{};
}

Result<Done> attach_clsact(const AttachPoint& point, int program_fd,
                           std::vector<unsigned>& made_clsact) {
  bpf_tc_hook hook = clsact_hook(point);
  int error = bpf_tc_hook_create(&hook);
  if (error == 0) made_clsact.push_back(point.ifindex);
  if (error < 0 && error != -EEXIST) return failed_with_errno(-error, "make clsact");
  bpf_tc_opts options = clsact_options();
  options.prog_fd = program_fd;
  options.flags = BPF_TC_F_REPLACE;
  error = bpf_tc_attach(&hook, &options);
  if (error < 0) return failed_with_errno(-error, "attach to clsact");
  return Done{};
}

Result<Done> detach_clsact(const AttachPoint& point, std::vector<unsigned>& made_clsact) {
  TRY(const std::optional<std::uint32_t> id, find_clsact(point));
  bpf_tc_hook hook = clsact_hook(point);
  if (id) {
    bpf_tc_opts options = clsact_options();
    const int error = bpf_tc_detach(&hook, &options);
    if (error < 0) return failed_with_errno(-error, "detach from clsact");
  }
  const auto made = std::ranges::find(made_clsact, point.ifindex);
  if (made == made_clsact.end()) return Done{};
  for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
    TRY(const unsigned filters, count_filters(point.ifindex, clsact_parent(direction)));
    if (filters > 0) return Done{};
  }
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  const int error = bpf_tc_hook_destroy(&hook);
  if (error < 0 && error != -ENOENT) return failed_with_errno(-error, "remove clsact");
  made_clsact.erase(made);
  return Done{};
}

}  // namespace

AttachKind best_attach_kind() {
  struct bpf_prog_query_opts query{};
  query.sz = sizeof query;
  const int error = bpf_prog_query_opts(WEFT_LOOPBACK_IFINDEX, BPF_TCX_INGRESS, &query);
  return error == -EINVAL ? AttachKind::kClsact : AttachKind::kTcx;
}

Result<Done> Attacher::attach(const AttachPoint& point, int program_fd) {
  return kind_ == AttachKind::kTcx ? attach_tcx(point, program_fd)
                                   : attach_clsact(point, program_fd, made_clsact_);
}

Result<std::optional<std::uint32_t>> Attacher::find(const AttachPoint& point) const {
  return kind_ == AttachKind::kTcx ? find_tcx(point) : find_clsact(point);
}

Result<Done> Attacher::detach(const AttachPoint& point) {
  const auto result =
      kind_ == AttachKind::kTcx ? detach_tcx(point) : detach_clsact(point, made_clsact_);
  if (!result && result.error().os_errno == ENODEV) return Done{};
  return result;
}

}  // namespace mesh::ebpf
