// Arbitrary bytes as resources: decoding never crashes, a resource is either taken or complained
// about, and what is taken can be put into a Directory, looked up and asked.
// The first byte chooses: 0 an Address, 1 an Authorization.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/policy/authorize.h"
#include "mesh/workload/directory_builder.h"
#include "mesh/workload/load_balance.h"
#include "mesh/xds/decode.h"

namespace {

using namespace mesh;

// The name that the resource gives itself, so that good ones are not refused for being misnamed.
void rename(xds::RawResource& resource, const xds::Decoded& decoded) {
  if (decoded.complaints.empty()) return;
  constexpr std::string_view kSaid = "the resource is of ";
  const std::string& problem = decoded.complaints[0].problem;
  if (problem.starts_with(kSaid)) resource.name = problem.substr(kSaid.size());
}

void ask(const workload::Directory& directory) {
  directory.for_each_workload([&](const workload::WorkloadPtr& one) {
    MESH_CHECK(directory.find_workload(one->uid) == one.get());
    const policy::Connection connection{.destination_port = 80};
    const policy::Selection policies = directory.policies_for(*one);
    MESH_CHECK(explain(policies, connection).allowed ==
               authorize(policies, connection).allowed());
    for (const net::IpAddress& ip : one->addresses) {
      const workload::Found found = directory.find({one->network, ip}, {.ns = one->ns});
      MESH_CHECK(found.what != workload::Found::What::kAbsent ||
                 one->network_mode == workload::NetworkMode::kHostNetwork);
    }
  });
  directory.for_each_service([&](const workload::ServicePtr& one) {
    for (const workload::Port& port : one->ports) {
      (void)choose_endpoint(directory, *one, port.service_port, {}, 1);
    }
    for (const workload::Vip& vip : one->vips) {
      MESH_CHECK(directory.find({vip.network, vip.block.base()}, {.ns = one->key.ns}).what ==
                 workload::Found::What::kService);
    }
    (void)choose_waypoint(*one, 1);
  });
  directory.for_each_refused([&](const workload::Refused& one) {
    for (const workload::NetworkAddress& at : one.addresses) {
      MESH_CHECK(directory.find({at.network, at.ip}, {}).what ==
                 workload::Found::What::kRefused);
    }
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool is_policy = data[0] % 2 == 1;
  xds::RawResource resource{
      .name = "app/p",
      .type_url = std::string(is_policy ? xds::kAuthorizationType : xds::kAddressType),
      .bytes = std::string(reinterpret_cast<const char*>(data) + 1, size - 1)};
  const auto decode = [&] {
    return is_policy ? xds::decode_authorizations({&resource, 1}, {})
                     : xds::decode_addresses({&resource, 1}, {});
  };
  rename(resource, decode());
  const xds::Decoded decoded = decode();
  MESH_CHECK(decoded.complaints.size() <= 1);
  MESH_CHECK(decoded.nack_message().size() <= 4'096);
  if (is_policy) {
    MESH_CHECK(decoded.delta.policies.size() == 1);
    MESH_CHECK(decoded.delta.policies[0]->usable() == decoded.complaints.empty());
  } else {
    MESH_CHECK(decoded.delta.workloads.size() + decoded.delta.services.size() +
                   decoded.delta.rejected.size() ==
               1);
  }

  workload::DirectoryBuilder builder(nullptr);
  builder.apply(decoded.delta);
  const workload::DirectoryPtr first = std::move(builder).build();
  ask(*first);

  workload::DirectoryBuilder remover(first);
  remover.remove(resource.name);
  const workload::DirectoryPtr second = std::move(remover).build();
  MESH_CHECK(second->workload_count() + second->service_count() + second->rejected_count() == 0);
  return 0;
}
