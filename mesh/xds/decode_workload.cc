// istio.workload.Address to workload::Workload and workload::Service.

#include <algorithm>
#include <memory>
#include <utility>

#include "mesh/xds/decode.h"
#include "mesh/xds/decode_internal.h"
#include "mesh/xds/wire_reader.h"

namespace mesh::xds {
namespace {

using workload::ApplicationTunnel;
using workload::GatewayAddress;
using workload::LoadBalancing;
using workload::Membership;
using workload::NetworkAddress;
using workload::Port;
using workload::Service;
using workload::ServiceKey;
using workload::Vip;
using workload::WeightedWaypoint;
using workload::Workload;

constexpr std::size_t kMaxAddresses = 1'024;   // of a workload, and of a service
constexpr std::size_t kMaxMemberships = 4'096;
constexpr std::size_t kMaxPorts = 4'096;       // of a service, and of a membership
constexpr std::size_t kMaxPolicies = 1'024;    // listed by a workload
constexpr std::size_t kMaxNames = 1'024;       // subject alternative names
constexpr std::size_t kMaxWaypoints = 64;
constexpr std::size_t kMaxScopes = 16;
constexpr std::size_t kMaxHostname = 253;

// A NetworkAddress as the wire has it.
struct AddressParts {
  std::string network;
  std::string bytes;
  std::optional<std::uint32_t> length;
};

class AddressDecoder : public FieldDecoder {
 public:
  bool workload(std::string_view bytes, Workload& to) {
    to.trust_domain.clear();
    if (!message(bytes, [&](const WireField& field) { return workload_field(field, to); })) {
      return false;
    }
    if (to.trust_domain.empty()) to.trust_domain = "cluster.local";
    if (to.service_account.empty()) to.service_account = "default";
    if (to.cluster_id.empty()) to.cluster_id = "Kubernetes";
    if (to.uid.empty()) return fail("empty") || under("uid");
    if (to.ns.empty()) return fail("empty") || under("namespace");
    if (to.tunnel == workload::TunnelProtocol::kHbone && !to.identity()) {
      return fail("namespace and service account do not make an identity") ||
             under("service_account");
    }
    return true;
  }

  bool service(std::string_view bytes, Service& to) {
    if (!message(bytes, [&](const WireField& field) { return service_field(field, to); })) {
      return false;
    }
    if (!ServiceKey::parse(to.key.to_string())) {
      return fail("namespace and hostname do not make a key") || under("hostname");
    }
    return true;
  }

  bool network_address(const WireField& from, AddressParts& to) {
    return embedded(from, [&](const WireField& field) {
      switch (field.number) {
        case 1: return text(field, to.network) || under("network");
        case 2: return raw(field, to.bytes) || under("address");
        case 3: return number(field, to.length.emplace()) || under("length");
        default: return unknown(field);
      }
    });
  }

  bool ip(std::string_view bytes, net::IpAddress& to) {
    const auto parsed = net::IpAddress::from_bytes(bytes);
    if (!parsed) return fail("an address of " + std::to_string(bytes.size()) + " bytes");
    // The kernel's addresses come to us unmapped, so a mapped one would never be found.
    if (parsed->unmapped() != *parsed) return fail("an IPv4-mapped address");
    to = *parsed;
    return true;
  }

  bool vip(const AddressParts& parts, Vip& to) {
    net::IpAddress base;
    if (!ip(parts.bytes, base)) return under("address");
    const auto block = net::Cidr::make(base, parts.length.value_or(base.is_v4() ? 32 : 128));
    if (!block) {
      return fail("a prefix length of " + std::to_string(*parts.length)) || under("length");
    }
    to = {.network = parts.network, .block = *block};
    return true;
  }

 private:
  bool workload_field(const WireField& field, Workload& to) {
    std::uint32_t value = 0;
    switch (field.number) {
      case 1: return text(field, to.name) || under("name");
      case 2: return text(field, to.ns) || under("namespace");
      case 3:
        return each("addresses", kMaxAddresses, to.addresses, [&](net::IpAddress& made) {
          if (field.type != WireType::kBytes) return fail("not bytes");
          return ip(field.bytes, made);
        });
      case 4: return text(field, to.network) || under("network");
      case 5:
        if (!choice(field, 2, value)) return under("tunnel_protocol");
        if (value == 2) return fail("LEGACY_ISTIO_MTLS is not spoken") || under("tunnel_protocol");
        to.tunnel = static_cast<workload::TunnelProtocol>(value);
        return true;
      case 6: return text(field, to.trust_domain) || under("trust_domain");
      case 7: return text(field, to.service_account) || under("service_account");
      case 8: return gateway(field, to.waypoint.emplace()) || under("waypoint");
      case 9: return text(field, to.node) || under("node");
      case 10: return text(field, to.canonical_name) || under("canonical_name");
      case 11: return text(field, to.canonical_revision) || under("canonical_revision");
      case 12: return enumerator(field, "workload_type", 3, to.type);
      case 13: return text(field, to.workload_name) || under("workload_name");
      case 14: return flag(field, to.native_tunnel) || under("native_tunnel");
      case 16:
        return each("authorization_policies", kMaxPolicies, to.authorization_policies,
                    [&](std::string& made) { return text(field, made); });
      case 17: return enumerator(field, "status", 1, to.health);
      case 18: return text(field, to.cluster_id) || under("cluster_id");
      case 19: return gateway(field, to.network_gateway.emplace()) || under("network_gateway");
      case 20: return text(field, to.uid) || under("uid");
      case 21: return text(field, to.hostname, kMaxHostname) || under("hostname");
      case 22: return membership(field, to.services);
      case 23:
        return application_tunnel(field, to.application_tunnel.emplace()) ||
               under("application_tunnel");
      case 24: return locality(field, to.locality) || under("locality");
      case 25: return enumerator(field, "network_mode", 1, to.network_mode);
      case 26: return fail("an extension, and none is known") || under("extensions");
      case 27: return capacity(field, to.capacity) || under("capacity");
      default: return unknown(field);
    }
  }

  bool service_field(const WireField& field, Service& to) {
    switch (field.number) {
      case 1: return text(field, to.name) || under("name");
      case 2: return text(field, to.key.ns) || under("namespace");
      case 3: return text(field, to.key.hostname, kMaxHostname) || under("hostname");
      case 4:
        return each("addresses", kMaxAddresses, to.vips, [&](Vip& made) {
          AddressParts parts;
          return network_address(field, parts) && vip(parts, made);
        });
      case 5:
        return each("ports", kMaxPorts, to.ports, [&](Port& made) { return port(field, made); });
      case 6:
        return each("subject_alt_names", kMaxNames, to.subject_alt_names,
                    [&](std::string& made) { return text(field, made); });
      case 7: return gateway(field, to.waypoint.emplace()) || under("waypoint");
      case 8: return load_balancing(field, to.load_balancing) || under("load_balancing");
      case 9: return enumerator(field, "ip_families", 3, to.ip_families);
      case 10: return fail("an extension, and none is known") || under("extensions");
      case 11: return flag(field, to.canonical) || under("canonical");
      case 12: return flag(field, to.ingress_use_waypoint) || under("ingress_use_waypoint");
      case 13:
        return each("weighted_waypoints", kMaxWaypoints, to.weighted_waypoints,
                    [&](WeightedWaypoint& made) { return weighted_waypoint(field, made); });
      case 14: return enumerator(field, "visibility", 1, to.visibility);
      default: return unknown(field);
    }
  }

  // map<string, PortList>: an entry is a message of key 1 and value 2.
  bool membership(const WireField& from, std::vector<Membership>& to) {
    if (to.size() >= kMaxMemberships) return fail("too many") || under("services");
    std::string key;
    Membership made;
    const bool good = embedded(from, [&](const WireField& field) {
      if (field.number == 1) return text(field, key);
      if (field.number != 2) return unknown(field);
      return embedded(field, [&](const WireField& inner) {
        if (inner.number != 1) return unknown(inner);
        return each("ports", kMaxPorts, made.ports, [&](Port& one) { return port(inner, one); });
      });
    });
    if (!good) return under_key("services", key);
    const std::optional<ServiceKey> service = ServiceKey::parse(key);
    if (!service) return fail("not namespace/hostname") || under_key("services", key);
    made.service = *service;
    // Of a key that is there twice the last counts, as in any protobuf map.
    std::erase_if(to, [&](const Membership& one) { return one.service == made.service; });
    to.push_back(std::move(made));
    return true;
  }

  bool port(const WireField& from, Port& to) {
    if (!embedded(from, [&](const WireField& field) {
          switch (field.number) {
            case 1: return port_number(field, 1, to.service_port) || under("service_port");
            case 2: return port_number(field, 0, to.target_port) || under("target_port");
            case 3: return enumerator(field, "app_protocol", 5, to.app_protocol);
            default: return unknown(field);
          }
        })) {
      return false;
    }
    return to.service_port != 0 || fail("port 0") || under("service_port");
  }

  bool port_number(const WireField& field, std::uint32_t least, std::uint16_t& to) {
    std::uint32_t value = 0;
    if (!number(field, value)) return false;
    if (value < least || value > 65'535) return fail("port " + std::to_string(value));
    to = static_cast<std::uint16_t>(value);
    return true;
  }

  bool gateway(const WireField& from, GatewayAddress& to) {
    bool has_destination = false;
    const bool good = embedded(from, [&](const WireField& field) {
      switch (field.number) {
        case 1: {
          has_destination = true;
          ServiceKey key;
          if (!namespaced_hostname(field, key)) return under("hostname");
          to.destination = std::move(key);
          return true;
        }
        case 2: {
          has_destination = true;
          AddressParts parts;
          Vip block;
          if (!network_address(field, parts) || !vip(parts, block)) return under("address");
          if (block.block.length() != (block.block.base().is_v4() ? 32u : 128u)) {
            return fail("a block of addresses") || under("address");
          }
          to.destination = NetworkAddress{.network = block.network, .ip = block.block.base()};
          return true;
        }
        case 3: return port_number(field, 1, to.hbone_port) || under("hbone_mtls_port");
        default: return unknown(field);
      }
    });
    return good && (has_destination || fail("neither a hostname nor an address"));
  }

  bool namespaced_hostname(const WireField& from, ServiceKey& to) {
    if (!embedded(from, [&](const WireField& field) {
          switch (field.number) {
            case 1: return text(field, to.ns) || under("namespace");
            case 2: return text(field, to.hostname, kMaxHostname) || under("hostname");
            default: return unknown(field);
          }
        })) {
      return false;
    }
    return ServiceKey::parse(to.to_string()) || fail("not a namespace and a hostname");
  }

  bool weighted_waypoint(const WireField& from, WeightedWaypoint& to) {
    bool has_destination = false;
    const bool good = embedded(from, [&](const WireField& field) {
      switch (field.number) {
        case 1:
          has_destination = true;
          return gateway(field, to.gateway) || under("destination");
        case 2: return number(field, to.weight) || under("weight");
        default: return unknown(field);
      }
    });
    return good && (has_destination || fail("empty") || under("destination"));
  }

  bool load_balancing(const WireField& from, LoadBalancing& to) {
    std::vector<std::uint32_t> scopes;
    const bool good = embedded(from, [&](const WireField& field) {
      switch (field.number) {
        case 1: return numbers(field, scopes, kMaxScopes) || under("routing_preference");
        case 2: return enumerator(field, "mode", 3, to.mode);
        case 3: return enumerator(field, "health_policy", 1, to.health);
        default: return unknown(field);
      }
    });
    if (!good) return false;
    for (std::size_t i = 0; i < scopes.size(); ++i) {
      if (scopes[i] < 1 || scopes[i] > 6) {
        return fail("value " + std::to_string(scopes[i])) || under("routing_preference", i);
      }
      to.preference.push_back(static_cast<LoadBalancing::Scope>(scopes[i] - 1));
    }
    return true;
  }

  bool application_tunnel(const WireField& from, ApplicationTunnel& to) {
    return embedded(from, [&](const WireField& field) {
      switch (field.number) {
        case 1: return enumerator(field, "protocol", 1, to.protocol);
        case 2: {
          std::uint16_t value = 0;
          if (!port_number(field, 0, value)) return under("port");
          if (value != 0) to.port = value;
          return true;
        }
        default: return unknown(field);
      }
    });
  }

  bool locality(const WireField& from, workload::Locality& to) {
    return embedded(from, [&](const WireField& field) {
      switch (field.number) {
        case 1: return text(field, to.region) || under("region");
        case 2: return text(field, to.zone) || under("zone");
        case 3: return text(field, to.subzone) || under("subzone");
        default: return unknown(field);
      }
    });
  }

  // UInt32Value: there, but without a value, is 0.
  bool capacity(const WireField& from, std::uint32_t& to) {
    to = 0;
    return embedded(from, [&](const WireField& field) {
      return field.number == 1 ? number(field, to) : unknown(field);
    });
  }

  // Our enums have the wire's values.
  template <class Enum>
  bool enumerator(const WireField& field, const char* name, std::uint32_t highest, Enum& to) {
    std::uint32_t value = 0;
    if (!choice(field, highest, value)) return under(name);
    to = static_cast<Enum>(value);
    return true;
  }

  template <class T, class F>
  bool each(const char* name, std::size_t limit, std::vector<T>& to, F&& decode) {
    if (to.size() >= limit) return fail("more than " + std::to_string(limit)) || under(name);
    return decode(to.emplace_back()) || under(name, to.size() - 1);
  }
};

// What can still be read of the addresses of a resource that was not understood: they are refused,
// because an address that nobody knows is taken for off-mesh.
void salvage_addresses(std::string_view bytes, bool is_service, workload::Refused& refused) {
  std::string network;
  std::vector<net::IpAddress> ips;
  WireReader reader(bytes);
  WireField field;
  while (reader.next(field) && refused.vips.size() + ips.size() < kMaxAddresses) {
    if (field.type != WireType::kBytes) continue;
    AddressDecoder decoder;
    if (is_service && field.number == 4) {
      AddressParts parts;
      Vip vip;
      if (decoder.network_address(field, parts) && decoder.vip(parts, vip)) {
        refused.vips.push_back(std::move(vip));
      }
    } else if (!is_service && field.number == 3) {
      net::IpAddress ip;
      if (decoder.ip(field.bytes, ip)) ips.push_back(ip);
    } else if (!is_service && field.number == 4) {
      decoder.text(field, network);
    }
  }
  for (const net::IpAddress& ip : ips) refused.addresses.push_back({.network = network, .ip = ip});
}

// Which of the two an Address is, and its bytes.
struct Opened {
  bool is_service = false;
  std::string_view bytes;
};

bool open_address(FieldDecoder& decoder, const RawResource& resource, Opened& to) {
  if (resource.type_url == kWorkloadType) {
    to.bytes = resource.bytes;
    return true;
  }
  bool has_one = false;
  const bool good = decoder.message(resource.bytes, [&](const WireField& field) {
    if (field.number != 1 && field.number != 2) return decoder.unknown(field);
    if (field.type != WireType::kBytes) return decoder.fail("not a message");
    if (has_one) return decoder.fail("more than one workload or service");
    has_one = true;
    to = {.is_service = field.number == 2, .bytes = field.bytes};
    return true;
  });
  return good && (has_one || decoder.fail("neither a workload nor a service"));
}

// Adds the resource to the delta, or returns what is wrong with it.
std::string decode_address(const RawResource& resource, workload::Delta& delta, Opened& opened) {
  std::string problem;
  if (problem_of_envelope(resource, {kAddressType, kWorkloadType}, problem)) return problem;
  AddressDecoder decoder;
  if (!open_address(decoder, resource, opened)) return decoder.problem();
  const auto misnamed = [&](const std::string& name) {
    return name == resource.name ? std::string() : "the resource is of " + name;
  };
  if (opened.is_service) {
    auto service = std::make_shared<Service>();
    if (!decoder.service(opened.bytes, *service)) return decoder.problem();
    problem = misnamed(service->key.to_string());
    if (problem.empty()) delta.services.push_back(std::move(service));
  } else {
    auto workload = std::make_shared<Workload>();
    if (!decoder.workload(opened.bytes, *workload)) return decoder.problem();
    problem = misnamed(workload->uid);
    if (problem.empty()) delta.workloads.push_back(std::move(workload));
  }
  return problem;
}

}  // namespace

Decoded decode_addresses(std::span<const RawResource> resources,
                         std::span<const std::string> removed) {
  Decoded decoded;
  decoded.delta.removed.assign(removed.begin(), removed.end());
  for (const RawResource& resource : resources) {
    Opened opened;
    const std::string problem = decode_address(resource, decoded.delta, opened);
    if (problem.empty()) continue;
    auto refused = std::make_shared<workload::Refused>();
    refused->resource = resource.name;
    refused->problem = problem;
    salvage_addresses(opened.bytes, opened.is_service, *refused);
    decoded.delta.rejected.push_back(std::move(refused));
    decoded.complaints.push_back({.resource = resource.name, .problem = problem});
  }
  return decoded;
}

}  // namespace mesh::xds
