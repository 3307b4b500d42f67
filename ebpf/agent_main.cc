// weft-agent: enrols the pods of one node, and tells ztunnel of them.

#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "ebpf/agent.h"
#include "ebpf/node_log.h"
#include "mesh/base/privileges.h"

namespace mesh::ebpf {
namespace {

struct Flags {
  AgentOptions agent;
  std::string probe_v4 = "169.254.7.127";
  std::string probe_v6 = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff";
  bool no_probe_exemption = false;
  bool clsact = false;
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
  app.add_option("--node", flags.agent.node.name, "this node's name")->required();
  app.add_option("--zds-socket", flags.agent.zds_socket, "where ztunnel connects")->required();
  app.add_option("--socket", flags.agent.socket, "where the CNI plugin or the lab connects")
      ->required();
  app.add_option("--state", flags.agent.node.state_directory,
                 "folder that keeps what must survive a restart")
      ->required();
  app.add_option("--max-pods", flags.agent.node.pods_max, "pods that may be enrolled")
      ->capture_default_str();
  app.add_option("--probe-address", flags.probe_v4, "where kubelet probes come from")
      ->capture_default_str();
  app.add_option("--probe-address-v6", flags.probe_v6, "the same for IPv6")->capture_default_str();
  app.add_flag("--no-probe-exemption", flags.no_probe_exemption,
               "capture kubelet probes like everything else");
  app.add_flag("--detach-on-exit", flags.agent.detach_on_exit,
               "on SIGTERM, take capture away from the pods instead of leaving it in force");
  app.add_flag("--clsact", flags.clsact, "attach by clsact filters even where the kernel has TCX");
  app.add_flag("--debug", debug, "print what libbpf says");
}

// Programs and maps; tc, routes and SOCK_DESTROY; setns() and what older kernels ask for programs;
// the namespaces of pods whose processes are other users'.
constexpr std::array kCapabilities = {CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE};

int run(Flags& flags) {
  if (const auto dropped = keep_capabilities(kCapabilities); !dropped)
    return fail(std::string("cannot give up privileges: ") + dropped.error().during);
  if (const std::string missing = missing_in_kernel(); !missing.empty()) return fail(missing);
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
  // A pod takes a dozen descriptors, and the usual limit is 1024.
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
  }
  flags.agent.node.attach = flags.clsact ? AttachKind::kClsact : best_attach_kind();

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
