#include "mesh/base/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace mesh {
namespace {

using Data = std::array<__user_cap_data_struct, 2>;

Result<Data> read_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  Data data{};
  if (syscall(SYS_capget, &header, data.data()) < 0) return failed_with_errno(errno, "capget");
  return data;
}

std::string name_of(int capability) {
  switch (capability) {
    case CAP_NET_BIND_SERVICE:
      return "CAP_NET_BIND_SERVICE";
    case CAP_NET_ADMIN:
      return "CAP_NET_ADMIN";
    case CAP_NET_RAW:
      return "CAP_NET_RAW";
    case CAP_SYS_PTRACE:
      return "CAP_SYS_PTRACE";
    case CAP_SYS_ADMIN:
      return "CAP_SYS_ADMIN";
    case CAP_BPF:
      return "CAP_BPF";
    default:
      return "capability " + std::to_string(capability);
  }
}

}  // namespace

Result<Done> keep_capabilities(std::span<const int> kept) {
  Data wanted{};
  for (const int capability : kept) {
    wanted[static_cast<std::size_t>(capability) / 32].permitted |= 1U << (capability % 32);
  }
  // Needs CAP_SETPCAP, so it comes first. Without it the bounding set stays as whoever started us
  // left it, and no_new_privs keeps us from making use of it.
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    const auto word = static_cast<std::size_t>(capability) / 32;
    if ((wanted[word].permitted >> (capability % 32) & 1U) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, capability) < 0 && errno != EPERM) {
      return failed_with_errno(errno, "drop from the bounding set");
    }
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return failed_with_errno(errno, "no_new_privs");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
    return failed_with_errno(errno, "clear ambient capabilities");
  }
  TRY(const Data had, read_capabilities());
  for (std::size_t word = 0; word < wanted.size(); ++word) {
    wanted[word].permitted &= had[word].permitted;
    wanted[word].effective = wanted[word].permitted;
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  if (syscall(SYS_capset, &header, wanted.data()) < 0) return failed_with_errno(errno, "capset");
  return Done{};
}

std::string missing_capabilities(std::span<const int> needed) {
  const Result<Data> had = read_capabilities();
  std::string missing;
  for (const int capability : needed) {
    const auto word = static_cast<std::size_t>(capability) / 32;
    if (had && ((*had)[word].effective >> (capability % 32) & 1U) != 0) continue;
    if (!missing.empty()) missing += ", ";
    missing += name_of(capability);
  }
  return missing;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace mesh
