#include "control/kubernetes/address_plan.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "mesh/kube/resource.h"

namespace mesh::control::kubernetes {
namespace {

using manifest::AllocatedAddress;
using manifest::ServiceEntry;

constexpr std::string_view kManager = "weft-addresses";
constexpr std::uint32_t kFirst = 1, kLast = 65'534;  // of the last 16 bits

bool wants(const ServiceEntry& entry, const std::string& host) {
  return entry.addresses.empty() && entry.resolution != "NONE" && !host.starts_with("*") &&
         entry.metadata.label("networking.istio.io/enable-autoallocate-ip") != "false";
}

net::IpAddress v4(std::uint32_t number) {
  return *net::IpAddress::parse("240.240." + std::to_string(number >> 8) + "." +
                                std::to_string(number & 255));
}

net::IpAddress v6(std::uint32_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "2001:2::%x", number);
  return *net::IpAddress::parse(text);
}

bool is_range(const net::IpAddress& address) {
  static const auto kV4 = *net::Cidr::parse("240.240.0.0/16");
  static const auto kV6 = *net::Cidr::parse("2001:2::/48");
  return kV4.contains(address) || kV6.contains(address);
}

// FNV-1a: the same in every process.
std::uint32_t start_of(const std::string& ns, const std::string& host) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : ns + "/" + host) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return static_cast<std::uint32_t>(hash % (kLast - kFirst + 1)) + kFirst;
}

class Addresses {
 public:
  // False: it is somebody else's.
  bool take(const net::IpAddress& address) { return taken_.insert(address.to_string()).second; }

  template <class Make>
  std::optional<net::IpAddress> any(std::uint32_t start, const Make& make) {
    for (std::uint32_t i = 0; i <= kLast - kFirst; ++i) {
      const net::IpAddress address = make(kFirst + (start - kFirst + i) % (kLast - kFirst + 1));
      if (take(address)) return address;
    }
    return {};
  }

 private:
  std::set<std::string> taken_;
};

// The oldest first: what was allocated first stays where two have the same.
std::vector<const ServiceEntry*> by_age(const World& world) {
  std::vector<const ServiceEntry*> entries = world.all<ServiceEntry>();
  const auto age = [](const ServiceEntry* entry) {
    return std::tie(entry->metadata.created, entry->metadata.ns, entry->metadata.name);
  };
  std::sort(entries.begin(), entries.end(),
            [&](const auto* a, const auto* b) { return age(a) < age(b); });
  return entries;
}

Write write_of(const ServiceEntry& entry, const std::vector<AllocatedAddress>& addresses) {
  nlohmann::json list = nlohmann::json::array();
  for (const AllocatedAddress& one : addresses) {
    list.push_back({{"host", one.host}, {"value", one.address.to_string()}});
  }
  Write write{.verb = "patch",
              .target = {.type = kube::types_of(manifest::Kind::kServiceEntry).front(),
                         .ns = entry.metadata.ns,
                         .name = entry.metadata.name},
              .subresource = "status/addresses"};
  const nlohmann::json body = {{"metadata", {{"resourceVersion", entry.metadata.resource_version}}},
                               {"status", {{"addresses", std::move(list)}}}};
  write.request = kube::patch_status_request(write.target, body.dump(), kManager);
  return write;
}

}  // namespace

std::vector<Write> plan_addresses(const World& world) {
  const std::vector<const ServiceEntry*> entries = by_age(world);
  Addresses taken;
  // What is there comes first, whoever has it: nobody loses an address to a newcomer.
  std::vector<std::vector<AllocatedAddress>> kept(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    for (const AllocatedAddress& one : entries[i]->allocated) {
      const auto& hosts = entries[i]->hosts;
      const bool known = std::find(hosts.begin(), hosts.end(), one.host) != hosts.end();
      if (!known || !wants(*entries[i], one.host) || !is_range(one.address)) continue;
      if (taken.take(one.address)) kept[i].push_back(one);
    }
  }
  std::vector<Write> writes;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const ServiceEntry& entry = *entries[i];
    std::vector<AllocatedAddress> addresses;
    for (const std::string& host : entry.hosts) {
      if (!wants(entry, host)) continue;
      const std::uint32_t start = start_of(entry.metadata.ns, host);
      for (const bool is_v4 : {true, false}) {
        const auto has = std::find_if(kept[i].begin(), kept[i].end(), [&](const auto& one) {
          return one.host == host && one.address.is_v4() == is_v4;
        });
        auto address = has != kept[i].end() ? std::optional(has->address)
                       : is_v4              ? taken.any(start, v4)
                                            : taken.any(start, v6);
        if (address) addresses.push_back({host, *address});
      }
    }
    const bool same = std::equal(
        addresses.begin(), addresses.end(), entry.allocated.begin(), entry.allocated.end(),
        [](const auto& a, const auto& b) { return a.host == b.host && a.address == b.address; });
    if (!same) writes.push_back(write_of(entry, addresses));
  }
  return writes;
}

}  // namespace mesh::control::kubernetes
