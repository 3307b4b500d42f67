#include "ebpf/routing.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <ranges>

#include "ebpf/netlink.h"
#include "ebpf/unique_fd.h"

namespace mesh::ebpf {
namespace {

constexpr int kFamilies[] = {AF_INET, AF_INET6};

// Those of interfaces are in folders.
std::string setting_path(const std::string& name) {
  return (name.contains('/') ? "/proc/sys/net/ipv4/conf/" : "/proc/sys/net/ipv4/") + name;
}

Result<std::string> read_setting(const std::string& name) {
  const UniqueFd file(::open(setting_path(name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return failed_with_errno(errno, "open sysctl");
  std::array<char, 32> text;
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size < 0) return failed_with_errno(errno, "read sysctl");
  std::string value(text.data(), static_cast<std::size_t>(size));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

Result<Done> write_setting(const std::string& name, const std::string& value) {
  const UniqueFd file(::open(setting_path(name).c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return failed_with_errno(errno, "open sysctl");
  if (::write(file.get(), value.data(), value.size()) < 0)
    return failed_with_errno(errno, "write sysctl");
  return Done{};
}

Result<Done> set(const std::string& name, const std::string& value,
                 std::vector<SavedSetting>& saved) {
  TRY(const std::string before, read_setting(name));
  if (before == value) return Done{};
  TRY_DO(write_setting(name, value));
  const bool known =
      std::ranges::any_of(saved, [&](const auto& each) { return each.name == name; });
  if (!known) saved.push_back({.name = name, .value = before});
  return Done{};
}

// The kernel takes the larger of all/rp_filter and the interface's own. So that only loopback is
// without the check, the value moves from "all" to each of the others.
Result<Done> turn_off_source_check(std::vector<SavedSetting>& saved) {
  TRY(const std::string all, read_setting("all/rp_filter"));
  if (all != "0") {
    TRY(const std::vector<Link> links, list_links());
    for (const Link& link : links) {
      if (link.loopback) continue;
      TRY(const std::string own, read_setting(link.name + "/rp_filter"));
      if (std::atoi(own.c_str()) < std::atoi(all.c_str()))
        TRY_DO(set(link.name + "/rp_filter", all, saved));
    }
    TRY_DO(set("all/rp_filter", "0", saved));
  }
  return set("lo/rp_filter", "0", saved);
}

// A path that loses long packets without a word would stall tunnels for ever. With this TCP tries
// shorter ones after a second or two of silence, in both families.
Result<Done> find_path_mtu(std::vector<SavedSetting>& saved) {
  TRY(const std::string before, read_setting("tcp_mtu_probing"));
  return before == "0" ? set("tcp_mtu_probing", "1", saved) : Done{};
}

// IPv6 may be off in the pod or in the kernel. Then there is nothing to route, and nothing gets out
// either: what the programs redirect ends on loopback.
bool is_family_absent(int family, const Error& error) {
  return family == AF_INET6 && (error.os_errno == EAFNOSUPPORT || error.os_errno == EOPNOTSUPP ||
                                error.os_errno == EACCES || error.os_errno == ENODEV ||
                                error.os_errno == EINVAL || error.os_errno == EPERM);
}

}  // namespace

Result<Done> install_routing(std::vector<SavedSetting>& saved) {
  TRY_DO(set_link_up(WEFT_LOOPBACK_IFINDEX));
  TRY_DO(set("lo/accept_local", "1", saved));
  TRY_DO(turn_off_source_check(saved));
  TRY_DO(find_path_mtu(saved));
  for (const int family : kFamilies) {
    for (const auto change : {change_rule, change_route}) {
      const auto done = change(Change::kAdd, family);
      if (!done && !is_family_absent(family, done.error())) return done;
    }
  }
  return Done{};
}

Result<Done> remove_routing(const std::vector<SavedSetting>& saved) {
  Result<Done> outcome = Done{};
  for (const int family : kFamilies) {
    for (const auto change : {change_rule, change_route}) {
      const auto done = change(Change::kRemove, family);
      if (!done && !is_family_absent(family, done.error())) outcome = done;
    }
  }
  for (const SavedSetting& setting : saved | std::views::reverse) {
    const auto done = write_setting(setting.name, setting.value);
    if (!done && done.error().os_errno != ENOENT) outcome = done;
  }
  return outcome;
}

}  // namespace mesh::ebpf
