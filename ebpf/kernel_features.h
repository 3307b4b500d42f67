#pragma once
// What capture uses of the kernel, and whether this one has it: probed, not guessed from a version.

#include <string_view>
#include <vector>

namespace mesh::ebpf {

struct KernelFeature {
  std::string_view name;
  std::string_view what_for;
  bool available = false;
  bool required = false;  // weft-agent refuses to start without it
};

// Asks the kernel each time. Needs the privileges that weft-agent needs; without them, what takes a
// privilege to ask is reported as missing.
std::vector<KernelFeature> kernel_features();

}  // namespace mesh::ebpf
