#pragma once
// A mesh written as text, so that a test shows the case and nothing else. One resource a line.
//
//   directory(R"(
//     pod shop/web 10.0.0.2,fd00::2 node=a hbone services=shop/web.example:80>8080
//     service shop/web.example 10.96.0.1,10.97.0.0/24 ports=80>8080,443 waypoint=shop/wp.example
//   )")
//
// pod NS/NAME IPS|- [FIELDS]: uid "K//Pod/NS/NAME", service account NAME unless sa= says otherwise.
//   flags   hbone native unhealthy hostnet
//   fields  uid sa node network cluster region zone subzone hostname capacity tunnel (port)
//           policies=KEY,KEY waypoint=NS/HOST or IP gateway=NS/HOST or IP
//           services=NS/HOST:PORTS+NS/HOST:PORTS
// service NS/HOST VIPS|- [FIELDS]
//   flags   canonical private
//   fields  network ports waypoint families=v4|v6|dual health=all lb=strict|failover|passthrough
//           prefer=SCOPE,SCOPE weighted=NS/HOST*30,NS/HOST*70
// PORTS: 80>8080 maps, 80 alone leaves the target to others.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/base/check.h"
#include "mesh/workload/directory_builder.h"
#include "test/support/policy_text.h"

namespace mesh::workload::test {

using policy::test::ip;
using policy::test::number;
using policy::test::take_until;
using policy::test::trimmed;

inline std::vector<Port> ports(std::string_view text) {
  std::vector<Port> result;
  while (!text.empty()) {
    std::string_view one = take_until(text, ",");
    const std::string_view service_port = take_until(one, ">");
    result.push_back({.service_port = static_cast<std::uint16_t>(number(service_port)),
                      .target_port = one.empty() ? std::uint16_t{0}
                                                 : static_cast<std::uint16_t>(number(one))});
  }
  return result;
}

inline ServiceKey service_key(std::string_view text) {
  const std::optional<ServiceKey> key = ServiceKey::parse(text);
  MESH_CHECK(key.has_value());
  return *key;
}

inline GatewayAddress gateway(std::string_view text) {
  if (text.find('/') != text.npos) return {.destination = service_key(text)};
  return {.destination = NetworkAddress{.ip = ip(text)}};
}

inline void set_pod_field(Workload& pod, std::string_view name, std::string_view value) {
  const auto to = [&](std::string& field) { field = value; };
  if (name == "hbone") {
    pod.tunnel = TunnelProtocol::kHbone;
  } else if (name == "native") {
    pod.native_tunnel = true;
  } else if (name == "unhealthy") {
    pod.health = Health::kUnhealthy;
  } else if (name == "hostnet") {
    pod.network_mode = NetworkMode::kHostNetwork;
  } else if (name == "uid") {
    to(pod.uid);
  } else if (name == "sa") {
    to(pod.service_account);
  } else if (name == "node") {
    to(pod.node);
  } else if (name == "network") {
    to(pod.network);
  } else if (name == "cluster") {
    to(pod.cluster_id);
  } else if (name == "region") {
    to(pod.locality.region);
  } else if (name == "zone") {
    to(pod.locality.zone);
  } else if (name == "subzone") {
    to(pod.locality.subzone);
  } else if (name == "hostname") {
    to(pod.hostname);
  } else if (name == "capacity") {
    pod.capacity = number(value);
  } else if (name == "tunnel") {
    pod.application_tunnel = {.protocol = ApplicationTunnel::Protocol::kProxy,
                              .port = static_cast<std::uint16_t>(number(value))};
  } else if (name == "waypoint") {
    pod.waypoint = gateway(value);
  } else if (name == "gateway") {
    pod.network_gateway = gateway(value);
  } else if (name == "policies") {
    while (!value.empty()) pod.authorization_policies.emplace_back(take_until(value, ","));
  } else {
    MESH_CHECK(name == "services");
    while (!value.empty()) {
      std::string_view one = take_until(value, "+");
      const std::string_view key = take_until(one, ":");
      pod.services.push_back({.service = service_key(key), .ports = ports(one)});
    }
  }
}

inline void set_service_field(Service& service, std::string_view name, std::string_view value) {
  using Mode = LoadBalancing::Mode;
  using Scope = LoadBalancing::Scope;
  if (name == "canonical") {
    service.canonical = true;
  } else if (name == "private") {
    service.visibility = Visibility::kNamespace;
  } else if (name == "network") {
    for (Vip& vip : service.vips) vip.network = value;
  } else if (name == "ports") {
    service.ports = ports(value);
  } else if (name == "waypoint") {
    service.waypoint = gateway(value);
  } else if (name == "families") {
    service.ip_families = value == "v4"   ? IpFamilies::kV4Only
                          : value == "v6" ? IpFamilies::kV6Only
                                          : IpFamilies::kDual;
  } else if (name == "health") {
    service.load_balancing.health = LoadBalancing::HealthPolicy::kAllowAll;
  } else if (name == "lb") {
    service.load_balancing.mode = value == "strict"     ? Mode::kStrict
                                  : value == "failover" ? Mode::kFailover
                                                        : Mode::kPassthrough;
  } else if (name == "prefer") {
    static constexpr std::pair<std::string_view, Scope> kScopes[] = {
        {"region", Scope::kRegion}, {"zone", Scope::kZone},       {"subzone", Scope::kSubzone},
        {"node", Scope::kNode},     {"cluster", Scope::kCluster}, {"network", Scope::kNetwork}};
    while (!value.empty()) {
      const std::string_view wanted = take_until(value, ",");
      for (const auto& [text, scope] : kScopes) {
        if (text == wanted) service.load_balancing.preference.push_back(scope);
      }
    }
  } else {
    MESH_CHECK(name == "weighted");
    while (!value.empty()) {
      std::string_view one = take_until(value, ",");
      const std::string_view to = take_until(one, "*");
      service.weighted_waypoints.push_back({.gateway = gateway(to), .weight = number(one)});
    }
  }
}

// "shop/web 10.0.0.2 hbone"
inline WorkloadPtr pod(std::string_view line) {
  Workload pod;
  std::string_view key = take_until(line, " ");
  pod.ns = take_until(key, "/");
  pod.name = key;
  pod.uid = "K//Pod/" + pod.ns + "/" + pod.name;
  pod.trust_domain = "cluster.local";
  pod.service_account = pod.name;
  pod.cluster_id = "K";
  pod.workload_name = pod.canonical_name = pod.name;
  pod.type = WorkloadType::kPod;
  std::string_view ips = take_until(line, " ");
  while (!ips.empty() && ips != "-") pod.addresses.push_back(ip(take_until(ips, ",")));
  while (!line.empty()) {
    std::string_view field = trimmed(take_until(line, " "));
    if (field.empty()) continue;
    const std::string_view name = take_until(field, "=");
    set_pod_field(pod, name, field);
  }
  return std::make_shared<const Workload>(std::move(pod));
}

// "shop/web.example 10.96.0.1 ports=80>8080"
inline ServicePtr service(std::string_view line) {
  Service service;
  service.key = service_key(take_until(line, " "));
  service.name = service.key.hostname.substr(0, service.key.hostname.find('.'));
  std::string_view vips = take_until(line, " ");
  while (!vips.empty() && vips != "-") {
    const auto block = net::Cidr::parse(take_until(vips, ","));
    MESH_CHECK(block.has_value());
    service.vips.push_back({.block = *block});
  }
  while (!line.empty()) {
    std::string_view field = trimmed(take_until(line, " "));
    if (field.empty()) continue;
    const std::string_view name = take_until(field, "=");
    set_service_field(service, name, field);
  }
  return std::make_shared<const Service>(std::move(service));
}

// Besides "pod" and "service" lines: "remove NAME", and "policy " before a line of policy_text.h.
inline Delta delta(std::string_view text) {
  Delta delta;
  while (!text.empty()) {
    std::string_view line = trimmed(take_until(text, "\n"));
    if (line.empty()) continue;
    const std::string_view kind = take_until(line, " ");
    if (kind == "pod") {
      delta.workloads.push_back(pod(line));
    } else if (kind == "service") {
      delta.services.push_back(service(line));
    } else if (kind == "policy") {
      for (auto& one : policy::test::policies(line)) delta.policies.push_back(std::move(one));
    } else {
      MESH_CHECK(kind == "remove");
      delta.removed.emplace_back(line);
    }
  }
  return delta;
}

inline DirectoryPtr next(const DirectoryPtr& last, const Delta& changes) {
  DirectoryBuilder builder(last);
  builder.apply(changes);
  return std::move(builder).build();
}

inline DirectoryPtr next(const DirectoryPtr& last, std::string_view text) {
  return next(last, delta(text));
}

// A complete Directory of these resources.
inline DirectoryPtr directory(std::string_view text) {
  Delta all = delta(text);
  all.addresses_complete = true;
  all.policies_complete = true;
  return next(nullptr, all);
}

}  // namespace mesh::workload::test
