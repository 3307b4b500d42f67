#pragma once
// The resources that the world comes to, as one numbered, immutable snapshot. Pure.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/translate_policies.h"
#include "control/world.h"
#include "mesh/xds/ads_message.h"

namespace google::protobuf {
class MessageLite;
}

namespace mesh::control {

struct Resource {
  std::string name;
  std::string version;  // a hash of `bytes`: equal content has an equal version, in any process
  std::string bytes;    // the serialized message
  // Of a policy: how much it is about. Less: workloads that name it; more: all of a namespace.
  std::uint8_t reach = 0;
};

// A message's bytes, map entries in the order of their keys: equal content has equal bytes.
std::string bytes_of(const google::protobuf::MessageLite& message);
// Half of their SHA-256: who writes manifests must not be able to make a change that looks like
// none.
std::string version_of(std::string_view bytes);

using Resources = std::map<std::string, std::shared_ptr<const Resource>, std::less<>>;

struct Snapshot {
  std::uint64_t version = 0;
  std::shared_ptr<const World> world;
  std::array<Resources, xds::kResourceTypeCount> resources;
  NodeAccounts accounts;  // who may have a certificate where
  std::vector<PolicyNote> notes;
  // What a data plane may ask for on demand, beside a resource's own name: "NETWORK/ADDRESS", and a
  // service's name for the workloads behind it.
  std::multimap<std::string, std::string, std::less<>> aliases;

  const Resources& of(xds::ResourceType type) const {
    return resources[static_cast<std::size_t>(type)];
  }
  // The names of the Address resources that `asked` stands for; empty when there are none.
  std::vector<std::string> find(std::string_view asked) const;
};

// The snapshot after `previous` (may be null). Resources that did not change are shared with it,
// and when none did, so is its number: a number is a set of resources. The first is
// `first_version`.
std::shared_ptr<const Snapshot> make_snapshot(std::shared_ptr<const World> world,
                                              const Settings& settings, const Snapshot* previous,
                                              std::uint64_t first_version);

}  // namespace mesh::control
