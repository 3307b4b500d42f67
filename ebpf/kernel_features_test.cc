#include "ebpf/kernel_features.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::ebpf {
namespace {

TEST_CASE("this kernel has what capture requires") {
  for (const KernelFeature& feature : kernel_features()) {
    INFO(feature.name);
    CHECK(!feature.what_for.empty());
    if (feature.required) CHECK(feature.available);
  }
}

}  // namespace
}  // namespace mesh::ebpf
