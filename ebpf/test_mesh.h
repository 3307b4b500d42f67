#pragma once
// The world of test_world.h with its pod enrolled, or about to be.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "ebpf/capture.h"
#include "ebpf/test_world.h"

namespace mesh::ebpf {

// What this kernel has: Linux 6.6 brought TCX, and with it sk_assign to SO_REUSEPORT groups.
inline bool has_tcx() { return best_attach_kind() == AttachKind::kTcx; }

inline CaptureOptions test_options(AttachKind attach = best_attach_kind()) {
  if (attach == AttachKind::kTcx && !has_tcx()) SKIP("this kernel has no TCX");
  return {.addresses = {*net::IpAddress::parse(kPodV4), *net::IpAddress::parse(kPodV6)},
          .attach = attach};
}

class TestMesh {
 public:
  TestMesh() : exempt_(make_exempt()) {}

  void enrol(const CaptureOptions& options = test_options()) {
    auto capture = Capture::establish(world.pod(), options, exempt_);
    INFO((capture ? "" : capture.error().during));
    REQUIRE(capture);
    capture_.emplace(*std::move(capture));
  }
  // As if the agent had ended.
  void forget() { capture_.reset(); }

  void trust(const Proxy& proxy) { REQUIRE(exempt_.add(proxy.cgroup_id())); }
  Capture& capture() { return *capture_; }
  ExemptCgroups& exempt() { return exempt_; }

  std::uint64_t counted(std::string_view outcome) {
    const auto names = outcome_names();
    const auto found = std::ranges::find(names, outcome);
    REQUIRE(found != names.end());
    return capture_->counters()[static_cast<std::size_t>(found - names.begin())];
  }

  World world;

 private:
  static ExemptCgroups make_exempt() {
    auto exempt = ExemptCgroups::create();
    REQUIRE(exempt);
    return *std::move(exempt);
  }
  ExemptCgroups exempt_;
  std::optional<Capture> capture_;
};

}  // namespace mesh::ebpf
