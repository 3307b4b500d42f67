#include "control/resource_store.h"

#include <openssl/sha.h>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "authorization.pb.h"
#include "control/translate_workloads.h"
#include "mesh/base/check.h"
#include "workload.pb.h"

namespace mesh::control {
namespace {

std::uint8_t reach_of(const istio::workload::Address&) { return 0; }
std::uint8_t reach_of(const istio::security::Authorization& policy) {
  switch (policy.scope()) {
    case istio::security::GLOBAL:
      return 2;
    case istio::security::NAMESPACE:
      return 1;
    default:
      return 0;
  }
}

class Builder {
 public:
  explicit Builder(const Snapshot* previous) : previous_(previous) {}

  template <class Message>
  Resources build(xds::ResourceType type, const std::map<std::string, Message>& messages) {
    Resources built;
    const Resources* before = previous_ == nullptr ? nullptr : &previous_->of(type);
    changed_ |= before == nullptr || before->size() != messages.size();
    for (const auto& [name, message] : messages)
      built.emplace(name, one(before, name, message, reach_of(message)));
    return built;
  }

  bool changed() const { return changed_; }

 private:
  std::shared_ptr<const Resource> one(const Resources* before, const std::string& name,
                                      const google::protobuf::MessageLite& message,
                                      std::uint8_t reach) {
    std::string bytes = bytes_of(message);
    if (before != nullptr) {
      const auto same = before->find(name);
      if (same != before->end() && same->second->bytes == bytes) return same->second;
    }
    changed_ = true;
    std::string version = version_of(bytes);
    return std::make_shared<const Resource>(name, std::move(version), std::move(bytes), reach);
  }

  const Snapshot* previous_;
  bool changed_ = false;
};

std::string address_key(std::string_view network, std::string_view bytes) {
  const auto ip = net::IpAddress::from_bytes(bytes);
  return std::string(network) + "/" + (ip ? ip->to_string() : "");
}

void add_aliases(const Addresses& addresses, Snapshot& snapshot) {
  for (const auto& [name, address] : addresses) {
    if (address.has_workload()) {
      const istio::workload::Workload& workload = address.workload();
      for (const std::string& bytes : workload.addresses()) {
        snapshot.aliases.emplace(address_key(workload.network(), bytes), name);
      }
      for (const auto& [service, ports] : workload.services()) {
        snapshot.aliases.emplace(service, name);
      }
    } else {
      for (const auto& at : address.service().addresses()) {
        snapshot.aliases.emplace(address_key(at.network(), at.address()), name);
      }
    }
  }
}

}  // namespace

std::string bytes_of(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  MESH_CHECK(message.SerializeToCodedStream(&coded));
  coded.Trim();
  return bytes;
}

std::string version_of(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string text;
  for (int i = 0; i < SHA256_DIGEST_LENGTH / 2; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

std::vector<std::string> Snapshot::find(std::string_view asked) const {
  std::vector<std::string> names;
  const Resources& addresses = of(xds::ResourceType::kAddress);
  const auto add = [&](std::string_view name) {
    if (addresses.contains(name)) names.emplace_back(name);
    for (auto [it, end] = aliases.equal_range(name); it != end; ++it) names.push_back(it->second);
  };
  add(asked);
  // An address of a service stands for the workloads behind it too.
  const std::size_t direct = names.size();
  for (std::size_t i = 0; i < direct; ++i) {
    if (names[i] == asked) continue;
    for (auto [it, end] = aliases.equal_range(names[i]); it != end; ++it) {
      names.push_back(it->second);
    }
  }
  return names;
}

std::shared_ptr<const Snapshot> make_snapshot(std::shared_ptr<const World> world,
                                              const Settings& settings, const Snapshot* previous,
                                              std::uint64_t first_version) {
  auto snapshot = std::make_shared<Snapshot>();
  const Addresses addresses = translate_workloads(*world, settings);
  const Authorizations policies = translate_policies(*world, settings, snapshot->notes);
  Builder builder(previous);
  snapshot->resources[static_cast<std::size_t>(xds::ResourceType::kAddress)] =
      builder.build(xds::ResourceType::kAddress, addresses);
  snapshot->resources[static_cast<std::size_t>(xds::ResourceType::kAuthorization)] =
      builder.build(xds::ResourceType::kAuthorization, policies);
  add_aliases(addresses, *snapshot);
  snapshot->accounts = accounts_by_node(*world);
  snapshot->world = std::move(world);
  snapshot->version = previous == nullptr ? first_version
                      : builder.changed() ? previous->version + 1
                                          : previous->version;
  return snapshot;
}

}  // namespace mesh::control
