#include "ztunnel/dns.h"

#include <algorithm>
#include <random>

namespace mesh::ztunnel {

using workload::Directory;
using workload::Service;

namespace {

constexpr std::uint32_t kLocalhostTtl = 86400;

// Of the services of that hostname, the one the client means; null if it may see none.
const Service* best(const Directory& directory, const DnsClient& client,
                    std::string_view hostname) {
  const Service* chosen = nullptr;
  int chosen_rank = 4;
  for (const workload::ServicePtr& one : directory.services_of_hostname(hostname)) {
    if (one->visibility == workload::Visibility::kNamespace && one->key.ns != client.ns) continue;
    const int rank = one->key.ns == client.ns             ? 0
                     : one->key.ns == client.preferred_ns ? 1
                     : one->canonical                     ? 2
                                                          : 3;
    if (rank < chosen_rank) {
      chosen = one.get();
      chosen_rank = rank;
    }
  }
  return chosen;
}

// "a.b.c": then "*.b.c", "*.c".
const Service* best_wildcard(const Directory& directory, const DnsClient& client,
                             std::string_view name) {
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos;
       dot = name.find('.', dot + 1)) {
    const std::string wildcard = "*" + std::string(name.substr(dot));
    if (const Service* found = best(directory, client, wildcard)) return found;
  }
  return nullptr;
}

// A hostname, or a short form of a service of this cluster: NAME, NAME.NS, NAME.NS.svc.
const Service* find_name(const Directory& directory, const DnsClient& client,
                         std::string_view name) {
  if (const Service* found = best(directory, client, name)) return found;
  const std::string domain = ".svc." + std::string(client.cluster_domain);
  const auto dots = std::ranges::count(name, '.');
  std::string full;
  if (dots == 0) full = std::string(name) + "." + std::string(client.ns) + domain;
  if (dots == 1) full = std::string(name) + domain;
  if (dots == 2 && name.ends_with(".svc")) {
    full = std::string(name) + "." + std::string(client.cluster_domain);
  }
  if (!full.empty() && full.size() <= kDnsNameMax) {
    if (const Service* found = best(directory, client, full)) return found;
  }
  return best_wildcard(directory, client, name);
}

std::vector<net::IpAddress> addresses_of(const Directory& directory, const DnsClient& client,
                                         const Service& service, bool v6, std::uint64_t random) {
  std::vector<net::IpAddress> found;
  for (const workload::Vip& vip : service.vips) {
    const bool one_address = vip.block.length() == (vip.block.base().is_v4() ? 32u : 128u);
    if (vip.network == client.network && one_address && vip.block.base().is_v6() == v6) {
      found.push_back(vip.block.base());
    }
  }
  if (!service.vips.empty()) return found;
  directory.for_each_endpoint(
      {service.key.ns, service.key.hostname}, [&](const workload::Endpoint& endpoint) {
        const workload::Workload& member = *endpoint.workload;
        if (member.health != workload::Health::kHealthy || member.network != client.network) return;
        for (const net::IpAddress& ip : member.addresses) {
          if (ip.is_v6() == v6) found.push_back(ip);
        }
      });
  std::ranges::sort(found);
  std::minstd_rand shuffle(static_cast<std::minstd_rand::result_type>(random % 2147483646 + 1));
  std::ranges::shuffle(found, shuffle);
  return found;
}

}  // namespace

DnsDecision decide_dns(const Directory& directory, const DnsClient& client, const DnsQuery& query,
                       std::uint64_t random) {
  const bool v4 = query.type == static_cast<std::uint16_t>(DnsType::kA);
  const bool v6 = query.type == static_cast<std::uint16_t>(DnsType::kAaaa);
  if ((!v4 && !v6) || query.name.empty()) return DnsForward{};
  if (query.name == "localhost" || query.name.ends_with(".localhost")) {  // RFC 6761
    std::array<std::uint8_t, 16> loopback{};
    loopback[15] = 1;
    const auto ip = v4 ? net::IpAddress::v4({127, 0, 0, 1}) : net::IpAddress::v6(loopback);
    return DnsAddresses{.addresses = {ip}, .ttl = kLocalhostTtl, .authoritative = false};
  }
  if (const Service* service = find_name(directory, client, query.name)) {
    return DnsAddresses{.addresses = addresses_of(directory, client, *service, v6, random)};
  }
  const std::string domain(client.cluster_domain);
  std::vector<std::string> search = {std::string(client.ns) + ".svc." + domain, "svc." + domain,
                                     domain};
  search.insert(search.end(), client.search.begin(), client.search.end());
  for (const std::string& suffix : search) {
    const std::string_view name = query.name;
    if (!name.ends_with("." + suffix)) continue;
    const std::string_view stripped = name.substr(0, name.size() - suffix.size() - 1);
    if (const Service* service = find_name(directory, client, stripped)) {
      return DnsAddresses{.cname = std::string(stripped),
                          .addresses = addresses_of(directory, client, *service, v6, random)};
    }
  }
  return DnsForward{};
}

}  // namespace mesh::ztunnel
