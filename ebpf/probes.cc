#include "ebpf/probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "ebpf/netlink.h"
#include "probe.skel.h"

namespace mesh::ebpf {
namespace {

struct Hook {
  bpf_attach_type type;
  const char* program;
};
constexpr Hook kHooks[] = {{BPF_CGROUP_INET4_CONNECT, "weft_probe_v4"},
                           {BPF_CGROUP_INET6_CONNECT, "weft_probe_v6"}};

weft_address key_of(const net::IpAddress& ip) {
  weft_address key{};
  auto* bytes = reinterpret_cast<std::byte*>(key.words);
  if (ip.is_v4()) {
    bytes[10] = bytes[11] = std::byte{0xff};
    std::memcpy(bytes + 12, ip.bytes().data(), 4);
  } else {
    std::memcpy(bytes, ip.bytes().data(), 16);
  }
  return key;
}

Result<std::uint64_t> own_cookie() {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  const UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe || getsockopt(probe.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
    return failed_with_errno(errno, "cookie of network namespace");
  return cookie;
}

UniqueFd open_folder(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

// The programs of that name that hang there.
std::vector<std::uint32_t> attached(int cgroup, const Hook& hook) {
  std::array<std::uint32_t, 64> ids{};
  std::uint32_t count = ids.size();
  std::vector<std::uint32_t> ours;
  if (bpf_prog_query(cgroup, hook.type, 0, nullptr, ids.data(), &count) < 0) return ours;
  for (std::uint32_t i = 0; i < count && i < ids.size(); ++i) {
    const UniqueFd program(bpf_prog_get_fd_by_id(ids[i]));
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (program && bpf_prog_get_info_by_fd(program.get(), &info, &size) == 0 &&
        std::string_view(info.name) == hook.program)
      ours.push_back(ids[i]);
  }
  return ours;
}

void detach_program(int cgroup, const Hook& hook, std::uint32_t id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(id));
  if (program) bpf_prog_detach2(program.get(), cgroup, hook.type);
}

std::string cgroup2_mount() {
  std::ifstream file("/proc/mounts");
  return find_cgroup2_mount(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace

Result<std::unique_ptr<Probes>> Probes::create(const ProbeAddresses& addresses) {
  std::unique_ptr<Probes> probes(new Probes(addresses));
  TRY(probes->netns_, own_cookie());
  const int map = bpf_map_create(BPF_MAP_TYPE_HASH, "probed_pods", sizeof(weft_address),
                                 sizeof(std::uint32_t), WEFT_PROBED_ADDRESSES, nullptr);
  if (map < 0) return failed_with_errno(-map, "create map");
  probes->map_ = UniqueFd(map);
  TRY_DO(probes->guard());
  TRY_DO(probes->keep_addresses());
  return probes;
}

// A node without IPv6 has no probes of that family.
Result<Done> Probes::keep_addresses() const {
  TRY_DO(change_own_address(Change::kAdd, source_.v4));
  const auto v6 = change_own_address(Change::kAdd, source_.v6);
  const int error = v6 ? 0 : v6.error().os_errno;
  if (error == EOPNOTSUPP || error == EACCES || error == EAFNOSUPPORT) return Done{};
  return v6;
}

Probes::~Probes() {
  for (bpf_link* link : guards_) bpf_link__destroy(link);
  probe_bpf__destroy(skeleton_);
}

Result<Done> Probes::load(const Cgroup& kubelet, probe_bpf** skeleton) const {
  probe_bpf* loaded = probe_bpf__open();
  if (loaded == nullptr) return failed_with_errno(errno, "open probe programs");
  weft_probe facts{};
  facts.cgroup = kubelet.id;
  facts.netns = netns_;
  std::memcpy(&facts.v4, source_.v4.bytes().data(), sizeof facts.v4);
  std::memcpy(facts.v6, source_.v6.bytes().data(), sizeof facts.v6);
  std::memcpy(&loaded->rodata->probe, &facts, sizeof facts);
  int error = bpf_map__reuse_fd(loaded->maps.probed_pods, map_.get());
  if (error == 0) error = probe_bpf__load(loaded);
  if (error != 0) {
    probe_bpf__destroy(loaded);
    return failed_with_errno(-error, "load probe programs");
  }
  *skeleton = loaded;
  return Done{};
}

// Before the address is there: at no time may anybody take it.
Result<Done> Probes::guard() {
  probe_bpf* skeleton = nullptr;
  TRY_DO(load({}, &skeleton));
  const UniqueFd root = open_folder(cgroup2_mount());
  Result<Done> outcome = Done{};
  for (bpf_program* program : {skeleton->progs.weft_guard_v4, skeleton->progs.weft_guard_v6}) {
    bpf_link* link = root ? bpf_program__attach_cgroup(program, root.get()) : nullptr;
    if (link == nullptr) {
      outcome = failed_with_errno(errno, "guard the probe address");
      break;
    }
    guards_.push_back(link);
  }
  probe_bpf__destroy(skeleton);
  return outcome;
}

void Probes::add(const std::vector<net::IpAddress>& pod) {
  const std::uint32_t present = 1;
  for (const net::IpAddress& ip : pod) {
    const weft_address key = key_of(ip);
    if (bpf_map_update_elem(map_.get(), &key, &present, BPF_ANY) == 0)
      addresses_.insert(ip.to_string());
  }
}

void Probes::remove(const std::vector<net::IpAddress>& pod) {
  for (const net::IpAddress& ip : pod) {
    const weft_address key = key_of(ip);
    bpf_map_delete_elem(map_.get(), &key);
    addresses_.erase(ip.to_string());
  }
}

Result<bool> Probes::attach(const Cgroup& kubelet) {
  TRY_DO(keep_addresses());
  const UniqueFd folder = open_folder(kubelet.path);
  if (!folder) return failed_with_errno(errno, "open the kubelet's cgroup");
  const bool same = kubelet_ && kubelet_->id == kubelet.id;
  if (same && !attached(folder.get(), kHooks[0]).empty() &&
      !attached(folder.get(), kHooks[1]).empty())
    return false;
  probe_bpf* skeleton = nullptr;
  TRY_DO(load(kubelet, &skeleton));
  const int programs[] = {bpf_program__fd(skeleton->progs.weft_probe_v4),
                          bpf_program__fd(skeleton->progs.weft_probe_v6)};
  for (int i = 0; i < 2; ++i) {
    const std::vector<std::uint32_t> former = attached(folder.get(), kHooks[i]);
    const int error = bpf_prog_attach(programs[i], folder.get(), kHooks[i].type, BPF_F_ALLOW_MULTI);
    if (error < 0) {
      probe_bpf__destroy(skeleton);
      return failed_with_errno(-error, "attach to the kubelet's cgroup");
    }
    for (const std::uint32_t id : former) detach_program(folder.get(), kHooks[i], id);
  }
  probe_bpf__destroy(std::exchange(skeleton_, skeleton));
  kubelet_ = kubelet;
  return true;
}

void Probes::detach() {
  const UniqueFd folder = kubelet_ ? open_folder(kubelet_->path) : UniqueFd();
  if (!folder) return;
  for (const Hook& hook : kHooks)
    for (const std::uint32_t id : attached(folder.get(), hook))
      detach_program(folder.get(), hook, id);
}

void Probes::remove_all() {
  detach();
  static_cast<void>(change_own_address(Change::kRemove, source_.v4));
  static_cast<void>(change_own_address(Change::kRemove, source_.v6));
}

}  // namespace mesh::ebpf
