#pragma once
// What the kernel under us can do beyond the floor, and what of that is used.

#include <span>
#include <string_view>

namespace mesh::io {

struct Feature {
  std::string_view name;
  std::string_view what_for;
  bool available = false;
  bool used = false;
};

// Probed once, at the first call or the first Ring. The simulator answers with what it models.
std::span<const Feature> features();

// Whether TCP sockets of this process may use the congestion control of that name.
bool has_congestion_control(std::string_view name);
// One that sends what its window holds at once: empty, the system's own, unless that is BBR, which
// has a timer for every segment. Then reno, which every kernel has. Asked once.
std::string_view unpaced_congestion_control();

// "io_uring" or "io_sim".
std::string_view back_end_name();

}  // namespace mesh::io
