#include "cli/lab/network.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "cli/lab/addresses.h"
#include "cli/lab/files.h"
#include "cli/lab/process.h"

namespace mesh::cli::lab {
namespace {

constexpr const char* kFolder = "/run/netns";

Outcome<Done> set_kernel(const std::string& name, const std::string& value) {
  const std::string path = "/proc/sys/net/" + name;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return problem_with_errno("set " + path);
  const ssize_t written = ::write(fd, value.data(), value.size());
  ::close(fd);
  if (written < 0) return problem_with_errno("set " + path);
  return Done{};
}

Outcome<Done> batch(const std::string& netns, const std::string& commands) {
  std::vector<std::string> argv = {"ip"};
  if (!netns.empty()) argv.insert(argv.end(), {"-n", netns});
  argv.insert(argv.end(), {"-batch", "-"});
  TRY_DO(run(argv, commands));
  return Done{};
}

// Inside a fresh namespace.
Outcome<Done> prepare() {
  for (const char* which : {"all", "default"}) {
    const std::string six = std::string("ipv6/conf/") + which + "/";
    TRY_DO(set_kernel(six + "disable_ipv6", "0"));
    TRY_DO(set_kernel(six + "accept_dad", "0"));
    TRY_DO(set_kernel(six + "accept_ra", "0"));
  }
  return Done{};
}

Outcome<Done> let_forward() {
  TRY_DO(set_kernel("ipv4/ip_forward", "1"));
  TRY_DO(set_kernel("ipv6/conf/all/forwarding", "1"));
  TRY_DO(set_kernel("ipv4/conf/all/rp_filter", "0"));
  TRY_DO(set_kernel("ipv4/conf/default/rp_filter", "0"));
  return Done{};
}

std::string uplink(int node) { return "node" + std::to_string(node); }

}  // namespace

std::string netns_path(const std::string& name) { return std::string(kFolder) + "/" + name; }

// A new namespace becomes a file that `ip netns` knows: a bind mount of the thread's own one.
Outcome<Done> make_netns(const std::string& name) {
  TRY_DO(make_folders(kFolder));
  const std::string path = netns_path(name);
  const int file = ::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  if (file < 0) return problem_with_errno("make network namespace " + name);
  ::close(file);
  const int home = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0 || ::unshare(CLONE_NEWNET) != 0) {
    auto failure = problem_with_errno("make network namespace " + name);
    if (home >= 0) ::close(home);
    ::unlink(path.c_str());
    return failure;
  }
  Outcome<Done> made = Done{};
  if (::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    made = problem_with_errno("name network namespace " + name);
  } else {
    made = prepare();
  }
  MESH_CHECK(::setns(home, CLONE_NEWNET) == 0);
  ::close(home);
  if (!made) {
    [[maybe_unused]] const auto removed = remove_netns(name);
    return made;
  }
  return batch(name, "link set lo up\n");
}

Outcome<Done> remove_netns(const std::string& name) {
  const std::string path = netns_path(name);
  if (::umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
    return problem_with_errno("unmount " + path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return problem_with_errno("remove " + path);
  return Done{};
}

Outcome<Done> inside_netns(const std::string& name, const std::function<Outcome<Done>()>& action) {
  const int home = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  const int there = ::open(netns_path(name).c_str(), O_RDONLY | O_CLOEXEC);
  Outcome<Done> result = Done{};
  if (home < 0 || there < 0 || ::setns(there, CLONE_NEWNET) != 0) {
    result = problem_with_errno("enter network namespace " + name);
  } else {
    result = action();
    MESH_CHECK(::setns(home, CLONE_NEWNET) == 0);
  }
  if (home >= 0) ::close(home);
  if (there >= 0) ::close(there);
  return result;
}

std::string link_batch(const LinkPlan& plan) {
  std::string text = "link add name link0 type bridge mcast_snooping 0\n";
  for (std::size_t i = 0; i < plan.node_netns.size(); ++i) {
    const std::string name = uplink(static_cast<int>(i) + 1);
    text += "link add " + name + " type veth peer name eth0 netns " + plan.node_netns[i] + "\n";
    text += "link set " + name + " master link0 up\n";
  }
  text += "link set link0 up\n";
  text += std::string("addr add ") + kControlAddress + "/24 dev link0\n";
  text += std::string("addr add ") + kControlAddress6 + "/64 dev link0 nodad\n";
  for (std::size_t i = 0; i < plan.node_netns.size(); ++i) {
    const int node = static_cast<int>(i) + 1;
    const auto via = node_addresses(node);
    text += "route add " + node_pod_range(node) + " via " + via[0] + "\n";
    text += "route add " + node_pod_range6(node) + " via " + via[1] + "\n";
  }
  return text;
}

std::string node_batch(int node, int nodes) {
  const auto own = node_addresses(node);
  std::string text = "link set eth0 up\n";
  text += "addr add " + own[0] + "/24 dev eth0\n";
  text += "addr add " + own[1] + "/64 dev eth0 nodad\n";
  for (int other = 1; other <= nodes; ++other) {
    if (other == node) continue;
    const auto via = node_addresses(other);
    text += "route add " + node_pod_range(other) + " via " + via[0] + "\n";
    text += "route add " + node_pod_range6(other) + " via " + via[1] + "\n";
  }
  return text;
}

Outcome<Done> connect_nodes(const LinkPlan& plan) {
  TRY_DO(batch(plan.netns, link_batch(plan)));
  const int nodes = static_cast<int>(plan.node_netns.size());
  for (int node = 1; node <= nodes; ++node) {
    const std::string& netns = plan.node_netns[static_cast<std::size_t>(node) - 1];
    TRY_DO(inside_netns(netns, let_forward));
    TRY_DO(batch(netns, node_batch(node, nodes)));
  }
  return Done{};
}

std::string pod_node_batch(const PodLink& link) {
  std::string text =
      "link add " + link.interface + " type veth peer name eth0 netns " + link.pod_netns + "\n";
  text += "link set " + link.interface + " up\n";
  text += "addr add " + link.gateway + "/32 dev " + link.interface + "\n";
  text += "addr add fe80::1/64 dev " + link.interface + " nodad\n";
  for (const std::string& address : link.addresses) {
    const bool v6 = address.find(':') != std::string::npos;
    text += "route add " + address + (v6 ? "/128" : "/32") + " dev " + link.interface + "\n";
  }
  return text;
}

std::string pod_batch(const PodLink& link) {
  std::string text = "link set eth0 up\n";
  for (const std::string& address : link.addresses) {
    const bool v6 = address.find(':') != std::string::npos;
    text += "addr add " + address + (v6 ? "/128 dev eth0 nodad\n" : "/32 dev eth0\n");
  }
  text += "route add " + link.gateway + " dev eth0 scope link\n";
  text += "route add default via " + link.gateway + " dev eth0\n";
  text += "route add default via fe80::1 dev eth0\n";
  return text;
}

Outcome<Done> connect_pod(const PodLink& link) {
  TRY_DO(batch(link.node_netns, pod_node_batch(link)));
  return batch(link.pod_netns, pod_batch(link));
}

}  // namespace mesh::cli::lab
