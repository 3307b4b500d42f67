#pragma once
// The resources that the world comes to, as one numbered, immutable snapshot (translation.h makes
// it). Pure.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/delta.h"
#include "control/translate_policies.h"
#include "control/world.h"
#include "mesh/xds/ads_message.h"

namespace google::protobuf {
class MessageLite;
}

namespace mesh::control {

// A message's bytes, map entries in the order of their keys: equal content has equal bytes.
std::string bytes_of(const google::protobuf::MessageLite& message);
// Half of their SHA-256: who writes manifests must not be able to make a change that looks like
// none.
std::string version_of(std::string_view bytes);

// What a data plane may ask for on demand beside a resource's own name, and the resources that it
// stands for.
class Aliases {
 public:
  void emplace(std::string asked, std::string name) {
    pairs_.set({std::move(asked), std::move(name)}, true);
  }
  void erase(const std::string& asked, const std::string& name) {
    pairs_.erase(std::pair(asked, name));
  }
  template <class F>
  void for_each(std::string_view asked, F&& visit) const {
    const std::pair<std::string, std::string> first{asked, ""};
    for (auto it = pairs_.lower_bound(first); it != pairs_.end() && it->first.first == asked;
         ++it) {
      visit(it->first.second);
    }
  }

 private:
  OrderedMap<std::pair<std::string, std::string>, bool> pairs_;
};

// What runs on a node.
struct NodePods {
  // Of the pods that have not ended, by "NAMESPACE/SERVICE ACCOUNT": who may have a certificate.
  std::map<std::string, unsigned, std::less<>> accounts;
  unsigned enrolled = 0;  // pods that run and are in the mesh
};

struct Snapshot {
  std::uint64_t version = 0;
  std::shared_ptr<const World> world;
  std::array<Resources, xds::kResourceTypeCount> resources;
  OrderedMap<std::string, std::shared_ptr<const NodePods>> nodes;  // by name
  std::vector<PolicyNote> notes;
  // "NETWORK/ADDRESS", and a service's name for the workloads behind it.
  Aliases aliases;
  // How streams come to have this.
  std::shared_ptr<DeltaCache> deltas = std::make_shared<DeltaCache>();

  const Resources& of(xds::ResourceType type) const {
    return resources[static_cast<std::size_t>(type)];
  }
  // The names of the Address resources that `asked` stands for; empty when there are none.
  std::vector<std::string> find(std::string_view asked) const;
};

}  // namespace mesh::control
