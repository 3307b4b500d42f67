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

// "io_uring" or "io_sim".
std::string_view back_end_name();

}  // namespace mesh::io
