// weft-agent: enrols the pods of one node, and tells ztunnel of them.

#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "ebpf/agent.h"
#include "ebpf/node_log.h"
#include "ebpf/profiles.h"
#include "mesh/base/privileges.h"

namespace mesh::ebpf {
namespace {

struct Flags {
  AgentOptions agent;
  std::string probe_v4 = "169.254.7.127";
  std::string probe_v6 = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff";
  bool no_probe_exemption = false;
  bool tcx = false;
  bool kubernetes = false;
  std::string kubeconfig;
  std::string daemon_set;
  std::vector<std::string> excluded_namespaces;
  bool install_cni = false, uninstall_cni = false;
  cni::InstallOptions cni;
  std::string profiles;  // FROM:TO
};

int fail(const std::string& why) {
  std::fprintf(stderr, "weft-agent: %s\n", why.c_str());
  return 1;
}

int take_libbpf_line(libbpf_print_level, const char*, va_list) { return 0; }

int print_libbpf_line(libbpf_print_level, const char* format, va_list arguments) {
  return std::vfprintf(stderr, format, arguments);
}

// What can be known before the kernel refuses something without a reason.
std::string missing_in_kernel() {
  utsname name{};
  int major = 0, minor = 0;
  if (uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
      (major < 6 || (major == 6 && minor < 1)))
    return "Linux " + std::string(name.release) + " is too old: 6.1 or newer is needed";
  struct stat status{};
  if (stat("/sys/kernel/btf/vmlinux", &status) < 0)
    return "/sys/kernel/btf/vmlinux is missing: the kernel needs CONFIG_DEBUG_INFO_BTF, and /sys "
           "must be mounted";
  return {};
}

void define_flags(CLI::App& app, Flags& flags, bool& debug) {
  app.set_version_flag("--version", "weft-agent " WEFT_VERSION);
  app.add_option("--node", flags.agent.node.name, "this node's name");
  app.add_option("--zds-socket", flags.agent.zds_socket, "where ztunnel connects");
  app.add_option("--socket", flags.agent.socket, "where the CNI plugin or the lab connects");
  app.add_option("--state", flags.agent.node.state_directory,
                 "folder that keeps what must survive a restart");
  app.add_option("--max-pods", flags.agent.node.pods_max, "pods that may be enrolled")
      ->capture_default_str();
  app.add_option("--probe-address", flags.probe_v4, "where kubelet probes come from")
      ->capture_default_str();
  app.add_option("--probe-address-v6", flags.probe_v6, "the same for IPv6")->capture_default_str();
  app.add_flag("--no-probe-exemption", flags.no_probe_exemption,
               "capture kubelet probes like everything else");
  app.add_flag("--detach-on-exit", flags.agent.detach_on_exit,
               "on SIGTERM, take capture away from the pods instead of leaving it in force");
  app.add_flag("--tcx", flags.tcx,
               "attach by TCX where the kernel has it: slower, since each attachment waits for the "
               "whole machine");
  app.add_flag("--kubernetes", flags.kubernetes,
               "enrol the pods of this node by their labels, from the cluster we run in");
  app.add_option("--kubeconfig", flags.kubeconfig, "the same, from the cluster of this file");
  app.add_option("--exclude-namespace", flags.excluded_namespaces,
                 "namespaces whose pods are never in the mesh, and start without the agent");
  app.add_option("--daemonset", flags.daemon_set,
                 "NAMESPACE/NAME of the DaemonSet that runs us: once it is deleted, our end is for "
                 "good");
  app.add_option("--kubelet-cgroup", flags.agent.kubelet_cgroup,
                 "the kubelet's control group, as a path in cgroup v2 (default: found by itself)");
  app.add_flag("--install-cni", flags.install_cni,
               "install weft-cni on the node, and keep it there until --daemonset is deleted");
  app.add_flag("--uninstall-cni", flags.uninstall_cni, "only take weft-cni off the node");
  app.add_option("--cni-conf-dir", flags.cni.configurations,
                 "where the node's CNI configuration is")
      ->capture_default_str();
  app.add_option("--cni-bin-dir", flags.cni.programs, "where the node's CNI plugins are")
      ->capture_default_str();
  app.add_option("--cni-plugin", flags.cni.plugin, "weft-cni (default: beside this program)");
  app.add_option("--cni-socket", flags.cni.entry.socket,
                 "the path of --socket on the node, if it is another there");
  app.add_option("--install-profiles", flags.profiles,
                 "FROM:TO: first put the seccomp profiles of a folder into the kubelet's");
  app.add_flag("--debug", debug, "print what libbpf says");
}

// Programs and maps; tc, routes and SOCK_DESTROY; setns() and what older kernels ask for programs;
// the namespaces of pods whose processes are other users'.
constexpr std::array kCapabilities = {CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE};

// Nothing, or what is wrong.
std::string set_up_kubernetes(Flags& flags) {
  if (!flags.kubernetes && flags.kubeconfig.empty()) {
    if (!flags.excluded_namespaces.empty() || !flags.daemon_set.empty())
      return "--exclude-namespace and --daemonset go with --kubernetes";
    return {};
  }
  auto access =
      flags.kubeconfig.empty() ? kube::in_cluster() : kube::load_kubeconfig(flags.kubeconfig);
  if (!access) return access.error();
  KubernetesOptions options{.watch = {.access = *std::move(access),
                                      .node = flags.agent.node.name,
                                      .daemon_set_namespace = {},
                                      .daemon_set = {}},
                            .excluded_namespaces = flags.excluded_namespaces};
  if (!flags.daemon_set.empty()) {
    const auto slash = flags.daemon_set.find('/');
    if (slash == std::string::npos) return "--daemonset: want NAMESPACE/NAME";
    options.watch.daemon_set_namespace = flags.daemon_set.substr(0, slash);
    options.watch.daemon_set = flags.daemon_set.substr(slash + 1);
  }
  flags.agent.kubernetes = std::move(options);
  flags.agent.kubelet_probes = !flags.no_probe_exemption;
  return {};
}

// Nothing, or what is wrong.
std::string set_up_cni(Flags& flags) {
  if (!flags.install_cni) return {};
  if (!flags.agent.kubernetes) return "--install-cni goes with --kubernetes";
  if (flags.cni.entry.socket.empty()) flags.cni.entry.socket = flags.agent.socket;
  flags.cni.entry.excluded_namespaces = flags.excluded_namespaces;
  if (flags.cni.plugin.empty()) {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return "/proc/self/exe: " + error.message();
    flags.cni.plugin = (self.parent_path() / "weft-cni").string();
  }
  flags.agent.install = flags.cni;
  return {};
}

// Nothing, or what is wrong.
std::string set_up_profiles(const Flags& flags) {
  if (flags.profiles.empty()) return {};
  const std::size_t colon = flags.profiles.find(':');
  if (colon == std::string::npos)
    return "--install-profiles: \"" + flags.profiles + "\" is not FROM:TO";
  const auto done =
      install_profiles(flags.profiles.substr(0, colon), flags.profiles.substr(colon + 1));
  return done ? "" : "--install-profiles: " + done.error();
}

int uninstall_cni(const Flags& flags) {
  const auto removed = cni::Installer::remove(flags.cni);
  return removed ? 0 : fail(removed.error());
}

int run(Flags& flags) {
  if (flags.uninstall_cni) return uninstall_cni(flags);
  for (const auto& [name, value] : {std::pair("--node", &flags.agent.node.name),
                                    std::pair("--zds-socket", &flags.agent.zds_socket),
                                    std::pair("--socket", &flags.agent.socket),
                                    std::pair("--state", &flags.agent.node.state_directory)})
    if (value->empty()) return fail(std::string(name) + " is required");
  if (const auto dropped = keep_capabilities(kCapabilities); !dropped)
    return fail(std::string("cannot give up privileges: ") + dropped.error().during);
  if (const std::string missing = missing_in_kernel(); !missing.empty()) return fail(missing);
  if (flags.kubernetes || !flags.kubeconfig.empty()) {
    if (const auto entered = enter_node_cgroups(); !entered)
      return fail(explain(entered.error()) + "; the agent needs hostPID and CAP_SYS_PTRACE");
  }
  if (!flags.no_probe_exemption) {
    flags.agent.node.probe_v4 = net::IpAddress::parse(flags.probe_v4);
    flags.agent.node.probe_v6 = net::IpAddress::parse(flags.probe_v6);
    if (!flags.agent.node.probe_v4 || !flags.agent.node.probe_v4->is_v4())
      return fail("--probe-address: " + flags.probe_v4 + " is no IPv4 address");
    if (!flags.agent.node.probe_v6 || !flags.agent.node.probe_v6->is_v6())
      return fail("--probe-address-v6: " + flags.probe_v6 + " is no IPv6 address");
  }
  if (mkdir(flags.agent.node.state_directory.c_str(), 0700) < 0 && errno != EEXIST)
    return fail("cannot make " + flags.agent.node.state_directory + ": " + std::strerror(errno));
  if (const std::string wrong = set_up_profiles(flags); !wrong.empty()) return fail(wrong);
  if (const std::string wrong = set_up_kubernetes(flags); !wrong.empty()) return fail(wrong);
  if (const std::string wrong = set_up_cni(flags); !wrong.empty()) return fail(wrong);
  // A pod takes a dozen descriptors, and the usual limit is 1024.
  raise_descriptor_limit();
  flags.agent.node.attach = flags.tcx ? best_attach_kind() : AttachKind::kClsact;

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  auto agent = Agent::start(std::move(flags.agent), UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC)));
  if (!agent) return fail(agent.error());
  (*agent)->run();
  return 0;
}

}  // namespace
}  // namespace mesh::ebpf

int main(int argc, char** argv) {
  CLI::App app("weft-agent: enrols the pods of one node into the mesh, and tells ztunnel of them.");
  mesh::ebpf::Flags flags;
  bool debug = false;
  mesh::ebpf::define_flags(app, flags, debug);
  CLI11_PARSE(app, argc, argv);
  libbpf_set_print(debug ? mesh::ebpf::print_libbpf_line : mesh::ebpf::take_libbpf_line);
  return mesh::ebpf::run(flags);
}
