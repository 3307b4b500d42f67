#include "ebpf/kernel_features.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>

#include "ebpf/attach.h"
#include "ebpf/cgroup.h"
#include "ebpf/netlink.h"
#include "ebpf/programs.h"

namespace mesh::ebpf {
namespace {

bool has_types() {
  struct stat status{};
  return stat("/sys/kernel/btf/vmlinux", &status) == 0;
}

bool has_cgroup2() {
  std::ifstream mounts("/proc/mounts");
  const std::string text(std::istreambuf_iterator<char>(mounts), {});
  return !find_cgroup2_mount(text).empty();
}

bool loads_programs() {
  const auto exempt = ExemptCgroups::create();
  return exempt && Programs::load(weft_pod{}, *exempt, KeptMaps{});
}

// Asked to end a connection that does not exist, a kernel that could says so.
bool can_end_sockets() {
  weft_connection nobody{};
  nobody.family = AF_INET;
  nobody.local[0] = nobody.remote[0] = htonl(0x7f000001);
  nobody.local_port = nobody.remote_port = 1;
  return destroy_socket(nobody).has_value();
}

}  // namespace

std::vector<KernelFeature> kernel_features() {
  // A refusal is an answer here, and no warning.
  const libbpf_print_fn_t print = libbpf_set_print(nullptr);
  const bool tcx = best_attach_kind() == AttachKind::kTcx;
  std::vector<KernelFeature> features = {
      {"btf", "eBPF programs that fit every kernel (CO-RE)", has_types(), true},
      {"cgroup2", "telling ztunnel's sockets from a pod's", has_cgroup2(), true},
      {"capture programs", "capture, as this kernel's verifier sees it", loads_programs(), true},
      {"sock_destroy", "ending connections older than a pod's enrolment", can_end_sockets(), false},
      {"tcx", "capture in front of other tc programs, out of tc's reach", tcx, false},
      // Came with the same release (6.6), and cannot be asked for without a listener.
      {"sk_assign reuseport", "several workers a pod, two ztunnels at once", tcx, false},
  };
  libbpf_set_print(print);
  return features;
}

}  // namespace mesh::ebpf
