#pragma once
// Who runs where, behind which names and gateways: values, as the control plane described them.
//
// Every value here was decoded whole. A resource that was not understood never becomes one of
// these; it becomes a Refused, and traffic to it is refused.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mesh/net/address.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::workload {

// An address within a network: two networks may use the same addresses.
struct NetworkAddress {
  std::string network = {};
  net::IpAddress ip = {};

  friend bool operator==(const NetworkAddress&, const NetworkAddress&) = default;
};

// The key of a service; printed "namespace/hostname".
struct ServiceKey {
  std::string ns = {};
  std::string hostname = {};

  // None unless there is exactly one part before and one after the first '/'.
  static std::optional<ServiceKey> parse(std::string_view text);
  std::string to_string() const { return ns + "/" + hostname; }
  friend bool operator==(const ServiceKey&, const ServiceKey&) = default;
};

// A waypoint or a network gateway.
struct GatewayAddress {
  std::variant<ServiceKey, NetworkAddress> destination = {};
  std::uint16_t hbone_port = 15008;

  friend bool operator==(const GatewayAddress&, const GatewayAddress&) = default;
};

struct WeightedWaypoint {
  GatewayAddress gateway = {};
  std::uint32_t weight = 0;

  friend bool operator==(const WeightedWaypoint&, const WeightedWaypoint&) = default;
};

struct Locality {
  std::string region = {};
  std::string zone = {};
  std::string subzone = {};

  friend bool operator==(const Locality&, const Locality&) = default;
};

enum class TunnelProtocol : std::uint8_t { kNone, kHbone };
enum class Health : std::uint8_t { kHealthy, kUnhealthy };
enum class NetworkMode : std::uint8_t { kStandard, kHostNetwork };
enum class WorkloadType : std::uint8_t { kDeployment, kCronJob, kPod, kJob };
enum class AppProtocol : std::uint8_t { kUnknown, kHttp11, kHttp2, kGrpc, kTcp, kTls };
std::string_view type_name(WorkloadType type);  // "deployment", "cronjob", "pod", "job"

struct Port {
  std::uint16_t service_port = 0;
  std::uint16_t target_port = 0;  // 0: each endpoint says (a named target port)
  AppProtocol app_protocol = AppProtocol::kUnknown;

  friend bool operator==(const Port&, const Port&) = default;
};

// A workload's membership in a service.
struct Membership {
  ServiceKey service = {};
  std::vector<Port> ports = {};

  // The port that this workload listens on for the service's port; none if it does not say.
  std::optional<std::uint16_t> target_port(std::uint16_t service_port) const;
  friend bool operator==(const Membership&, const Membership&) = default;
};

struct ApplicationTunnel {
  enum class Protocol : std::uint8_t { kNone, kProxy };
  Protocol protocol = Protocol::kNone;
  std::optional<std::uint16_t> port = {};  // none: the port that was dialled

  friend bool operator==(const ApplicationTunnel&, const ApplicationTunnel&) = default;
};

struct Workload {
  std::string uid = {};  // "Kubernetes//Pod/shop/web-0": the resource's name
  std::string name = {};
  std::string ns = {};
  std::string network = {};
  std::vector<net::IpAddress> addresses = {};
  std::string hostname = {};  // to be resolved, where there is no address
  TunnelProtocol tunnel = TunnelProtocol::kNone;
  bool native_tunnel = false;  // speaks HBONE itself: nothing is captured there
  std::string trust_domain = {};
  std::string service_account = {};
  std::optional<GatewayAddress> waypoint = {};
  std::optional<GatewayAddress> network_gateway = {};
  std::string node = {};
  std::string cluster_id = {};
  std::string canonical_name = {};
  std::string canonical_revision = {};
  std::string workload_name = {};
  WorkloadType type = WorkloadType::kDeployment;
  std::vector<std::string> authorization_policies = {};  // keys; see policy::Selection
  // Not from the wire: it lists policies that are yet to come (policy_order.h). Until then who
  // would connect to it is to be held; whoever does not look is told no by the policies themselves.
  bool policies_awaited = false;
  Health health = Health::kHealthy;
  std::vector<Membership> services = {};
  std::optional<ApplicationTunnel> application_tunnel = {};
  Locality locality = {};
  NetworkMode network_mode = NetworkMode::kStandard;
  std::uint32_t capacity = 1;  // weight among the endpoints of a service; 0 is never chosen

  // spiffe://trust_domain/ns/NS/sa/SERVICE_ACCOUNT; none if those parts do not make one.
  std::optional<net::SpiffeId> identity() const {
    return net::SpiffeId::make(trust_domain, ns, service_account);
  }
  const Membership* membership(const ServiceKey& service) const;
  bool has_address(const net::IpAddress& ip) const;
  friend bool operator==(const Workload&, const Workload&) = default;
};
using WorkloadPtr = std::shared_ptr<const Workload>;

enum class IpFamilies : std::uint8_t { kAutomatic, kV4Only, kV6Only, kDual };
enum class Visibility : std::uint8_t { kPublic, kNamespace };

struct LoadBalancing {
  enum class Scope : std::uint8_t { kRegion, kZone, kSubzone, kNode, kCluster, kNetwork };
  enum class Mode : std::uint8_t { kStandard, kStrict, kFailover, kPassthrough };
  enum class HealthPolicy : std::uint8_t { kOnlyHealthy, kAllowAll };
  std::vector<Scope> preference = {};  // best first; each counts only if those before it matched
  Mode mode = Mode::kStandard;
  HealthPolicy health = HealthPolicy::kOnlyHealthy;

  friend bool operator==(const LoadBalancing&, const LoadBalancing&) = default;
};

// A service's address: one, or a block of them.
struct Vip {
  std::string network = {};
  net::Cidr block = {};

  friend bool operator==(const Vip&, const Vip&) = default;
};

struct Service {
  ServiceKey key = {};  // the resource's name
  std::string name = {};
  std::vector<Vip> vips = {};  // none: headless
  std::vector<Port> ports = {};
  std::vector<std::string> subject_alt_names = {};
  std::optional<GatewayAddress> waypoint = {};
  std::vector<WeightedWaypoint> weighted_waypoints = {};
  LoadBalancing load_balancing = {};
  IpFamilies ip_families = IpFamilies::kAutomatic;
  bool canonical = false;
  bool ingress_use_waypoint = false;
  Visibility visibility = Visibility::kPublic;

  // The service's own idea of a port; null if it does not have that port.
  const Port* port(std::uint16_t service_port) const;
  friend bool operator==(const Service&, const Service&) = default;
};
using ServicePtr = std::shared_ptr<const Service>;

// A resource that the control plane sent and that we did not understand, and never had a good
// version of. What could be read of its addresses is refused, rather than taken for off-mesh.
struct Refused {
  std::string resource = {};  // its name
  std::string problem = {};   // names the field
  std::vector<NetworkAddress> addresses = {};
  std::vector<Vip> vips = {};

  friend bool operator==(const Refused&, const Refused&) = default;
};
using RefusedPtr = std::shared_ptr<const Refused>;

}  // namespace mesh::workload
