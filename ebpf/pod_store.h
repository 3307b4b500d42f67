#pragma once
// What the agent remembers across its own restart: STATE/pods.json, replaced as a whole.
//
// A pod's namespace is remembered by its cookie, which the kernel never uses twice while it runs,
// and found again by looking at the path we were told, at /run/netns and at processes. An inode
// number or a path alone could be another pod's by now, and would hand it this pod's identity.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "ebpf/pod.h"
#include "ebpf/routing.h"
#include "mesh/base/result.h"
#include "mesh/net/netns.h"

namespace mesh::ebpf {

struct StoredPod {
  PodInfo info = {};
  std::uint64_t netns_inode = 0;
  std::uint64_t netns_cookie = 0;
  std::vector<SavedSetting> saved_settings = {};
  std::vector<unsigned> made_clsact = {};
};

// Errors: in words, naming file and cause.
class PodStore {
 public:
  explicit PodStore(std::string directory) : directory_(std::move(directory)) {}

  // Nothing if there is no file yet, or if it is of an earlier boot: its namespaces are gone.
  std::expected<std::vector<StoredPod>, std::string> load() const;
  std::expected<void, std::string> save(const std::vector<StoredPod>& pods) const;

 private:
  std::string path() const { return directory_ + "/pods.json"; }
  std::string directory_;
};

// Pure parts of load() and save().
std::string format_pods(const std::vector<StoredPod>& pods, std::string_view boot_id);
std::expected<std::vector<StoredPod>, std::string> parse_pods(std::string_view text,
                                                              std::string_view boot_id);

Result<std::uint64_t> cookie_of(const net::NetworkNamespace& netns);
// Errors: kUnreachable when no path leads to the namespace any more.
Result<net::NetworkNamespace> find_namespace(const StoredPod& pod);

}  // namespace mesh::ebpf
